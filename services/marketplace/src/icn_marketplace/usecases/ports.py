"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_kit.commands import Command

from icn_marketplace.domain.agreement import Agreement, AgreementSeen, AgreementState, Hold
from icn_marketplace.domain.booking import Booking
from icn_marketplace.domain.offer import Offer
from icn_marketplace.domain.resource import Resource, Span


class Commands(Protocol):
    """Commands that had an effect, with their answers."""

    async def claim(self, command: Command[Any]) -> bytes | None:
        """Keep the command for this transaction, or give the answer of the earlier one with its id.

        A repeat that runs at the same time waits for the first to end.
        """
        ...

    async def find(self, command_id: bytes) -> bytes | None:
        """The answer of a command that had its effect."""
        ...

    async def answer(self, command_id: bytes, response: bytes, judged_at: int | None) -> None:
        """Keep the answer of a claimed command and the height of the permissions that it was judged by."""
        ...


class Resources(Protocol):
    """Resources."""

    async def count(self, owner: bytes, added_by: bytes) -> tuple[int, int]:
        """How many an owner has that are not removed, and how many of them a principal added; nobody else
        counts them until the transaction ends."""
        ...

    async def remove(self, resource: bytes, removed_at_ms: int) -> None:
        """Keep that it was removed."""
        ...

    async def add(self, resource: Resource) -> None:
        """Keep a new one."""
        ...

    async def lock(self, resource: bytes) -> Resource | None:
        """One resource; nobody else locks it until the transaction ends."""
        ...

    async def set_photos(self, resource: bytes, photos: tuple[bytes, ...]) -> None:
        """Replace its photos."""
        ...


class Bookings(Protocol):
    """Bookings; what changes them holds their resource's lock."""

    async def add(self, booking: Booking) -> int:
        """Keep a new one; its place among those who wait, 0 when it does not.

        Raises:
            FailedPrecondition: BOOKING_OVERLAPS: the database would hold two booked spans that overlap.
        """
        ...

    async def get(self, booking: bytes) -> Booking | None:
        """One booking."""
        ...

    async def change(self, booking: Booking) -> None:
        """Keep its span, state and whether it was promoted. Raises as `add`."""
        ...

    async def count_own(self, resource: bytes, booker: bytes, now_ms: int) -> int:
        """Bookings and waits of a principal that have not ended."""
        ...

    async def count_booked(self, resource: bytes, now_ms: int) -> int:
        """Bookings of a resource that have not ended."""
        ...

    async def is_taken(self, resource: bytes, span: Span) -> bool:
        """Whether a booked span overlaps this one."""
        ...

    async def booked_spans(self, resource: bytes, from_ms: int, limit: int) -> list[Span]:
        """Booked spans that end after a time, ascending."""
        ...

    async def waiting(self, resource: bytes, freed: Span, now_ms: int) -> list[Booking]:
        """Those whose span touches ``freed`` and has not begun, in the order in which they asked."""
        ...

    async def own_waits(self, resource: bytes, booker: bytes, span: Span, now_ms: int) -> list[Booking]:
        """Waits of a principal that overlap a span and have not begun."""
        ...

    async def has_own(self, resource: bytes, booker: bytes, span: Span) -> bool:
        """Whether a booked span of a principal overlaps this one."""
        ...

    async def waited_spans(self, resource: bytes, but_of: bytes, from_ms: int, now_ms: int) -> list[Span]:
        """Spans that somebody but one principal waits for, that end after a time and have not begun."""
        ...

    async def count_waiting(self, resource: bytes, now_ms: int) -> int:
        """How many wait for a span that has not begun."""
        ...

    async def booked_over(self, resource: bytes, spans: Sequence[Span]) -> list[Span]:
        """Booked spans that overlap one of these."""
        ...


class Offers(Protocol):
    """Offers."""

    async def count_kept(self, provider: bytes, now_ms: int) -> int:
        """Offers of a provider that are neither closed nor expired; nobody else counts them until the
        transaction ends."""
        ...

    async def add(self, offer: Offer) -> None:
        """Keep a new one."""
        ...

    async def lock(self, offer: bytes) -> Offer | None:
        """One offer; nobody else locks it until the transaction ends."""
        ...

    async def change(self, offer: Offer) -> None:
        """Keep what is left and whether it is closed."""
        ...

    async def set_photos(self, offer: bytes, photos: tuple[bytes, ...]) -> None:
        """Replace its photos."""
        ...

    async def give_back(self, offer: bytes, quantity: int) -> None:
        """More is left again."""
        ...


class Agreements(Protocol):
    """Agreements."""

    async def add(self, agreement: Agreement, look_at_ms: int) -> None:
        """Keep a new one, due for a look at a block time."""
        ...

    async def lock(self, agreement: bytes) -> AgreementSeen | None:
        """One agreement with its hold; nobody else locks it until the transaction ends."""
        ...

    async def lock_by_payment(self, payment: bytes) -> AgreementSeen | None:
        """As `lock`, by the commitment to pay."""
        ...

    async def change(self, agreement: Agreement) -> None:
        """Keep its states, what is owed back and when it ended."""
        ...

    async def look_at(self, agreement: bytes, block_time_ms: int) -> None:
        """Keep at which block time it is due for a look."""
        ...

    async def count(self, offer: bytes, receiver: bytes, state: AgreementState) -> int:
        """Agreements of a receiver with an offer that are open, or that have lapsed."""
        ...

    async def note_return(self, agreement: bytes, transaction_id: bytes) -> bool:
        """Keep which transaction gave a payment back; False when it counts for another one already."""
        ...


