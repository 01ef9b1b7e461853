"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.block_clock import BlockMoment
from icn_kit.clock import Clock
from icn_kit.commands import Command
from icn_kit.permissions import PermissionTuple, Verdict
from icn_kit.unit_of_work import PendingEvents

from icn_identity.domain.claims import Claim, ClaimKind
from icn_identity.domain.principals import Controller, Membership, Person


class Ledger(Protocol):
    """What the ledger knows of principals."""

    async def controller(self, principal: bytes) -> Controller | None:
        """Keys and threshold, None where there is no such principal."""
        ...

    async def membership(self, organization: bytes, member: bytes) -> Membership | None:
        """One membership, None where there never was one."""
        ...

    async def person(self, principal: bytes) -> Person | None:
        """All that is known, memberships up to a page; None where there is no such principal."""
        ...


@dataclass(frozen=True, slots=True)
class EventsEnd:
    """Where one validator's events end."""

    height: int
    """Executed there."""
    event_id: bytes
    """The newest event of the blocks up to it; empty while there is none."""
    event_height: int
    """Of the block it belongs to."""

    def is_passed(self, newest: tuple[bytes, int] | None) -> bool:
        """Whether a stream that ends with ``newest`` (id and height) has this event and all before it."""
        if not self.event_id:
            return True
        return newest is not None and (newest[0] == self.event_id or newest[1] > self.event_height)


class Outboxes(Protocol):
    """What validators have to publish, each for itself."""

    @property
    def needed(self) -> int:
        """How many must be on the bus to be sure: f + 1."""
        ...

    async def ends(self) -> Sequence[EventsEnd]:
        """Where the events of each validator that answers end."""
        ...


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """A credential as stored."""

    id: bytes
    position: int
    """Ascends with publication."""
    organization: bytes
    subject: bytes
    kind: ClaimKind
    office: str
    valid_from_ms: int
    valid_until_ms: int | None
    published_ms: int
    revoked_ms: int | None
    document: bytes


@dataclass(frozen=True, slots=True)
class StoredList:
    """A status list as stored."""

    bits: bytes
    document: bytes


class Commands(Protocol):
    """Commands that were taken, with their answers."""

    async def answer(self, command_id: bytes) -> bytes | None:
        """What was answered to a command, None where it was not taken."""
        ...

    async def add(self, command: Command[Any], response: bytes) -> bool:
        """Remember a command; False where it was taken meanwhile."""
        ...

    async def set_answer(self, command_id: bytes, response: bytes) -> None:
        """The answer of a command that this transaction added without one."""
        ...


@dataclass(frozen=True, slots=True)
class DidEntry:
    """An entry of a log to be stored."""

    principal: bytes
    number: int
    did: str
    scid: str
    line: bytes


class DidEntries(Protocol):
    """DID logs by principal."""

    async def count(self, principal: bytes) -> int:
        """How many entries a principal's log has; they only become more."""
        ...

    async def lines(self, principal: bytes, after: int) -> Sequence[bytes]:
        """The entries of a principal's log after the first ``after``."""
        ...

    async def principal_of(self, scid: str) -> bytes | None:
        """Whose log has this self-certifying identifier."""
        ...

    async def add(self, entry: DidEntry, command_id: bytes) -> bool:
        """Append; False where the number is taken."""
        ...


class Credentials(Protocol):
    """Credentials."""

    async def get(self, credential_id: bytes) -> StoredCredential | None:
        """One of them."""
        ...

    async def add(
        self, organization: bytes, claim: Claim, document: bytes, published_ms: int, command_id: bytes
    ) -> StoredCredential | None:
        """Store it; None where its id or its index is taken."""
        ...

    async def revoke(
        self, organization: bytes, indices: Collection[int], revoked_ms: int
    ) -> Sequence[StoredCredential]:
        """Mark those at these indices that are not yet revoked, and give them, by id."""
        ...

    async def page(
        self, *, organization: bytes | None, subject: bytes | None, before: int | None, count: int
    ) -> Sequence[StoredCredential]:
        """Of an organization or about a subject, newest first, below a position."""
        ...


class StatusLists(Protocol):
    """Status lists by organization."""

    async def get(self, organization: bytes, *, is_for_change: bool = False) -> StoredList | None:
        """The newest; others that change it or use an index wait where it is for a change."""
        ...

    async def put(self, organization: bytes, bits: bytes, document: bytes, command_id: bytes) -> None:
        """Replace it."""
        ...


class Tuples(Protocol):
    """Permission tuples; every change is published. Whoever changes one locks first."""

    events: list[EventEnvelope]
    """What is to be published when the transaction commits."""

    async def lock(self) -> int:
        """Height of the last checkpoint; others wait until the transaction ends."""
        ...

    async def write(self, object_: str, relation: str, subject: str, height: int) -> bool:
        """It holds from ``height`` on, above the last checkpoint; False where it does already."""
        ...

    async def remove(self, object_: str, relation: str, subject: str, height: int) -> bool:
        """It ends at ``height``, above the last checkpoint; False where it does not hold."""
        ...

    async def last_end(self, object_: str, relation: str, subject: str) -> int:
        """Height at which it last ended, 0 where it never did."""
        ...

    async def end_offices(self, organization: bytes, subject: bytes) -> None:
        """Whoever is no member holds no office, also when admitted again."""
        ...

    async def reach(self, height: int) -> None:
        """Everything up to ``height`` has been told."""
        ...

    async def settle_offices(self, time_ms: int, height: int) -> int:
        """Write and remove office tuples at ``height`` as credentials stand at a block time; how many."""
        ...

    async def holding(
        self, *, object_: str, subject: str, height: int, offset: int, count: int
    ) -> Sequence[PermissionTuple]:
        """What holds on an object or for a subject (the other is empty) at a height, ordered."""
        ...


class UnitOfWork(Protocol):
    """One transaction at a time."""

    @property
    def outbox(self) -> PendingEvents:
        """Events, published if the transaction commits."""
        ...

    @property
    def commands(self) -> Commands:
        """See `Commands`."""
        ...

    @property
    def did_entries(self) -> DidEntries:
        """See `DidEntries`."""
        ...

    @property
    def credentials(self) -> Credentials:
        """See `Credentials`."""
        ...

    @property
    def status_lists(self) -> StatusLists:
        """See `StatusLists`."""
        ...

    @property
    def tuples(self) -> Tuples:
        """See `Tuples`."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def commit(self) -> None:
        """Make it durable, its events included."""
        ...


class Height(Protocol):
    """How far the chain has come, as `icn_kit.block_clock.BlockClock` says."""

    @property
    def newest(self) -> BlockMoment | None:
        """None until a block is known."""
        ...


class PermissionMemory(Protocol):
    """The memory that answers checks."""

    @property
    def height(self) -> int:
        """The highest at which it answers."""
        ...

    def check(self, subject: str, relation: str, object_: str, height: int) -> Verdict:
        """See `icn_kit.permissions.PermissionReplica`."""
        ...

    async def take_in(self) -> None:
        """Take in what was committed, and let the next checkpoint come at once."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """What most use cases are handed."""

    genesis_hash: bytes
    domain: str
    """Where DIDs are published."""
    clock: Clock
    ledger: Ledger
    blocks: Height
    permissions: PermissionMemory

    @property
    def zone(self) -> bytes:
        """As envelopes name it."""
        return self.genesis_hash[:16]
