"""Connections to a running network: its addresses, its validators' doors, reads of the ledger.

Source: docs/spec/genesis.md; the directory is described in `icn_localnet.network`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message as ProtoMessage
from icn.consensus.v1.service_pb2 import (
    SUBMIT_STATE_COMMITTED,
    SUBMIT_STATE_EXPIRED,
    SUBMIT_STATE_PENDING,
    SUBMIT_STATE_REFUSED,
    GetNodeRequest,
    GetNodeResponse,
    GetStatusRequest,
    GetStatusResponse,
    StreamTransactionsRequest,
    SubmitOutcome,
)
from icn.consensus.v1.service_pb2_grpc import ConsensusServiceStub
from icn.ledger.v1.service_pb2 import (
    Account,
    BlockSummary,
    GetAccountRequest,
    GetAccountResponse,
    GetAllowanceRequest,
    GetBalanceRequest,
    GetBalanceResponse,
    GetBlockRequest,
    GetContractRequest,
    GetContractResponse,
    GetControllerRequest,
    GetHoldRequest,
    GetOrderRequest,
    GetProofRequest,
    GetProofResponse,
    GetReceiptProofRequest,
    GetRecoveryRequest,
    GetStatementRequest,
    GetStatementResponse,
    GetTransactionRequest,
    GetUnitRequest,
    GetUnitResponse,
    ListAccountsRequest,
    ListEntriesRequest,
    ListHoldsRequest,
    ListLimitChangesRequest,
    ListOrdersRequest,
    ListUnitsRequest,
    QueryContractRequest,
    QueryContractResponse,
    WatchAccountRequest,
    WatchAccountResponse,
)
from icn.ledger.v1.service_pb2_grpc import LedgerServiceStub
from icn_chain.checkpoint import Checkpoint
from icn_kit.channel import ChannelFactory
from icn_kit.errors import DomainError, FailedPrecondition, NotFound, Unavailable, from_rpc_error
from icn_kit.genesis import Genesis, GenesisInvalid, load_genesis
from icn_kit.ledger_streams import WATCH_ACCOUNT
from icn_kit.min_height import min_height_metadata
from icn_kit.tls import TlsFiles

from icn_client.light.proof_file import from_response
from icn_client.light.receipt_proof import receipt_proof_of
from icn_client.light.verify import verify_proof
from icn_client.platforms import GATEWAY_FILE, is_connected
from icn_client.submitter import Door, DoorClosed, News, NewsState, TransactionMalformed

NETWORK_FORMAT: Final = 3
"""Beside ``genesis.json`` in a directory that `icn connect` has made."""
STREAM: Final = "/icn.consensus.v1.ConsensusService/StreamTransactions"
STATEMENT: Final = "/icn.ledger.v1.LedgerService/GetStatement"
STATEMENT_SECONDS: Final = 60.0
"""As long as a server lets a call take; a longer statement goes on in another call."""
SERVICES: Final = ("identity", "governance", "marketplace", "reputation")
"""What the host runs beside the validators; each answers at an address of its own."""
REPEATABLE: Final = (
    "/icn.ledger.v1.LedgerService/",
    "/icn.consensus.v1.ConsensusService/GetNode",
    "/icn.consensus.v1.ConsensusService/GetStatus",
    *(f"/icn.{name}.v1.{name.capitalize()}Service/" for name in SERVICES),
)
"""Reads, and commands, which have one effect however often they are sent."""
CALL_SECONDS: Final = 10.0
OPEN_SECONDS: Final = 3.0
"""A validator on the same machine or continent answers in this time or counts as away."""
PROOF_SECONDS: Final = 10.0
PROOF_POLL_SECONDS: Final = 0.1
PAGE_SIZE_MAX: Final = 500
PAGES_MAX: Final = 20_000
"""Ten million accounts; a list that goes on longer is not read to its end by a command."""

T = TypeVar("T")
M = TypeVar("M", bound=ProtoMessage)

_STATES: Final = {
    SUBMIT_STATE_PENDING: NewsState.PENDING,
    SUBMIT_STATE_COMMITTED: NewsState.COMMITTED,
    SUBMIT_STATE_REFUSED: NewsState.REFUSED,
    SUBMIT_STATE_EXPIRED: NewsState.EXPIRED,
}


class NetworkFileInvalid(ValueError):
    """``network.json`` is missing or cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class ValidatorAddress:
    """Where one validator listens."""

    seat: int
    name: str
    organization: bytes
    consensus: str
    ledger: str


