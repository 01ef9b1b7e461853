"""A poll's result: the same bytes for everybody who has the document, the leaves, openings and secrets.

Source: docs/spec/governance.md, "Result", "Lots".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from icn.ledger.v1.state_pb2 import BallotLeaf
from icn_crypto import tags
from icn_crypto.hashing import domain_hash
from icn_crypto.jcs import JsonValue, canonicalize

from icn_tally import meek, plain_decision
from icn_tally.ballots import Ballots, ranked_ballots
from icn_tally.faults import InvalidBallots, InvalidParameter
from icn_tally.lots import lot_order
from icn_tally.polls.commitments import (
    Opening,
    commitments_root,
    lot_beacon,
    lot_commitment,
    matching_openings,
    read_ballot,
)
from icn_tally.polls.documents import PollDocument
from icn_tally.polls.forms import InvalidDocument
from icn_tally.stages import Count
from icn_tally.tallies import Tally, tally

RESULT_FORM: Final = "icn/poll-result/v1"
NO_VALID_BALLOT: Final = "NO_VALID_BALLOT"
TOO_MANY_BALLOTS: Final = "TOO_MANY_BALLOTS"
LOTS_MISSING: Final = "LOTS_MISSING"
POLL_ORDERS_MAX: Final = 24
"""Of a ballot with equal ranks that Meek and Warren count order by order: four candidates in one rank. So one
voter neither voids a count nor makes it slow."""
_YES, _NO = ((1,),), ((2,),)


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a poll came to, and what that rests on."""

    form: Mapping[str, JsonValue]
    """As docs/spec/governance.md has it."""
    genesis: bytes
    unopened: tuple[bytes, ...]
    """Voters whose ballot is not opened, ascending."""
    is_complete: bool
    is_carried: bool
    winners: tuple[int, ...]
    decision: plain_decision.Decision | None
    """What was compared in a plain decision; None in an election, and where nothing was counted."""
    could_unopened_decide: bool
    """Whether ballots that are not opened could have changed the outcome; always in an election with any."""

    def to_bytes(self) -> bytes:
        """Canonical bytes."""
        return canonicalize(dict(self.form))

    def digest(self) -> bytes:
        """What ``Decision.subject`` is, 32 bytes."""
        return domain_hash(tags.POLL_RESULT, self.genesis, self.to_bytes())


@dataclass(frozen=True, slots=True)
class _Count:
    tally: Tally | None
    lots: dict[str, JsonValue]
    fault: str = ""


def count_poll(
    document: PollDocument,
    leaves: Iterable[BallotLeaf],
    openings: Iterable[Opening],
    secrets: Mapping[bytes, bytes],
) -> PollResult:
    """Count a poll after its close.

    Args:
        document: of the poll.
        leaves: every ballot of the poll on the ledger, each once.
        openings: any; those that match no leaf are passed over.
        secrets: of tellers, by teller; those that match no commitment are passed over.
    """
    cast = sorted(leaves, key=lambda leaf: leaf.voter)
    matching = matching_openings(document.genesis, document.poll, cast, openings)
    rankings, malformed = [], []
    for voter in sorted(matching):
        try:
            ranking = read_ballot(matching[voter].ballot, len(document.draft.candidates))
        except InvalidDocument:
            malformed.append(voter)
            continue
        if document.draft.rule in meek.RULES and meek.orders_of(ranking) > POLL_ORDERS_MAX:
            malformed.append(voter)
        else:
            rankings.append(ranking)
    unopened = tuple(leaf.voter for leaf in cast if leaf.voter not in matching)
    ballots = ranked_ballots(document.draft.candidates, ((ranking, 1) for ranking in rankings))
    root = commitments_root(cast)
    found = _count(document, ballots, root, secrets)
    winners = _winners(found.tally)
    is_carried = _is_carried(found.tally)
    form: dict[str, JsonValue] = {
        "form": RESULT_FORM,
        "genesis": document.genesis.hex(),
        "poll": document.poll.hex(),
        "document": document.digest().hex(),
        "commitments_root": root.hex(),
        "ballots_root": ballots.root().hex(),
        "ballots": {
            "cast": len(cast),
            "opened": len(matching),
            "malformed": len(malformed),
            "unopened": len(unopened),
        },
        "unopened": [voter.hex() for voter in unopened],
        "malformed": [voter.hex() for voter in malformed],
        "lots": found.lots,
        "tally": None if found.tally is None else found.tally.to_form(),
        "fault": found.fault,
        "is_complete": found.fault != LOTS_MISSING,
        "is_carried": is_carried,
        "winners": [*winners],
    }
    return PollResult(
        form=form,
        genesis=document.genesis,
        unopened=unopened,
        is_complete=found.fault != LOTS_MISSING,
        is_carried=is_carried,
        winners=winners,
        decision=_decision(found.tally),
        could_unopened_decide=_could_decide(document, rankings, len(unopened), is_carried),
    )


