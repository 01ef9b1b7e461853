"""The validators as one ledger and one pool: asks the preferred one, and the next when it is unreachable."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.message import Message
from icn.consensus.v1 import service_pb2 as consensus
from icn.consensus.v1.service_pb2_grpc import ConsensusServiceStub
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1.service_pb2_grpc import LedgerServiceStub
from icn_kit.channel import ChannelFactory
from icn_kit.errors import DeadlineExceeded, DomainError, ErrorKind, Unavailable, from_rpc_error
from icn_kit.trace import trace_metadata
from prometheus_client import Counter, Gauge

from icn_gateway.domain.preference import Standing, ValidatorAddress, order_of_preference
from icn_gateway.usecases.ports import ValidatorReport

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
    "icn_gateway_validator_failovers_total", "Calls that went to another validator than the first asked."
)
REACHABLE = Gauge(
    "icn_gateway_validators_reachable", "Validators that answered the last question for their status."
)

_ELSEWHERE = frozenset({ErrorKind.UNAVAILABLE, ErrorKind.CANCELLED})
"""After these the call goes to the next validator."""

Response = TypeVar("Response")
_log = structlog.get_logger(__name__)


class Validators:
    """Implements `LedgerReader`, `TransactionPool` and `ValidatorStatuses` over all validators of the zone.

    Args:
        addresses: one per seat that this gateway may ask. channels: a factory without retries of its own:
        another validator is asked sooner than the same one again.
    """

    def __init__(self, addresses: Sequence[ValidatorAddress], channels: ChannelFactory) -> None:
        assert addresses, "settings require at least one validator"
        self._addresses = {address.seat: address for address in addresses}
        self._standings = [Standing(seat) for seat in sorted(self._addresses)]
        self._preferred_seat = self._standings[0].seat
        self._channels = channels

    # Reads of the ledger.

    async def get_account(self, name: str) -> ledger.GetAccountResponse:
        """See `LedgerReader`."""
        return await self._read(ledger.GetAccountRequest(name=name), ledger.GetAccountResponse)

    async def list_accounts(self, owner: str, page_size: int, page_token: str) -> ledger.ListAccountsResponse:
        """See `LedgerReader`."""
        request = ledger.ListAccountsRequest(owner=owner, page_size=page_size, page_token=page_token)
        return await self._read(request, ledger.ListAccountsResponse)

    async def list_entries(self, account: str, page_size: int, page_token: str) -> ledger.ListEntriesResponse:
        """See `LedgerReader`."""
        request = ledger.ListEntriesRequest(account=account, page_size=page_size, page_token=page_token)
        return await self._read(request, ledger.ListEntriesResponse)

    async def get_unit(self, name: str) -> ledger.GetUnitResponse:
        """See `LedgerReader`."""
        return await self._read(ledger.GetUnitRequest(name=name), ledger.GetUnitResponse)

    async def list_units(self, page_size: int, page_token: str) -> ledger.ListUnitsResponse:
        """See `LedgerReader`."""
        return await self._read(
            ledger.ListUnitsRequest(page_size=page_size, page_token=page_token), ledger.ListUnitsResponse
        )

    async def get_controller(self, name: str) -> ledger.GetControllerResponse:
        """See `LedgerReader`."""
        return await self._read(ledger.GetControllerRequest(name=name), ledger.GetControllerResponse)

    async def get_hold(self, name: str) -> ledger.GetHoldResponse:
        """See `LedgerReader`."""
        return await self._read(ledger.GetHoldRequest(name=name), ledger.GetHoldResponse)

    async def get_allowance(self, organization: str) -> ledger.GetAllowanceResponse:
        """See `LedgerReader`."""
        return await self._read(
            ledger.GetAllowanceRequest(organization=organization), ledger.GetAllowanceResponse
        )

    async def get_recovery(self, name: str) -> ledger.GetRecoveryResponse:
        """See `LedgerReader`."""
        return await self._read(ledger.GetRecoveryRequest(name=name), ledger.GetRecoveryResponse)

    async def get_transaction(self, name: str) -> ledger.GetTransactionResponse:
        """See `LedgerReader`."""
        return await self._read(ledger.GetTransactionRequest(name=name), ledger.GetTransactionResponse)

    async def get_block(self, name: str) -> ledger.GetBlockResponse:
        """See `LedgerReader`."""
        return await self._read(ledger.GetBlockRequest(name=name), ledger.GetBlockResponse)

    async def list_blocks(self, page_size: int, page_token: str) -> ledger.ListBlocksResponse:
        """See `LedgerReader`."""
        return await self._read(
            ledger.ListBlocksRequest(page_size=page_size, page_token=page_token), ledger.ListBlocksResponse
        )

    async def get_proof(self, name: str, from_epoch: int) -> ledger.GetProofResponse:
        """See `LedgerReader`."""
        return await self._read(
            ledger.GetProofRequest(name=name, from_epoch=from_epoch), ledger.GetProofResponse
        )

    # Submission and statuses.

    async def submit(self, transactions: Sequence[bytes], wait_ms: int) -> Sequence[consensus.SubmitOutcome]:
        """See `TransactionPool`. Handing the same transactions to a second validator is safe: a block
        includes an id once."""
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
        """See `ValidatorStatuses`; the answers also tell which validator to prefer."""
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
