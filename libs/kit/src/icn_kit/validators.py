"""The validators as one ledger and one pool: asks the preferred one, and the next when it is unreachable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.message import Message
from icn.consensus.v1 import service_pb2 as consensus
from icn.consensus.v1.service_pb2_grpc import ConsensusServiceStub
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.service_pb2_grpc import LedgerServiceStub
from prometheus_client import Counter, Gauge

from icn_kit.channel import ChannelFactory
from icn_kit.errors import DeadlineExceeded, DomainError, ErrorKind, Unavailable, from_rpc_error
from icn_kit.preference import Standing, ValidatorAddress, order_of_preference
from icn_kit.trace import trace_metadata

READ_SECONDS_MAX = 5.0
"""Longest a client waits for a read, whoever of the validators gives it."""
ATTEMPT_SECONDS_MAX = 2.0
"""Then a read is tried on the next validator: one that hangs must not use up the whole time."""
SUBMIT_SECONDS_MARGIN = 5.0
"""What a submission may take beyond the wait the client asked for."""
STATUS_SECONDS_MAX = 1.0
"""A validator that needs longer to say where it stands is shown as not reachable."""
WATCH_SECONDS = 5.0
"""How often the standings are refreshed; four questions cost about 1 ms of CPU."""

FAILOVERS = Counter(
    "icn_kit_validator_failovers_total", "Calls that went to another validator than the first asked."
)
REACHABLE = Gauge(
    "icn_kit_validators_reachable", "Validators that answered the last question for their status."
)

_ELSEWHERE = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.CANCELLED})
"""After these the call goes to the next validator."""

Response = TypeVar("Response")
_log = structlog.get_logger(__name__)


WATCH_BLOCKS = "/icn.ledger.v1.LedgerService/WatchBlocks"
"""Full name of the stream that no deadline ends."""


@dataclass(frozen=True, slots=True)
class ValidatorReport:
    """What one validator said of itself just now."""

    seat: int
    status: consensus.GetStatusResponse | None
    """None when it could not be reached."""


class Validators:
    """Reads of the ledger, submissions and statuses over all validators of the zone.

    Every read raises `icn_kit.errors.DomainError`: the validator's refusal as it is, ``Unavailable`` when no
    validator could be reached, ``DeadlineExceeded`` when time ran out.

    Args:
        addresses: one per seat that may be asked.
        channels: a factory without retries of its own, since another validator is asked sooner than the same
            one again, and with WATCH_BLOCKS among its long-lived streams.
    """

    def __init__(self, addresses: Sequence[ValidatorAddress], channels: ChannelFactory) -> None:
        assert addresses, "settings require at least one validator"
        self._addresses = {address.seat: address for address in addresses}
        self._standings = [Standing(seat) for seat in sorted(self._addresses)]
        self._preferred_seat = self._standings[0].seat
        self._channels = channels

    # Reads of the ledger.

    async def get_account(self, name: str) -> ledger.GetAccountResponse:
        """One account."""
        return await self._read(ledger.GetAccountRequest(name=name), ledger.GetAccountResponse)

    async def list_accounts(self, owner: str, page_size: int, page_token: str) -> ledger.ListAccountsResponse:
        """Accounts by id, of one owner (``principals/…``) or all (empty)."""
        request = ledger.ListAccountsRequest(owner=owner, page_size=page_size, page_token=page_token)
        return await self._read(request, ledger.ListAccountsResponse)

    async def list_entries(self, account: str, page_size: int, page_token: str) -> ledger.ListEntriesResponse:
        """Entries of an account, newest first."""
        request = ledger.ListEntriesRequest(account=account, page_size=page_size, page_token=page_token)
        return await self._read(request, ledger.ListEntriesResponse)

    async def get_unit(self, name: str) -> ledger.GetUnitResponse:
        """One unit."""
        return await self._read(ledger.GetUnitRequest(name=name), ledger.GetUnitResponse)

    async def list_units(self, page_size: int, page_token: str) -> ledger.ListUnitsResponse:
        """Units by id."""
        return await self._read(
            ledger.ListUnitsRequest(page_size=page_size, page_token=page_token), ledger.ListUnitsResponse
        )

    async def get_controller(self, name: str) -> ledger.GetControllerResponse:
        """One controller."""
        return await self._read(ledger.GetControllerRequest(name=name), ledger.GetControllerResponse)

    async def get_hold(self, name: str) -> ledger.GetHoldResponse:
        """One open hold."""
        return await self._read(ledger.GetHoldRequest(name=name), ledger.GetHoldResponse)

    async def get_allowance(self, organization: str) -> ledger.GetAllowanceResponse:
        """One organization's allowance."""
        return await self._read(
            ledger.GetAllowanceRequest(organization=organization), ledger.GetAllowanceResponse
        )

    async def get_recovery(self, name: str) -> ledger.GetRecoveryResponse:
        """A principal's recovery that is under way."""
        return await self._read(ledger.GetRecoveryRequest(name=name), ledger.GetRecoveryResponse)

    async def get_transaction(self, name: str) -> ledger.GetTransactionResponse:
        """What became of a transaction."""
        return await self._read(ledger.GetTransactionRequest(name=name), ledger.GetTransactionResponse)

    async def get_block(self, name: str) -> ledger.GetBlockResponse:
        """One executed block."""
        return await self._read(ledger.GetBlockRequest(name=name), ledger.GetBlockResponse)

    async def list_blocks(self, page_size: int, page_token: str) -> ledger.ListBlocksResponse:
        """Executed blocks, newest first."""
        return await self._read(
            ledger.ListBlocksRequest(page_size=page_size, page_token=page_token), ledger.ListBlocksResponse
        )

    async def get_proof(self, name: str, from_epoch: int) -> ledger.GetProofResponse:
        """Proof of a leaf, or of its absence."""
        return await self._read(
            ledger.GetProofRequest(name=name, from_epoch=from_epoch), ledger.GetProofResponse
        )

    async def get_authority(self, name: str) -> ledger.GetAuthorityResponse:
        """One authority."""
        return await self._read(ledger.GetAuthorityRequest(name=name), ledger.GetAuthorityResponse)

    async def get_membership(self, name: str) -> ledger.GetMembershipResponse:
        """One membership, ``memberships/<organization>/<member>``."""
        return await self._read(ledger.GetMembershipRequest(name=name), ledger.GetMembershipResponse)

    async def list_memberships(
        self, *, organization: str = "", member: str = "", page_size: int = 0, page_token: str = ""
    ) -> ledger.ListMembershipsResponse:
        """Memberships of an organization or of a member (one of them, ``principals/…``)."""
        request = ledger.ListMembershipsRequest(
            organization=organization, member=member, page_size=page_size, page_token=page_token
        )
        return await self._read(request, ledger.ListMembershipsResponse)

    async def get_poll(self, name: str) -> ledger.GetPollResponse:
        """One poll."""
        return await self._read(ledger.GetPollRequest(name=name), ledger.GetPollResponse)

    async def list_ballots(
        self, poll: str, page_size: int = 0, page_token: str = ""
    ) -> ledger.ListBallotsResponse:
        """Ballots of a poll by voter."""
        request = ledger.ListBallotsRequest(poll=poll, page_size=page_size, page_token=page_token)
        return await self._read(request, ledger.ListBallotsResponse)

    async def get_decision(self, name: str) -> ledger.GetDecisionResponse:
        """One enacted decision."""
        return await self._read(ledger.GetDecisionRequest(name=name), ledger.GetDecisionResponse)

    async def get_contract(self, name: str) -> ledger.GetContractResponse:
        """One contract."""
        return await self._read(ledger.GetContractRequest(name=name), ledger.GetContractResponse)

    async def query_contract(
        self, name: str, message: bytes, fuel_limit: int = 0
    ) -> ledger.QueryContractResponse:
        """What a contract answers."""
        request = ledger.QueryContractRequest(name=name, message=message, fuel_limit=fuel_limit)
        return await self._read(request, ledger.QueryContractResponse)

    async def list_duties(
        self, organization: str = "", page_size: int = 0, page_token: str = ""
    ) -> ledger.ListDutiesResponse:
        """Duty evidence, newest epoch first."""
        request = ledger.ListDutiesRequest(
            organization=organization, page_size=page_size, page_token=page_token
        )
        return await self._read(request, ledger.ListDutiesResponse)

    async def watch_blocks(self, from_height: int) -> AsyncIterator[ledger.WatchBlocksResponse]:
        """Executed blocks from a height on (0: from the next one), without their receipts, as one validator
        sends them.

        Raises:
            DomainError: the stream has ended, with why; ask again from the height after the last one.
        """
        request = ledger.WatchBlocksRequest(from_height=from_height, without_receipts=True)
        standing = order_of_preference(self._standings, self._preferred_seat, monotonic())[0]
        address = self._addresses[standing.seat]
        stub = self._channels.stub(LedgerServiceStub, address.ledger, address.server_name)
        try:
            async for response in stub.WatchBlocks(request):
                yield response
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc_error(error)
            if refusal.kind in _ELSEWHERE:
                standing.failed(monotonic())
            raise refusal from error
        raise Unavailable("STREAM_ENDED", "the validator ended the stream")

    # Submission and statuses.

    async def submit(self, transactions: Sequence[bytes], wait_ms: int) -> Sequence[consensus.SubmitOutcome]:
        """Hand over and wait; one outcome per transaction, in order.

        Handing the same transactions to a second validator is safe: a block includes an id once.
        """
        request = consensus.SubmitTransactionsRequest(transactions=transactions, wait_ms=wait_ms)
        seconds = wait_ms / 1_000 + SUBMIT_SECONDS_MARGIN

        def call(
            address: ValidatorAddress, timeout: float
        ) -> Awaitable[consensus.SubmitTransactionsResponse]:
            answer: Awaitable[consensus.SubmitTransactionsResponse] = self._consensus(
                address
            ).SubmitTransactions(request, timeout=timeout, metadata=trace_metadata())
            return answer

        response = await self._with_failover(call, seconds, seconds)
        if len(response.outcomes) != len(transactions):
            _log.error("validator answered with a wrong number of outcomes", expected=len(transactions))
            raise DeadlineExceeded("OUTCOMES_MISSING", "the validator's answer is incomplete")
        return response.outcomes

    async def read_statuses(self) -> Sequence[ValidatorReport]:
        """One report per validator, by seat; never raises for an unreachable one. The answers also tell which
        validator to prefer."""
        reports = await asyncio.gather(*(self._status(standing) for standing in self._standings))
        REACHABLE.set(sum(report.status is not None for report in reports))
        return reports

    async def watch(self) -> None:
        """Refresh the standings until cancelled, so that a first failure already knows the healthiest
        other."""
        while True:
            await self.read_statuses()
            await asyncio.sleep(WATCH_SECONDS)

    async def _status(self, standing: Standing) -> ValidatorReport:
        address = self._addresses[standing.seat]
        try:
            status = await self._consensus(address).GetStatus(
                consensus.GetStatusRequest(), timeout=STATUS_SECONDS_MAX, metadata=trace_metadata()
            )
        except grpc.aio.AioRpcError:
            standing.failed(monotonic())
            return ValidatorReport(standing.seat, None)
        standing.succeeded()
        standing.executed_height = status.executed_height
        standing.is_catching_up = status.is_catching_up
        return ValidatorReport(standing.seat, status)

    async def ask(self, request: Message) -> Any:
        """Any read of the ledger: the call whose request this is.

        For who carries questions without a word of its own about them; a test with a fake of one call is
        served better by the named methods above.
        """
        return await self._read(request, Message)

    async def _read(self, request: Message, _response: type[Response]) -> Response:
        method = request.DESCRIPTOR.name.removesuffix("Request")

        def call(address: ValidatorAddress, timeout: float) -> Awaitable[Response]:
            stub = self._channels.stub(LedgerServiceStub, address.ledger, address.server_name)
            answer: Awaitable[Response] = getattr(stub, method)(
                request, timeout=timeout, metadata=trace_metadata()
            )
            return answer

        return await self._with_failover(call, READ_SECONDS_MAX, ATTEMPT_SECONDS_MAX)

    def _consensus(self, address: ValidatorAddress) -> Any:
        return self._channels.stub(ConsensusServiceStub, address.consensus, address.server_name)

    async def _with_failover(
        self,
        call: Callable[[ValidatorAddress, float], Awaitable[Response]],
        seconds: float,
        attempt_seconds: float,
    ) -> Response:
        """Ask one validator after the other until one answers, at most ``seconds`` in all.

        A refusal is an answer. Raises the last failure when nobody answered.
        """
        ends_at = monotonic() + seconds
        failure: DomainError = Unavailable("NO_VALIDATOR_REACHABLE", "no validator is reachable")
        for attempt, standing in enumerate(
            order_of_preference(self._standings, self._preferred_seat, monotonic())
        ):
            remaining = ends_at - monotonic()
            if remaining <= 0:
                break
            if attempt:
                FAILOVERS.inc()
            try:
                response = await call(self._addresses[standing.seat], min(remaining, attempt_seconds))
            except grpc.aio.AioRpcError as error:
                refusal = from_rpc_error(error)
                is_elsewhere = refusal.kind in _ELSEWHERE
                is_hanging = refusal.kind is ErrorKind.DEADLINE_EXCEEDED and attempt_seconds < seconds
                if not (is_elsewhere or is_hanging):
                    if refusal.kind is not ErrorKind.DEADLINE_EXCEEDED:
                        self._answered(standing)
                    raise refusal from error
                standing.failed(monotonic())
                _log.info("validator unreachable", seat=standing.seat, reason=refusal.reason)
                failure = refusal
                continue
            self._answered(standing)
            return response
        if failure.kind in _ELSEWHERE:
            raise Unavailable("NO_VALIDATOR_REACHABLE", "no validator is reachable") from failure
        raise failure

    def _answered(self, standing: Standing) -> None:
        standing.succeeded()
        self._preferred_seat = standing.seat
