"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from icn.ledger.v1.state_pb2 import AuthorityLeaf, BallotLeaf, ControllerLeaf, MembershipLeaf, PollLeaf
from icn.ledger.v1.transaction_pb2 import Countersignature
from icn_kit.commands import Command
from icn_tally.polls.commitments import Opening

from icn_governance.domain.decision import DecisionState, StoredDecision
from icn_governance.domain.events import Event
from icn_governance.domain.organization import Profile
from icn_governance.domain.proposal import Proposal, ProposalState


@dataclass(frozen=True, slots=True)
class PollAt:
    """A poll as the ledger has it."""

    leaf: PollLeaf
    block_time_ms: int
    """Of the state it was read from."""


class Ledger(Protocol):
    """The validators. Every method raises Unavailable when none answers."""

    async def membership(self, organization: bytes, member: bytes) -> MembershipLeaf | None:
        """A membership, None where there never was one."""
        ...

    async def memberships_of(self, member: bytes) -> Sequence[MembershipLeaf]:
        """Memberships of a principal, at most 500."""
        ...

    async def authority(self, authority: bytes) -> AuthorityLeaf | None:
        """An authority, None where there is none."""
        ...

    async def controller(self, principal: bytes) -> ControllerLeaf | None:
        """A controller, None where there is none."""
        ...

    async def poll(self, poll: bytes) -> PollAt | None:
        """A poll, None where it was never opened."""
        ...

    async def ballots(self, poll: bytes) -> Sequence[BallotLeaf]:
        """All ballots of a poll by voter, at most BALLOTS_MAX + 1."""
        ...

    async def has_ballot(self, poll: bytes, voter: bytes) -> bool:
        """Whether a voter has cast a ballot."""
        ...


class BlockTime(Protocol):
    """The zone's time."""

    def block_time_ms(self) -> int:
        """Of the newest block that is known here, unix milliseconds; 0 before the first."""
        ...


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """An organization as stored."""

    profile: Profile
    """With empty texts while it has not said who it is."""
    registered_by: bytes
    update_time_ms: int
    is_authority: bool
    members: int
    applicants: int


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A membership as events told it, with the offices held."""

    leaf: MembershipLeaf
    offices: tuple[str, ...]


class Records(Protocol):
    """What is stored, inside one transaction."""

    async def find_answer(self, command_id: bytes) -> bytes | None:
        """What a command was answered; None where it is not known."""
        ...

    async def count_recent_commands(self, principal: bytes) -> int:
        """How many commands of a principal were answered in the last 24 hours, up to COMMANDS_PER_DAY_MAX."""
        ...

    async def claim(self, command: Command[Any]) -> bool:
        """Keep a command that will be answered in this transaction; False where it was answered before. Waits
        for another transaction with the same command."""
        ...

    async def answer(self, command_id: bytes, answer: bytes) -> None:
        """Keep the answer of a claimed command."""
        ...

    async def organization(self, organization: bytes) -> OrganizationRow | None:
        """An organization that said who it is, is an authority or has a membership."""
        ...

    async def register(self, profile: Profile, registered_by: bytes, update_time_ms: int) -> None:
        """Keep what an organization says of itself, in the place of what it said before."""
        ...

    async def note_authority(self, authority: bytes) -> None:
        """Know that this id is an authority."""
        ...

    async def note_membership(self, leaf: MembershipLeaf, height: int) -> None:
        """Keep a membership unless a newer one is known."""
        ...

    async def note_office(self, organization: bytes, member: bytes, office: str, *, is_held: bool) -> None:
        """Know who holds an office."""
        ...

    async def proposal(self, proposal: bytes, *, is_locked: bool = False) -> Proposal | None:
        """A proposal; locked until the transaction ends where it is to be changed."""
        ...

    async def add_proposal(self, proposal: Proposal) -> bool:
        """Keep a draft with its tellers; False where the id is taken."""
        ...

    async def update_proposal(self, proposal: Proposal) -> None:
        """Keep everything of a proposal that can change, but for its lots."""
        ...

    async def update_lot(self, proposal: bytes, teller: bytes, commitment: bytes, secret: bytes) -> None:
        """Keep a teller's share."""
        ...

    async def add_document(self, proposal: bytes, digest: bytes, document: bytes) -> bool:
        """Keep a document that the ledger may open a poll about; False where there are too many."""
        ...

    async def document(self, proposal: bytes, digest: bytes) -> bytes | None:
        """A document that was kept."""
        ...

    async def count_ballot(self, proposal: bytes) -> None:
        """One voter more has cast a ballot."""
        ...

    async def add_opening(self, proposal: bytes, opening: Opening, commitment: bytes) -> None:
        """Keep an opening; of those of one voter the last ones stay."""
        ...

    async def openings(self, proposal: bytes) -> Sequence[Opening]:
        """The openings that match the ballots which were kept, by voter."""
        ...

    async def keep_ballots(self, proposal: bytes, leaves: Sequence[BallotLeaf]) -> None:
        """Keep the ballots of a closed poll."""
        ...

    async def ballots(self, proposal: bytes) -> Sequence[BallotLeaf]:
        """The ballots of a closed poll by voter."""
        ...

    async def next_due(self) -> tuple[bytes, int] | None:
        """The proposal that is due first, and when in block time."""
        ...

    async def closed_uncounted(self) -> Sequence[bytes]:
        """Closed proposals without a result."""
        ...

    async def decision(self, decision_id: bytes) -> StoredDecision | None:
        """A decision."""
        ...

    async def add_decision(self, decision: StoredDecision) -> bool:
        """Keep a decision; False where it is known."""
        ...

    async def note_enacted(self, decision_id: bytes, height: int) -> bool:
        """Know that a decision is in force; False where that was known."""
        ...

    async def add_countersignature(self, decision_id: bytes, countersignature: Countersignature) -> bool:
        """Keep a countersignature; False where the signer has given one."""
        ...

    async def count_countersignatures(self, decision_id: bytes) -> int:
        """How many a decision has."""
        ...


