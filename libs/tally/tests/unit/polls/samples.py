"""Documents and ballots that the tests share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from icn.ledger.v1.state_pb2 import BallotLeaf
from icn_tally.plain_decision import CHOICES, PlainDecision
from icn_tally.polls.actions import read_actions
from icn_tally.polls.commitments import Opening, ballot_bytes, lot_commitment
from icn_tally.polls.documents import Draft, PollDocument
from icn_tally.scottish_stv import ScottishStv

GENESIS = bytes(range(32))
POLL = b"p" * 16
FEDERATION = b"f" * 16
ACTION = {"kind": "set-floor", "account": "aa" * 16, "floor_minor": "-120000"}
TELLERS = {bytes([n]) * 16: bytes([100 + n]) * 32 for n in (1, 2, 3)}
"""Tellers with their secrets."""


def plain_draft(eligible: int = 9, actions: Sequence[dict[str, Any]] = (ACTION,), **changes: Any) -> Draft:
    values = {
        "organization": FEDERATION,
        "electorate": "members",
        "title": "Raise the floor of the farm",
        "question": "Shall Harvest Farm owe up to 1,200 hours?\nIt buys seed in spring.",
        "rule": "plain-decision",
        "parameters": PlainDecision(eligible).to_form(),
        "candidates": CHOICES,
        "tellers": (),
        "opening_ms": 60_000,
        "actions": read_actions(actions, "actions"),
    }
    return Draft(**{**values, **changes})


def election_draft(names: Sequence[str] = ("Ana", "Ben", "Cleo"), seats: int = 1, **changes: Any) -> Draft:
    values: dict[str, Any] = {
        "electorate": "members-of-members",
        "title": "Delegates",
        "rule": "scottish-stv",
        "parameters": ScottishStv(seats).to_form(),
        "candidates": tuple(names),
        "tellers": tuple(sorted(TELLERS)),
        "actions": (),
    }
    return plain_draft(**{**values, **changes})


def document_of(draft: Draft) -> PollDocument:
    commitments = tuple(lot_commitment(GENESIS, POLL, teller, TELLERS[teller]) for teller in draft.tellers)
    return PollDocument(GENESIS, POLL, draft, commitments, 1_800_000_000_000)


def voter(number: int) -> bytes:
    return number.to_bytes(16, "big")


def opening(number: int, ranking: Sequence[Iterable[int]] | None = None, raw: bytes = b"") -> Opening:
    ballot = raw if ranking is None else ballot_bytes(ranking)
    return Opening(voter(number), number.to_bytes(32, "big"), ballot)


def leaf_of(opened: Opening) -> BallotLeaf:
    return BallotLeaf(
        poll=POLL,
        voter=opened.voter,
        commitment=opened.commitment(GENESIS, POLL),
        cast_time_ms=1_799_000_000_000,
    )


def votes(*rankings: Sequence[Iterable[int]]) -> tuple[list[BallotLeaf], list[Opening]]:
    """One voter for each ranking."""
    openings = [opening(number, ranking) for number, ranking in enumerate(rankings, start=1)]
    return [leaf_of(opened) for opened in openings], openings
