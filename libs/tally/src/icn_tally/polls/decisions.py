"""Decisions: the bytes that a result leads to, their id, and what members countersign.

Source: docs/spec/governance.md, "Decision"; docs/spec/transaction.md.
"""

from __future__ import annotations

from typing import Final

from icn.ledger.v1.transaction_pb2 import AuthorityRules, Decision
from icn_crypto import tags
from icn_crypto.hashing import domain_hash, preimage

from icn_tally.polls.documents import PollDocument
from icn_tally.polls.results import PollResult

DECISION_BYTES_MAX: Final = 16_384
DECISION_LIFETIME_MS: Final = 30 * 24 * 60 * 60 * 1000
"""How long after the last opening a result can be enacted: the summer holidays of a steward's person."""


def decision_of(document: PollDocument, result: PollResult) -> Decision:
    """What a complete result of an authority's poll enacts, or only records where it is not carried."""
    assert result.is_complete, "a result without its lots decides nothing"
    return Decision(
        authority=document.draft.organization,
        poll=document.poll,
        subject=result.digest(),
        expire_time_ms=document.opening_time_ms + DECISION_LIFETIME_MS,
        actions=document.draft.actions if result.is_carried else (),
    )


def decision_bytes(decision: Decision) -> bytes:
    """Canonical bytes: what is countersigned and enacted."""
    return decision.SerializeToString(deterministic=True)


def decision_id(genesis_hash: bytes, body: bytes) -> bytes:
    """What names a decision, 32 bytes."""
    return domain_hash(tags.DECISION_ID, genesis_hash, body)


def decision_preimage(genesis_hash: bytes, body: bytes) -> bytes:
    """What a countersignature signs."""
    return preimage(tags.DECISION, genesis_hash, body)


def countersignatures_needed(rules: AuthorityRules, members: int) -> int:
    """How many of an authority's active members must countersign; a threshold only raises it."""
    return max(2 * members // 3 + 1, min(rules.threshold, members))