@dataclass(frozen=True)
class NetworkFile:
    """What a client needs to know of a network; nothing in it is secret but the client's TLS key."""

    directory: Path
    validators: tuple[ValidatorAddress, ...]
    gateway_url: str
    tls: TlsFiles | None
    supervisor_pid: int | None
    services: Mapping[str, str]
    """Address of each service of the host, by name."""
    document: dict[str, Any]
    is_remote: bool = False
    """Only the gateway is known: `icn_client.gateway.GatewayConnection`."""

    @classmethod
    def load(cls, directory: Path) -> NetworkFile:
        """Read ``DIR/network.json``, which a platform on this machine writes, else ``DIR/gateway.json``,
        which may name validators that are reached without the gateway.

        Raises:
            NetworkFileInvalid: see there.
        """
        if is_connected(directory):
            return cls._of_gateway(directory)
        path = directory / "network.json"
        document = _document(path)
        try:
            if document["format"] != NETWORK_FORMAT:
                raise NetworkFileInvalid(f"{path} has format {document['format']}, not {NETWORK_FORMAT}")
            tls = document.get("client_tls")
            return cls(
                directory=directory,
                validators=tuple(
                    ValidatorAddress(
                        item["seat"],
                        item["name"],
                        bytes.fromhex(item["organization"]),
                        item["consensus"],
                        item["ledger"],
                    )
                    for item in document["validators"]
                ),
                gateway_url=document["gateway"]["url"],
                tls=tls
                and TlsFiles(
                    *(directory / tls[name] for name in ("certificate", "key", "authority")),
                ),
                supervisor_pid=document.get("supervisor_pid"),
                services={name: item["address"] for name, item in document["services"].items()},
                document=document,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise NetworkFileInvalid(f"{path}: {error!r}") from error

    @classmethod
    def _of_gateway(cls, directory: Path) -> NetworkFile:
        path = directory / GATEWAY_FILE
        document = _document(path)
        url = document.get("url") if isinstance(document, dict) else None
        if not isinstance(url, str):
            raise NetworkFileInvalid(f"{path} names no gateway")
        try:
            seats = load_genesis(directory / "genesis.json").validators
        except (GenesisInvalid, OSError) as error:
            raise NetworkFileInvalid(f"{directory / 'genesis.json'}: {error}") from error
        validators = tuple(
            ValidatorAddress(seat.seat, seat.name, seat.organization, "", "") for seat in seats
        )
        tls = None
        if is_direct := "validators" in document:
            try:
                validators = tuple(_reached(item, validators) for item in document["validators"])
                tls = TlsFiles(*(Path(document["tls"][name]) for name in ("certificate", "key", "authority")))
            except (KeyError, TypeError, ValueError) as error:
                raise NetworkFileInvalid(f"{path}: {error!r}") from error
        return cls(
            directory=directory,
            validators=validators,
            gateway_url=url,
            tls=tls,
            supervisor_pid=None,
            services={},
            document=document,
            is_remote=not is_direct,
        )

    @property
    def genesis_path(self) -> Path:
        """The zone's genesis file."""
        return self.directory / "genesis.json"

    @cached_property
    def genesis(self) -> Genesis:
        """The zone's genesis, checked.

        Raises:
            GenesisInvalid, OSError: it cannot be used.
        """
        return load_genesis(self.genesis_path)


def _reached(item: Mapping[str, Any], founding: Sequence[ValidatorAddress]) -> ValidatorAddress:
    """Where a validator is reached; of seats that came after genesis the organization is not known here."""
    seat = int(item["seat"])
    known = next((one for one in founding if one.seat == seat), None)
    name, organization = ("", b"") if known is None else (known.name, known.organization)
    return ValidatorAddress(
        seat, name or f"validator-{seat}", organization, str(item["consensus"]), str(item["ledger"])
    )


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NetworkFileInvalid(f"{path} is not there") from None
    except (OSError, ValueError, RecursionError) as error:
        raise NetworkFileInvalid(f"{path}: {error}") from error


def connect(network: NetworkFile) -> Connection:
    """To validators and services, or through the gateway where that is all one knows."""
    if network.is_remote:
        from icn_client.gateway import GatewayConnection

        return GatewayConnection(network)
    return Connection(network)


class Connection:
    """Channels to every validator of a network; use it as an async context."""

    def __init__(self, network: NetworkFile) -> None:
        self.network = network
        self._channels = ChannelFactory(
            network.tls,
            idempotent_methods=REPEATABLE,
            long_lived_streams=(STREAM, WATCH_ACCOUNT),
            call_seconds=CALL_SECONDS,
        )
        self._first = 0
        self._seen_height = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._channels.close()

    @property
    def genesis(self) -> Genesis:
        """The zone's genesis."""
        return self.network.genesis

    def doors(self) -> Sequence[Door]:
        """One door per validator, for a `Submitter`."""
        return [ValidatorDoor(self, address) for address in self.network.validators]

    def consensus(self, address: ValidatorAddress) -> Any:
        """Stub of a validator's ConsensusService."""
        return self._channels.stub(ConsensusServiceStub, address.consensus)

    def ledger(self, address: ValidatorAddress) -> Any:
        """Stub of a validator's LedgerService."""
        return self._channels.stub(LedgerServiceStub, address.ledger)

    def service(self, make: Callable[[grpc.aio.Channel], T], name: str) -> T:
        """Stub of a service of the host: ``connection.service(MarketplaceServiceStub, "marketplace")``.

        Its calls raise grpc's errors; `ask` turns them into domain errors.

        Raises:
            Unavailable: this network has no such service (SERVICE_UNKNOWN).
        """
        return self._channels.stub(make, self._service_address(name))

    async def call_service(self, method: str, request: ProtoMessage, response_type: type[M]) -> M:
        """Call ``/icn.<service>.v1.<Service>/<Method>``.

        Raises:
            DomainError: the service's refusal, or Unavailable when it does not answer.
        """
        channel = self._service_channel(method.split(".")[1])
        call = channel.unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_type.FromString,
        )
        return await ask(call(request))

    def _service_channel(self, name: str) -> Any:
        return self._channels.channel(self._service_address(name))

    def _service_address(self, name: str) -> str:
        address = self.network.services.get(name)
        if address is None:
            raise Unavailable("SERVICE_UNKNOWN", f"this network has no service {name}", service=name)
        return address

    async def status(self, address: ValidatorAddress, seconds: float = OPEN_SECONDS) -> GetStatusResponse:
        """Where a validator stands.

        Raises:
            DomainError: it does not answer.
        """
        return await ask(self.consensus(address).GetStatus(GetStatusRequest(), timeout=seconds))

    async def node(self, address: ValidatorAddress) -> GetNodeResponse:
        """What goes on inside a validator.

        Raises:
            DomainError: it does not answer.
        """
        return await ask(self.consensus(address).GetNode(GetNodeRequest(), timeout=OPEN_SECONDS))

    async def statuses(self) -> list[GetStatusResponse | None]:
        """Where each validator stands, by seat; None for one that does not answer."""

        async def stands(address: ValidatorAddress) -> GetStatusResponse | None:
            try:
                return await self.status(address)
            except DomainError:
                return None

        return await asyncio.gather(*(stands(address) for address in self.network.validators))

    async def newest_block_time_ms(self) -> int:
        """Of the newest block that a validator says it has executed; 0 when none answers."""
        return max((status.block_time_ms for status in await self.statuses() if status), default=0)

    async def read(self, call: Callable[[Any], Awaitable[T]]) -> T:
        """Ask the ledger of one validator, of the next if that one is away.

        Raises:
            DomainError: the answer of the first that answered; Unavailable when none did.
        """
        away: DomainError | None = None
        for offset in range(len(self.network.validators)):
            position = (self._first + offset) % len(self.network.validators)
            try:
                stub = self.ledger(self.network.validators[position])
                answer = await ask(call(self._at_height(stub)))
            except DomainError as error:
                if not _is_away(error):
                    raise
                away = error
                continue
            self._first = position
            return answer
        raise Unavailable("NOBODY_ANSWERS", f"no validator answers: {away}") from away

    def note_height(self, height: int) -> None:
        """Something of ours is in the block at this height: no read is of a state before it."""
        self._seen_height = max(self._seen_height, height)

    def _at_height(self, stub: Any) -> Any:
        return _AtHeight(stub, self._seen_height) if self._seen_height else stub

    async def statement(
        self, account: bytes, from_height: int, until_height: int
    ) -> AsyncGenerator[GetStatementResponse, None]:
        """An account's statement over the blocks from one height on and before another, in parts until the
        closing; another validator goes on where one leaves off, with an opening of its own.

        Raises:
            DomainError: the account is unknown, or nobody answers; STATEMENT_MALFORMED: what one answers is
                none, or does not go on.
        """
        request = GetStatementRequest(
            name=f"accounts/{account.hex()}", from_height=from_height, until_height=until_height
        )
        failures = 0
        while True:
            ledger = self.ledger(self.network.validators[self._first])
            stub = _AtHeight(ledger, max(self._seen_height, until_height - 1))
            try:
                begun_at = request.from_height
                async for part in stub.GetStatement(request, timeout=STATEMENT_SECONDS):
                    if part.entries:
                        request.from_height = _height_after(part, request)
                        failures = 0
                    yield part
                    if part.HasField("closing"):
                        return
                if request.from_height == begun_at:
                    raise Unavailable("STATEMENT_MALFORMED", "a statement has neither entries nor closing")
            except (grpc.RpcError, DomainError) as error:
                failures += 1
                self._ask_elsewhere(_refusal_of(error), failures)

    async def watch_account(
        self, account: bytes, from_height: int = 0
    ) -> AsyncIterator[WatchAccountResponse]:
        """An account as it stands, with its entries from a height on (0: with none), then again whenever it,
        or what its owner may spend, has changed; another validator goes on where one leaves off.

        Raises:
            DomainError: the account is unknown, or nobody answers.
        """
        request = WatchAccountRequest(name=f"accounts/{account.hex()}", from_height=from_height)
        told: WatchAccountResponse | None = None
        failures = 0
        while True:
            stub = self._at_height(self.ledger(self.network.validators[self._first]))
            try:
                async for news in stub.WatchAccount(request):
                    failures = 0
                    request.from_height = news.account.height + 1
                    if told is None or news.entries or _is_other(news, told):
                        yield news
                    told = news
                refusal: DomainError = Unavailable("STREAM_ENDED", "the validator ended the stream")
            except (grpc.RpcError, DomainError) as error:
                refusal = _refusal_of(error)
            failures += 1
            self._ask_elsewhere(refusal, failures)

    def _ask_elsewhere(self, refusal: DomainError, failures: int) -> None:
        """Ask the next validator first, after so many in a row; raises the refusal where no other would help,
        or each was asked."""
        if not _is_away(refusal) or failures == len(self.network.validators):
            raise refusal
        self._first = (self._first + 1) % len(self.network.validators)

    def prefer(self, address: ValidatorAddress) -> None:
        """Ask this validator first from now on."""
        self._first = self.network.validators.index(address)

    async def account(self, account: bytes) -> Account:
        """One account. Raises DomainError (ACCOUNT_UNKNOWN)."""
        return (await self.account_with_credit(account)).account

    async def account_with_credit(self, account: bytes) -> GetAccountResponse:
        """One account, and how far its owner may go. Raises DomainError (ACCOUNT_UNKNOWN)."""
        request = GetAccountRequest(name=f"accounts/{account.hex()}")
        return await self.read(lambda stub: stub.GetAccount(request))

    async def balance(
        self, account: bytes, *, height: int | None = None, time_ms: int | None = None
    ) -> GetBalanceResponse:
        """What an account had after a height, or at a time. Raises DomainError."""
        request = GetBalanceRequest(name=f"accounts/{account.hex()}", height=height, time_ms=time_ms)
        return await self.read(lambda stub: stub.GetBalance(request))

    async def unit(self, unit: bytes) -> Any:
        """A unit's leaf. Raises DomainError (UNIT_UNKNOWN)."""
        return (await self.unit_with_policy(unit)).unit

    async def unit_with_policy(self, unit: bytes) -> GetUnitResponse:
        """A unit's leaf, with its policy and its newest closed period. Raises DomainError (UNIT_UNKNOWN)."""
        request = GetUnitRequest(name=f"units/{unit.hex()}")
        return await self.read(lambda stub: stub.GetUnit(request))

    async def unit_of(self, account: bytes) -> Any:
        """The leaf of an account's unit. Raises DomainError (ACCOUNT_UNKNOWN)."""
        return await self.unit((await self.account(account)).leaf.unit)

    async def hold(self, hold: bytes) -> Any:
        """An open hold's leaf, an offer of exchange among them. Raises DomainError (HOLD_UNKNOWN)."""
        request = GetHoldRequest(name=f"holds/{hold.hex()}")
        return (await self.read(lambda stub: stub.GetHold(request))).hold

    async def order(self, order: bytes) -> Any:
        """An open order's leaf. Raises DomainError (ORDER_UNKNOWN)."""
        request = GetOrderRequest(name=f"orders/{order.hex()}")
        return (await self.read(lambda stub: stub.GetOrder(request))).order

    def orders(self, account: bytes) -> AsyncIterator[Any]:
        """Leaves of all orders that debit or credit an account, ascending by id. Raises DomainError."""
        return self._listed("ListOrders", ListOrdersRequest(account=f"accounts/{account.hex()}"), "orders")

    def holds(self, account: bytes) -> AsyncIterator[Any]:
        """Leaves of all open holds that debit or may pay an account, ascending by id. Raises DomainError."""
        return self._listed("ListHolds", ListHoldsRequest(account=f"accounts/{account.hex()}"), "holds")

    def exchange_offers(self) -> AsyncIterator[Any]:
        """Leaves of the holds of all offers of exchange, ascending by id."""
        return self._listed("ListHolds", ListHoldsRequest(), "holds")

    async def _listed(self, method: str, request: Any, field: str) -> AsyncIterator[Any]:
        """What all pages of a list hold. Raises DomainError."""
        request.page_size = PAGE_SIZE_MAX
        for _ in range(PAGES_MAX):
            page = await self.read(partial(_call, method, request))
            for item in getattr(page, field):
                yield item
            request.page_token = page.next_page_token
            if not request.page_token:
                return
        raise Unavailable("LIST_TOO_LONG", f"more than {PAGES_MAX * PAGE_SIZE_MAX} {field}")

    async def limit_changes(self, name: str, limit: int) -> list[Any]:
        """The newest changes of the limits of ``accounts/…`` or ``units/…``, at most PAGE_SIZE_MAX. Raises
        DomainError."""
        request = ListLimitChangesRequest(name=name, page_size=min(limit, PAGE_SIZE_MAX))
        return list((await self.read(lambda stub: stub.ListLimitChanges(request))).changes)

    async def controller(self, principal: bytes) -> Any:
        """A controller's leaf. Raises DomainError (CONTROLLER_UNKNOWN)."""
        request = GetControllerRequest(name=f"principals/{principal.hex()}")
        return (await self.read(lambda stub: stub.GetController(request))).controller

    async def recovery(self, principal: bytes) -> Any:
        """The leaf of a principal's recovery that is under way. Raises DomainError (RECOVERY_UNKNOWN)."""
        request = GetRecoveryRequest(name=f"recoveries/{principal.hex()}")
        return (await self.read(lambda stub: stub.GetRecovery(request))).recovery

    async def allowance(self, organization: bytes) -> Any:
        """An organization's allowance leaf. Raises DomainError (ALLOWANCE_UNKNOWN)."""
        request = GetAllowanceRequest(organization=f"principals/{organization.hex()}")
        return (await self.read(lambda stub: stub.GetAllowance(request))).allowance

    async def contract(self, contract: bytes) -> GetContractResponse:
        """A contract, with the height it was read at. Raises DomainError."""
        request = GetContractRequest(name=f"contracts/{contract.hex()}")
        return await self.read(lambda stub: stub.GetContract(request))

    async def query_contract(
        self, contract: bytes, message: bytes, fuel_limit: int = 0
    ) -> QueryContractResponse:
        """What a contract answers on the newest state. Raises DomainError: CALL_STOPPED and others."""
        request = QueryContractRequest(
            name=f"contracts/{contract.hex()}", message=message, fuel_limit=fuel_limit
        )
        return await self.read(lambda stub: stub.QueryContract(request))

    def accounts(self, owner: bytes | None = None) -> AsyncIterator[Account]:
        """All accounts, or those of one owner, ascending by id."""
        name = f"principals/{owner.hex()}" if owner is not None else ""
        return self._listed("ListAccounts", ListAccountsRequest(owner=name), "accounts")

    def sub_accounts(self, parent: bytes) -> AsyncIterator[Account]:
        """All sub-accounts of an account, in the order in which they were opened. Raises DomainError:
        ACCOUNT_UNKNOWN; HISTORY_MISSING: who answers does not know it."""
        request = ListAccountsRequest(parent=f"accounts/{parent.hex()}")
        return self._listed("ListAccounts", request, "accounts")

    def units(self) -> AsyncIterator[Any]:
        """All units' leaves, ascending by id."""
        return self._listed("ListUnits", ListUnitsRequest(), "units")

    async def entries(self, account: bytes, limit: int) -> list[Any]:
        """An account's newest entries, at most PAGE_SIZE_MAX. Raises DomainError."""
        request = ListEntriesRequest(account=f"accounts/{account.hex()}", page_size=min(limit, PAGE_SIZE_MAX))
        return list((await self.read(lambda stub: stub.ListEntries(request))).entries)

    async def block_at(self, address: ValidatorAddress, height: int) -> BlockSummary | None:
        """A block as one validator executed it; None when it has not come so far.

        Raises:
            DomainError: it does not answer.
        """
        request = GetBlockRequest(name=f"blocks/{height}")
        try:
            answer = await ask(self.ledger(address).GetBlock(request))
        except NotFound:
            return None
        found: BlockSummary = answer.block
        return found

    async def proof(
        self, name: str, from_epoch: int = 0, *, before_time_ms: int = 0, with_neighbours: bool = False
    ) -> GetProofResponse:
        """A proof of ``accounts/…`` and so on, from genesis or a later epoch, of the newest state or of that
        before a time. Raises DomainError."""
        request = GetProofRequest(
            name=name,
            from_epoch=from_epoch,
            before_time_ms=before_time_ms,
            with_neighbours=with_neighbours,
        )
        return await self.read(lambda stub: stub.GetProof(request))

    async def receipt_proof_file(self, name: str, checkpoint: Checkpoint | None = None) -> bytes:
        """A proof of what became of ``transactions/…`` as a file, checked before it is handed out.

        Raises:
            DomainError: TRANSACTION_UNKNOWN, NAMED_TOO_LATE; PROOF_NOT_READY after PROOF_SECONDS.
            ProofInvalid, ProofMalformed: the validator that answered shows something that does not hold.
        """
        request = GetReceiptProofRequest(name=name, from_epoch=checkpoint.epoch if checkpoint else 0)
        deadline = time.monotonic() + PROOF_SECONDS
        while True:
            try:
                response = await self.read(lambda stub: stub.GetReceiptProof(request))
            except FailedPrecondition as error:
                if error.reason != "PROOF_NOT_READY" or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(PROOF_POLL_SECONDS)
                continue
            first_set = (checkpoint or self.genesis).validator_set
            proof = receipt_proof_of(response, self.genesis.hash, first_set)
            verify_proof(proof, self.genesis, checkpoint)
            return proof.to_bytes()

    async def proof_file(
        self, name: str, checkpoint: Checkpoint | None = None, *, with_neighbours: bool = False
    ) -> bytes:
        """A proof from genesis, or from a checkpoint, as a file, checked before it is handed out; that of an
        absent leaf with those beside it, if wanted.

        It is of the state that was the newest when asked for, if a final header names that within
        PROOF_SECONDS (an idle chain makes one at once), else of the newest that one names.

        Raises:
            DomainError: the name is not one that can be proven, or no proof is there yet.
            ProofInvalid, ProofMalformed: the validator that answered shows something that does not hold.
        """
        wanted_height, wanted_root = await self._newest_state()
        deadline = time.monotonic() + PROOF_SECONDS
        while True:
            is_last = time.monotonic() > deadline
            try:
                from_epoch = checkpoint.epoch if checkpoint else 0
                response = await self.proof(name, from_epoch, with_neighbours=with_neighbours)
            except FailedPrecondition:
                if is_last:
                    raise
            else:
                first_set = (checkpoint or self.genesis).validator_set
                proof = from_response(response, self.genesis.hash, first_set)
                shown = verify_proof(proof, self.genesis, checkpoint)
                # Blocks that change nothing are not named until the next heartbeat; their state is the same.
                if shown.height >= wanted_height or shown.state_root == wanted_root or is_last:
                    return proof.to_bytes()
            await asyncio.sleep(PROOF_POLL_SECONDS)

    async def _newest_state(self) -> tuple[int, bytes]:
        """Highest height that a validator says it has executed, and its root. Raises DomainError when none
        answers."""
        states = [(status.executed_height, status.state_root) for status in await self.statuses() if status]
        if not states:
            raise Unavailable("NOBODY_ANSWERS", "no validator answers")
        return max(states)


