"""A steward: one organization's own program that recounts a poll before it countersigns.

It believes the genesis file, its own key, and nothing that governance shows. What it is told is checked
against leaves that are proven from genesis; the ports below are all it asks.

Source: docs/spec/governance.md, "What a steward checks".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import DecodeError
from icn.ledger.v1.state_pb2 import (
    MEMBERSHIP_STATUS_ACTIVE,
    AuthorityLeaf,
    BallotLeaf,
    MembershipLeaf,
    PollLeaf,
)
from icn.ledger.v1.transaction_pb2 import Countersignature, Decision
from icn_kit.errors import InvalidArgument
from icn_tally.polls.commitments import Opening
from icn_tally.polls.decisions import countersignatures_needed, decision_bytes, decision_of
from icn_tally.polls.documents import PollDocument, read_document
from icn_tally.polls.forms import InvalidDocument
from icn_tally.polls.results import PollResult, count_poll
from icn_tally.polls.rules import outcome_shortfall, time_shortfall

from icn_client.names import identifier_in

PLAIN = "plain-decision"


class StewardRefuses(Exception):
    """The steward signs nothing; ``reason`` is one of the specification's, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ProvenPoll:
    """A closed poll, proven from genesis in one state that no ballot can follow."""

    leaf: PollLeaf
    ballots: tuple[BallotLeaf, ...]
    """Those that could be proven, by voter, each once."""


class ProvenLedger(Protocol):
    """The ledger, of which only proven leaves are believed."""

    async def closed_poll(self, poll: bytes) -> ProvenPoll:
        """A poll with its ballots, in a state past its close.

        Raises:
            StewardRefuses: LEAF_UNPROVEN, POLL_NOT_CLOSED.
        """
        ...

    async def membership(self, organization: bytes, member: bytes) -> MembershipLeaf | None:
        """A proven membership; None when it is proven that there is none. Raises StewardRefuses."""
        ...

    async def authority(self, authority: bytes) -> AuthorityLeaf | None:
        """A proven authority; None when it is proven that there is none. Raises StewardRefuses."""
        ...

    async def count_voters(self, leaf: PollLeaf) -> int:
        """How many voters there were as of the poll's opening, as more validators say than may lie.

        Raises:
            StewardRefuses: ELECTORATE_UNKNOWN.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What governance shows of a proposal and its decision; not believed."""

    proposal: bytes
    document: bytes
    secrets: dict[bytes, bytes]
    """By teller."""
    openings: Sequence[Opening]
    result: bytes
    decision: bytes


@dataclass(frozen=True, slots=True)
class Recount:
    """A poll counted again from proven leaves."""

    document: PollDocument
    leaf: PollLeaf
    result: PollResult


async def recount(shown: Shown, ledger: ProvenLedger, genesis_hash: bytes) -> Recount:
    """Count a closed poll again, for whoever wants to know; rules 1 to 7.

    Raises:
        StewardRefuses: what is shown does not hold against the ledger.
    """
    poll = shown.proposal
    proven = await ledger.closed_poll(poll)
    document = _checked_document(poll, shown.document, proven.leaf, genesis_hash)
    voters = {leaf.voter for leaf in proven.ballots if leaf.poll == poll}
    if len(voters) != proven.leaf.ballots or len(voters) != len(proven.ballots):
        raise StewardRefuses(
            "BALLOTS_MISSING", f"{len(voters)} ballots are proven, the poll has {proven.leaf.ballots}"
        )
    _check_openings(shown.openings, proven.ballots, document)
    if document.draft.rule == PLAIN:
        eligible = int(document.draft.parameters["eligible"])
        found = await ledger.count_voters(proven.leaf)
        if found > eligible:
            raise StewardRefuses(
                "ELECTORATE_LARGER", f"the document counts on {eligible} voters, the ledger finds {found}"
            )
    result = count_poll(document, proven.ballots, shown.openings, shown.secrets)
    return Recount(document, proven.leaf, result)