class UnitOfWork(Protocol):
    """One transaction."""

    @property
    def records(self) -> Records:
        """What is stored."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exception: Any) -> None: ...
    async def publish(self, event: Event) -> None:
        """Tell others if the transaction commits."""
        ...

    async def commit(self) -> None:
        """Make everything durable."""
        ...


Begin = Callable[[], UnitOfWork]
"""Makes a unit of work for one block."""


@dataclass(frozen=True, slots=True)
class ProposalFilter:
    """Which proposals a list shows."""

    organization: bytes | None
    state: ProposalState | None


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions a list shows."""

    authority: bytes | None
    state: DecisionState | None
    block_time_ms: int
    """What is not enacted and expires before it has lapsed."""


class Reader(Protocol):
    """Lists, newest or smallest first."""

    async def list_organizations(
        self, kind: str, after: bytes | None, limit: int
    ) -> Sequence[OrganizationRow]:
        """Organizations above an id."""
        ...

    async def list_members(self, organization: bytes, after: bytes | None, limit: int) -> Sequence[MemberRow]:
        """Memberships of an organization above a member."""
        ...

    async def list_memberships_of(
        self, member: bytes, after: bytes | None, limit: int
    ) -> Sequence[MemberRow]:
        """Memberships of a member above an organization."""
        ...

    async def list_proposals(
        self, wanted: ProposalFilter, before: int | None, limit: int
    ) -> Sequence[Proposal]:
        """Proposals below a position, without their documents."""
        ...

    async def list_openings(self, proposal: bytes, after: bytes | None, limit: int) -> Sequence[Opening]:
        """Openings that match a ballot of the closed poll, above a voter."""
        ...

    async def list_decisions(
        self, wanted: DecisionFilter, before: int | None, limit: int
    ) -> Sequence[StoredDecision]:
        """Decisions below a position."""
        ...

    async def list_countersignatures(
        self, decision_id: bytes, after: bytes | None, limit: int
    ) -> Sequence[Countersignature]:
        """Countersignatures above a signer."""
        ...