def valid_secrets(document: PollDocument, secrets: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """By teller, the secrets that are what the teller committed to."""
    return {
        teller: secrets[teller]
        for teller, commitment in zip(document.draft.tellers, document.lot_commitments, strict=True)
        if teller in secrets
        and lot_commitment(document.genesis, document.poll, teller, secrets[teller]) == commitment
    }


def _count(document: PollDocument, ballots: Ballots, root: bytes, secrets: Mapping[bytes, bytes]) -> _Count:
    rule, parameters = document.draft.rule, document.draft.parameters
    not_needed: dict[str, JsonValue] = {"state": "not-needed"}
    numbers = len(ballots.candidates)
    order = () if rule == plain_decision.RULE else tuple(range(1, numbers + 1))
    try:
        first = tally(rule, parameters, ballots, order)
    except InvalidBallots:
        return _Count(None, not_needed, NO_VALID_BALLOT)
    except InvalidParameter:
        return _Count(None, not_needed, TOO_MANY_BALLOTS)
    if not _draws_lots(first):
        return _Count(first, not_needed)
    revealed = valid_secrets(document, secrets)
    missing = [teller for teller in document.draft.tellers if teller not in revealed]
    if missing or not revealed:
        return _Count(
            None, {"state": "missing", "tellers": [teller.hex() for teller in missing]}, LOTS_MISSING
        )
    ordered = [revealed[teller] for teller in document.draft.tellers]
    beacon = lot_beacon(document.genesis, document.poll, root, ordered)
    drawn = tally(rule, parameters, ballots, lot_order(root, beacon, numbers))
    lots: dict[str, JsonValue] = {
        "state": "drawn",
        "beacon": beacon.hex(),
        "secrets": [secret.hex() for secret in ordered],
    }
    return _Count(drawn, lots)


def _draws_lots(counted: Tally) -> bool:
    """Up to the first tie that no earlier stage decides a count is the same with every order of lots."""
    return isinstance(counted.outcome, Count) and any(tie.drawn_among for tie in counted.outcome.ties)


def _winners(counted: Tally | None) -> tuple[int, ...]:
    if counted is None or not isinstance(counted.outcome, Count):
        return ()
    return counted.outcome.winners


def _decision(counted: Tally | None) -> plain_decision.Decision | None:
    found = None if counted is None else counted.outcome
    return found if isinstance(found, plain_decision.Decision) else None


def _is_carried(counted: Tally | None) -> bool:
    if counted is None:
        return False
    if isinstance(counted.outcome, plain_decision.Decision):
        return counted.outcome.is_carried
    return bool(_winners(counted))


def _could_decide(
    document: PollDocument, rankings: Sequence[tuple[tuple[int, ...], ...]], unopened: int, is_carried: bool
) -> bool:
    """Nothing speaks more for a decision than all yes, and nothing more against one that has its quorum than
    all no."""
    if unopened == 0:
        return False
    if document.draft.rule != plain_decision.RULE:
        return True
    rule = plain_decision.PlainDecision.from_form(document.draft.parameters)
    for extreme in (_YES, _NO):
        bundles = [*((ranking, 1) for ranking in rankings), (extreme, unopened)]
        try:
            outcome = plain_decision.decide(rule, ranked_ballots(document.draft.candidates, bundles))
        except InvalidParameter:
            return True
        if outcome.is_carried != is_carried:
            return True
    return False