class ValidatorDoor:
    """A validator as the submitter sees it (`icn_client.submitter.Door`)."""

    def __init__(self, connection: Connection, address: ValidatorAddress) -> None:
        self._connection = connection
        self._address = address

    @property
    def name(self) -> str:
        """The validator's name in genesis."""
        return self._address.name

    async def open(self) -> ValidatorStream:
        """Start a stream, once the validator has shown that it follows the chain."""
        try:
            status = await self._connection.status(self._address)
        except DomainError as error:
            raise DoorClosed(f"{error.reason}: {error.message}") from error
        if status.genesis_hash != self._connection.genesis.hash:
            raise DoorClosed("it is of another zone")
        if status.is_catching_up:
            raise DoorClosed("it is catching up")
        call = self._connection.consensus(self._address).StreamTransactions()
        return ValidatorStream(call, self._connection.note_height)

    async def find(self, transaction_id: bytes) -> News | None:
        """Ask the validator's ledger by id."""
        request = GetTransactionRequest(name=f"transactions/{transaction_id.hex()}")
        try:
            found = await ask(self._connection.ledger(self._address).GetTransaction(request))
        except NotFound:
            return None
        except DomainError as error:
            raise DoorClosed(f"{error.reason}: {error.message}") from error
        return News(
            transaction_id,
            NewsState.COMMITTED,
            height=found.height,
            receipt=found.receipt.SerializeToString(deterministic=True),
        )

    async def block_time_ms(self) -> int:
        """Time of the newest block it executed."""
        try:
            return (await self._connection.status(self._address)).block_time_ms
        except DomainError as error:
            raise DoorClosed(f"{error.reason}: {error.message}") from error