async def examine(
    shown: Shown,
    organization: bytes,
    ledger: ProvenLedger,
    genesis_hash: bytes,
    *,
    accepts_unopened: bool = False,
) -> bytes:
    """The decision that the organization may countersign, made from what the steward has found itself.

    Args:
        shown: what governance shows.
        organization: whose steward this is, 16 bytes.
        ledger: proven leaves.
        genesis_hash: of the zone.
        accepts_unopened: people of the organization have looked into the ballots that are not opened.

    Raises:
        StewardRefuses: the first rule that fails.
    """
    counted = await recount(shown, ledger, genesis_hash)
    result = counted.result
    if result.to_bytes() != shown.result:
        raise StewardRefuses("RESULT_DIFFERS", "the result shown is not what the ballots come to")
    if not result.is_complete:
        raise StewardRefuses("RESULT_INCOMPLETE", "lots are needed and a teller has not revealed")
    if result.could_unopened_decide and not accepts_unopened:
        raise StewardRefuses(
            "UNOPENED_COULD_DECIDE",
            f"{len(result.unopened)} ballots are not opened and could have changed the outcome",
        )
    body = decision_bytes(decision_of(counted.document, result))
    if body != shown.decision:
        raise StewardRefuses("DECISION_DIFFERS", _difference(shown.decision, body))
    await _check_rules(counted, ledger)
    authority = counted.document.draft.organization
    membership = await ledger.membership(authority, organization)
    if membership is None or membership.status != MEMBERSHIP_STATUS_ACTIVE:
        raise StewardRefuses("NOT_A_MEMBER", f"{organization.hex()} is no active member of {authority.hex()}")
    return body


async def _check_rules(counted: Recount, ledger: ProvenLedger) -> None:
    """The rules of the authority as they are proven now, whatever the document asked for."""
    authority = counted.document.draft.organization
    leaf = await ledger.authority(authority)
    if leaf is None:
        raise StewardRefuses("RULES_NOT_MET", f"the ledger has no authority {authority.hex()}")
    fault = time_shortfall(counted.leaf.close_time_ms - counted.leaf.open_time_ms, leaf.rules)
    result = counted.result
    if fault is None and result.is_carried and result.decision is not None:
        fault = outcome_shortfall(counted.document, result.decision, leaf.rules)
    if fault is not None:
        raise StewardRefuses("RULES_NOT_MET", fault.message)


async def is_decided(
    body: bytes, countersignatures: Sequence[Countersignature], ledger: ProvenLedger
) -> bool:
    """Whether enough members have countersigned, as the proven authority stands.

    Raises:
        StewardRefuses: the authority cannot be proven.
    """
    decision = Decision.FromString(body)
    leaf = await ledger.authority(decision.authority)
    if leaf is None:
        return False
    signers = {one.signer for one in countersignatures}
    return len(signers) >= countersignatures_needed(leaf.rules, leaf.members)


def shown_from(
    proposal: Any, openings: Sequence[Opening], result: bytes, decision: bytes, identifier: bytes
) -> Shown:
    """What governance's answers say together. ``proposal`` is its Proposal, ``identifier`` the proposal's.

    Raises:
        StewardRefuses: ANSWER_MALFORMED.
    """
    try:
        secrets = {
            identifier_in(share.teller, "principals"): share.secret for share in proposal.lots if share.secret
        }
    except InvalidArgument as error:
        raise StewardRefuses("ANSWER_MALFORMED", f"a teller: {error.message}") from None
    return Shown(identifier, proposal.document, secrets, openings, result, decision)


def _checked_document(poll: bytes, data: bytes, leaf: PollLeaf, genesis_hash: bytes) -> PollDocument:
    try:
        document = read_document(data)
    except InvalidDocument as error:
        raise StewardRefuses("DOCUMENT_INVALID", f"the document shown: {error}") from None
    for name, said, expected in (
        ("zone", document.genesis, genesis_hash),
        ("poll", document.poll, poll),
        ("digest", document.digest(), leaf.document),
        ("organization", document.draft.organization, leaf.organization),
        ("electorate", document.draft.ledger_electorate, leaf.electorate),
        ("close", document.close_time_ms, leaf.close_time_ms),
    ):
        if said != expected:
            raise StewardRefuses(
                "DOCUMENT_CHANGED", f"the {name} of the document shown is not what the ledger has"
            )
    return document


def _check_openings(
    openings: Sequence[Opening], ballots: Sequence[BallotLeaf], document: PollDocument
) -> None:
    commitments = {leaf.voter: leaf.commitment for leaf in ballots}
    seen = set()
    for opening in openings:
        commitment = commitments.get(opening.voter)
        if commitment is None or opening.voter in seen:
            raise StewardRefuses(
                "OPENING_FORGED", f"an opening is of {opening.voter.hex()}, who has no ballot, or shown twice"
            )
        if commitment != opening.commitment(document.genesis, document.poll):
            raise StewardRefuses(
                "OPENING_FORGED", f"the opening of {opening.voter.hex()} is not what was committed to"
            )
        seen.add(opening.voter)


def _difference(shown: bytes, expected: bytes) -> str:
    try:
        said, follows = Decision.FromString(shown), Decision.FromString(expected)
    except DecodeError:
        return "the decision shown is none"
    for name in ("authority", "poll", "subject", "expire_time_ms"):
        if getattr(said, name) != getattr(follows, name):
            return f"the {name} of the decision shown does not follow from document and result"
    return "the actions of the decision shown are not those of the document"
