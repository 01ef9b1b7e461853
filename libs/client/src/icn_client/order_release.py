"""Whether anybody can release an order that needs it.

Source: docs/spec/ledger.md, "Messages", and docs/spec/transaction.md, "Validity", rule 7.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from icn_machine.authority import scope_excess
from icn_machine.credit_messages import ReleaseOrder
from icn_machine.leaves import decode_leaf
from icn_machine.records import Controller, Namespace

from icn_client.keystore import Identity


def without_signers(identity: Identity, signers: Collection[bytes]) -> Identity:
    """The identity with those of its keys that may release an order which these keys signed."""
    return replace(identity, keys=tuple(key for key in identity.keys if key.key_id not in signers))


def can_be_released(
    controller: Any, signers: Collection[bytes], source: bytes, amount_minor: int, time_ms: int
) -> bool:
    """Whether keys that did not sign an order could release it at a block time, with the keys of now.

    Args:
        controller: leaf of the owner of ``source``.
        signers: ids of the keys that sign the order.
        source: account that pays.
        amount_minor: that it pays.
        time_ms: unix milliseconds.
    """
    owner = decode_leaf(Namespace.CONTROLLER, controller.SerializeToString(deterministic=True))
    assert isinstance(owner, Controller), "it is the leaf of one"
    others = [key for key in owner.keys if key.key_id not in signers]
    scopes = [key.scope for key in others if key.scope is not None]
    release = (ReleaseOrder(b"", source, b"", amount_minor),)
    return len(others) - len(scopes) >= owner.threshold or any(
        scope_excess(release, scope, time_ms) is None for scope in scopes
    )
