"""Accounts and their entries as commands print them in JSON: ids in hex, amounts as decimal strings."""

from __future__ import annotations

from typing import Any


def account_document(account: Any, unit: Any) -> dict[str, Any]:
    """An account in its unit."""
    leaf, terms = account.leaf, account.leaf.terms
    return {
        "account": leaf.account.hex(),
        "owner": leaf.owner.hex(),
        "unit": leaf.unit.hex(),
        "code": unit.code,
        "scale": unit.scale,
        "balance_minor": str(leaf.balance_minor),
        "held_minor": str(leaf.held_minor),
        "floor_minor": str(leaf.floor_minor),
        "given_minor": str(leaf.given_minor),
        "height": account.height,
        "parent": terms.parent.hex(),
        "sub_accounts": str(terms.sub_accounts),
        "opening_minor": str(terms.opening_minor) if terms.is_opening else None,
        "pledged_minor": str(terms.pledged_minor),
        "frozen_until_ms": str(terms.frozen_until_ms),
        "has_own_floor": terms.has_own_floor,
        "bonds": str(terms.bonds),
        "is_closed": terms.is_closed,
    }


def credit_document(credit: Any) -> dict[str, Any]:
    """How far an account's owner may go."""
    return {
        "limit_minor": str(credit.limit_minor),
        "growth_minor": str(credit.growth_minor),
        "soft_limit_minor": str(credit.soft_limit_minor),
        "earned_minor": str(credit.earned_minor),
        "spent_minor": str(credit.spent_minor),
        "spendable_minor": str(credit.spendable_minor),
        "is_main": credit.is_main,
    }


def entry_document(entry: Any) -> dict[str, Any]:
    """An entry of an account."""
    from icn_client.light.statement import kind_name

    return {
        "height": entry.height,
        "index": entry.index,
        "transaction": entry.transaction_id.hex(),
        "counter_account": entry.posting.counter_account.hex(),
        "amount_minor": str(entry.posting.amount_minor),
        "balance_minor": str(entry.posting.balance_minor),
        "memo_hash": entry.memo_hash.hex(),
        "block_time_ms": str(entry.block_time_ms),
        "number": str(entry.number),
        "kind": kind_name(entry.posting.kind),
        "reference": entry.reference.hex(),
        "hold": entry.hold.hex(),
    }
