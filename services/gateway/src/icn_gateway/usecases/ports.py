"""What the use cases need from outside.

Messages are those of ``protos/``: the gateway adds no model of its own between the validators and its REST
views. Every method raises `icn_kit.errors.DomainError`: the validator's refusal as it is, ``Unavailable``
when no validator could be reached, ``DeadlineExceeded`` when time ran out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from google.protobuf.message import Message
from icn.consensus.v1.service_pb2 import SubmitOutcome
from icn.ledger.v1.service_pb2 import (
    GetAccountResponse,
    GetAllowanceResponse,
    GetBlockResponse,
    GetControllerResponse,
    GetHoldResponse,
    GetProofResponse,
    GetRecoveryResponse,
    GetTransactionResponse,
    GetUnitResponse,
    GetValidatorsResponse,
    ListAccountsResponse,
    ListBlocksResponse,
    ListEntriesResponse,
    ListUnitsResponse,
    WatchAccountRequest,
    WatchAccountResponse,
)
from icn_kit.validators import ValidatorReport

from icn_gateway.domain.events import CommittedEvent, Cursor, FeedSignal
from icn_gateway.usecases.contracts import Method


class LedgerReader(Protocol):
    """Reads of the executed state, from whichever validator answers."""

    async def get_account(self, name: str) -> GetAccountResponse:
        """One account."""
        ...

    async def list_accounts(self, owner: str, page_size: int, page_token: str) -> ListAccountsResponse:
        """Accounts by id, of one owner (``principals/…``) or all (empty)."""
        ...

    async def list_entries(self, account: str, page_size: int, page_token: str) -> ListEntriesResponse:
        """Entries of an account, newest first."""
        ...

    async def get_unit(self, name: str) -> GetUnitResponse:
        """One unit."""
        ...

    async def list_units(self, page_size: int, page_token: str) -> ListUnitsResponse:
        """Units by id."""
        ...

    async def get_validators(self) -> GetValidatorsResponse:
        """Who validates, and who will."""
        ...

    async def get_controller(self, name: str) -> GetControllerResponse:
        """One controller."""
        ...

    async def get_hold(self, name: str) -> GetHoldResponse:
        """One open hold."""
        ...

    async def get_allowance(self, organization: str) -> GetAllowanceResponse:
        """One organization's allowance."""
        ...

    async def get_recovery(self, name: str) -> GetRecoveryResponse:
        """A principal's recovery that is under way."""
        ...

    async def get_transaction(self, name: str) -> GetTransactionResponse:
        """What became of a transaction."""
        ...

    async def get_block(self, name: str) -> GetBlockResponse:
        """One executed block."""
        ...

    async def list_blocks(self, page_size: int, page_token: str) -> ListBlocksResponse:
        """Executed blocks, newest first."""
        ...

    async def get_proof(self, name: str, from_epoch: int) -> GetProofResponse:
        """Proof of a leaf, or of its absence."""
        ...


class AccountSource(Protocol):
    """Accounts as they change."""

    def watch_account(self, request: WatchAccountRequest) -> AsyncIterator[WatchAccountResponse]:
        """The account as it stands, then its news until whoever tells them ends the stream."""
        ...


class Services(Protocol):
    """Every service behind the door, the ledger among them."""

    async def ask(self, method: Method, request: Message) -> Message:
        """The answer to a read.

        Raises:
            Unavailable: SERVICE_UNREACHABLE, or SERVICE_NOT_CONFIGURED where this gateway knows none.
        """
        ...

    async def send(self, method: Method, request: bytes) -> Message:
        """The answer to a command; ``request`` goes out as it is. Raises as `ask`."""
        ...


class TransactionPool(Protocol):
    """A validator's pool, whichever takes the bytes."""

    async def submit(self, transactions: Sequence[bytes], wait_ms: int) -> Sequence[SubmitOutcome]:
        """Hand over and wait; one outcome per transaction, in order."""
        ...


class ValidatorStatuses(Protocol):
    """Where every validator stands."""

    async def read_statuses(self) -> Sequence[ValidatorReport]:
        """One report per configured validator, by seat; never raises for an unreachable one."""
        ...


class EventFeed(Protocol):
    """Committed events as they come, of every stream there is."""

    def newest(self) -> dict[str, Cursor]:
        """The newest event of each stream, by service."""
        ...

    def recent(self, wants: Callable[[str], bool], count_max: int) -> list[CommittedEvent]:
        """Of each stream the newest events whose subject ``wants`` accepts, newest first, at most
        ``count_max`` of each."""
        ...

    def follow(
        self, wants: Callable[[str], bool], cursors: Mapping[str, Cursor]
    ) -> AsyncIterator[CommittedEvent | FeedSignal]:
        """Events whose subject ``wants`` accepts, of each stream those after its cursor first; ends when the
        reader is too slow or the process drains.

        Raises:
            ResourceExhausted: TOO_MANY_STREAMS.
        """
        ...