class ValidatorStream:
    """A stream of transactions to one validator (`icn_client.submitter.DoorStream`)."""

    def __init__(self, call: Any, note_height: Callable[[int], None]) -> None:
        self._call = call
        self._note_height = note_height
        self._is_closed = False

    async def send(self, transactions: Sequence[bytes]) -> None:
        """Write one message; waits while the validator takes no more."""
        try:
            await self._call.write(StreamTransactionsRequest(transactions=transactions))
        except (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise DoorClosed(_said(error)) from error
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise

    async def news(self) -> AsyncIterator[Sequence[News]]:
        """What the validator says, until the stream ends."""
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                news = [_news(outcome) for outcome in message.outcomes]
                self._note_height(max((one.height for one in news), default=0))
                yield news
            code = await self._call.code()
        except grpc.RpcError as error:
            raise DoorClosed(_said(error)) from error
        except asyncio.CancelledError:
            self._raise_if_closed()
            raise
        raise DoorClosed(f"the validator ended the stream: {code.name}")

    async def close(self) -> None:
        """End the stream."""
        self._is_closed = True
        self._call.cancel()

    def _raise_if_closed(self) -> None:
        # A call that we cancel ourselves looks, to those who wait for it, as if their own task were
        # cancelled.
        task = asyncio.current_task()
        if self._is_closed and not (task is not None and task.cancelling()):
            raise DoorClosed("closed") from None


def _height_after(part: GetStatementResponse, asked: GetStatementRequest) -> int:
    """Where a statement goes on; whoever answers must come nearer to its end.

    Raises:
        Unavailable: STATEMENT_MALFORMED.
    """
    first, last = part.entries[0].height, part.entries[-1].height
    if not asked.from_height <= first <= last < asked.until_height:
        raise Unavailable(
            "STATEMENT_MALFORMED",
            f"entries of blocks {first} to {last}, asked for {asked.from_height} to {asked.until_height - 1}",
        )
    return last + 1


def _is_other(one: WatchAccountResponse, other: WatchAccountResponse) -> bool:
    """Whether they differ in more than the height that they were read at."""
    return (one.account.leaf, one.credit) != (other.account.leaf, other.credit)


class _AtHeight:
    """A stub whose calls ask for a state at or above a height."""

    def __init__(self, stub: Any, height: int) -> None:
        self._stub = stub
        self._metadata = min_height_metadata(height)

    def __getattr__(self, method: str) -> Any:
        return partial(getattr(self._stub, method), metadata=self._metadata)


def _news(outcome: SubmitOutcome) -> News:
    if not outcome.transaction_id:
        raise TransactionMalformed(f"transaction {outcome.position} of the stream: {outcome.message}")
    return News(
        outcome.transaction_id,
        _STATES.get(outcome.state, NewsState.UNKNOWN),
        outcome.height,
        outcome.receipt,
        outcome.reason,
        outcome.message,
        outcome.retry_after_ms,
    )


def _said(error: BaseException) -> str:
    return (
        f"{error.code().name}: {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else str(error)
    )


def _refusal_of(error: grpc.RpcError | DomainError) -> DomainError:
    return error if isinstance(error, DomainError) else from_rpc_error(error)


def _is_away(error: DomainError) -> bool:
    return error.kind.name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")


def _call(method: str, request: Any, stub: Any) -> Awaitable[Any]:
    return cast("Awaitable[Any]", getattr(stub, method)(request))


async def ask(call: Awaitable[T]) -> T:
    """The answer of a call.

    Raises:
        DomainError: the refusal that it ended with.
    """
    try:
        return await call
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error