class Holds(Protocol):
    """What events of the ledger said of holds that may pay for an agreement."""

    async def expect(self, hold: bytes) -> Hold | None:
        """What is known of the hold of an agreement that is just made. Whoever tells of the hold at the same
        time waits for this transaction, and this one for them."""
        ...

    async def place(self, hold: Hold) -> bool:
        """It was placed. False, and nothing is kept, when it pays no account of an offer."""
        ...

    async def capture(self, hold: bytes, amount_minor: int, block_time_ms: int) -> bool:
        """Part of it was captured. False when it is not known here."""
        ...

    async def release(self, hold: bytes, is_expired: bool) -> bool:
        """It ended with something left. False when it is not known here."""
        ...


class Photos(Protocol):
    """Where photos are kept."""

    async def put(self, content: bytes, media_type: str, principal: bytes) -> None:
        """Keep one, sealed for whose it is; the same twice is one.

        Raises:
            ResourceExhausted: the principal has stored too much (BLOB_QUOTA_EXCEEDED).
        """
        ...


class PendingEvents(Protocol):
    """Events of a unit of work."""

    async def add(self, *events: EventEnvelope) -> None:
        """Publish if it commits."""
        ...


class UnitOfWork(Protocol):
    """One transaction."""

    @property
    def commands(self) -> Commands:
        """See `Commands`."""
        ...

    @property
    def resources(self) -> Resources:
        """See `Resources`."""
        ...

    @property
    def bookings(self) -> Bookings:
        """See `Bookings`."""
        ...

    @property
    def offers(self) -> Offers:
        """See `Offers`."""
        ...

    @property
    def agreements(self) -> Agreements:
        """See `Agreements`."""
        ...

    @property
    def holds(self) -> Holds:
        """See `Holds`."""
        ...

    @property
    def photos(self) -> Photos:
        """See `Photos`."""
        ...

    @property
    def outbox(self) -> PendingEvents:
        """Its events."""
        ...

    async def __aenter__(self) -> Self:
        """Begin."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Undo what was not committed."""
        ...

    async def commit(self) -> None:
        """Make everything durable."""
        ...


UnitsOfWork = Callable[[], UnitOfWork]
"""Makes one per call."""


class Permissions(Protocol):
    """Who is what, from this process' memory."""

    def newest_height(self) -> int:
        """Of the newest block that is known here; while none is, above what can be answered."""
        ...

    def is_related(
        self, principal: bytes, relations: Sequence[str], organization: bytes, height: int
    ) -> bool:
        """Whether the principal has one of the relations to the organization at a height.

        Raises:
            HeightNotReached: this memory cannot say for that height yet.
        """
        ...

    async def wait_for(self, height: int) -> None:
        """Return once a height is known.

        Raises:
            HeightNotReached: not within reason.
        """
        ...


class AccountSeen(NamedTuple):
    """An account of the ledger."""

    owner: bytes
    unit: bytes


class PostingSeen(NamedTuple):
    """One change of a balance."""

    account: bytes
    counter_account: bytes
    amount_minor: int


class Ledger(Protocol):
    """Reads of the ledger; a network call, never inside of a transaction."""

    async def account(self, account: bytes) -> AccountSeen:
        """One account.

        Raises:
            NotFound: ACCOUNT_UNKNOWN.
        """
        ...

    async def held_at(self, hold: bytes) -> int | None:
        """The newest height at which there surely was an open hold of this id; None when there is none."""
        ...

    async def postings(self, transaction_id: bytes) -> list[PostingSeen]:
        """What an applied transaction posted.

        Raises:
            NotFound: TRANSACTION_UNKNOWN, also when it was refused.
        """
        ...


class PaymentSeen(NamedTuple):
    """An entry of the ledger that has a memo."""

    source: bytes
    """Account that it debits."""
    block_time_ms: int


class PaymentMemos(Protocol):
    """What the ledger says of memos; a network call, never inside of a transaction."""

    async def memos_of_entries(self, account: bytes, height: int) -> Mapping[bytes, PaymentSeen]:
        """An account's payments in a block by the hashes of their memos.

        Raises:
            NotFound: ACCOUNT_UNKNOWN.
            Unavailable: too few validators have executed the block.
        """
        ...

    async def memo_of_order(self, order: bytes) -> bytes:
        """Hash of the memo of an open order; empty where it has none.

        Raises:
            NotFound: ORDER_UNKNOWN.
        """
        ...


class LedgerEvents(Protocol):
    """How far this service has come with the ledger's events."""

    async def is_level(self) -> bool:
        """Whether everything that the stream held when asked has been handled."""
        ...


class BlockTime(Protocol):
    """The newest block time known."""

    async def now_ms(self) -> int:
        """Unix milliseconds; waits until one is known."""
        ...
