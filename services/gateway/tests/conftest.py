"""A small zone in memory that speaks the validators' contracts: directly, and over real gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from icn.consensus.v1 import block_pb2
from icn.consensus.v1 import service_pb2 as consensus
from icn.governance.v1 import service_pb2 as governance
from icn.identity.v1 import service_pb2 as identity
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1 import state_pb2 as state
from icn.ledger.v1 import transaction_pb2 as transaction
from icn.marketplace.v1 import service_pb2 as marketplace
from icn_client.transactions import KeyPair, controller_key
from icn_crypto.suites import SigningKey, Suite
from icn_gateway.api.application import build_application
from icn_gateway.api.context import Context
from icn_gateway.api.edge import Edge
from icn_gateway.api.pages import Website
from icn_gateway.domain.rate_limit import RateLimit
from icn_gateway.domain.sign_in import Challenge, Session
from icn_gateway.events.feed import Feed
from icn_gateway.settings import REPOSITORY_WEB
from icn_gateway.usecases.contracts import Method
from icn_gateway.usecases.list_validators import ValidatorWatch
from icn_gateway.usecases.name_book import NameBook
from icn_gateway.usecases.seats_in_force import SeatsInForce
from icn_gateway.usecases.shared_reads import SharedReads
from icn_gateway.usecases.sign_in import SignIn
from icn_gateway.usecases.submit_transactions import transaction_id
from icn_gateway.usecases.units import UnitCatalog
from icn_gateway.usecases.watched_accounts import WatchedAccounts
from icn_kit.errors import FailedPrecondition, InvalidArgument, NotFound
from icn_kit.genesis import Genesis, load_genesis
from icn_kit.key_directory import LedgerKeyDirectory
from icn_kit.validators import ValidatorReport
from icn_localnet.network import Founder, create_network

FOUNDERS = ("Mill Street Bakery", "River Farm", "Tool Library", "Harbour Weavers", "Night Bus")
ORIGIN = "http://gateway"
GENESIS_TIME_MS = 1_790_000_000_000


@pytest.fixture(scope="session")
def genesis_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A genesis file with four seats."""
    directory = tmp_path_factory.mktemp("zone") / "network"
    founders = [
        Founder(name, [{suite: SigningKey.generate(suite).public_key for suite in Suite}])
        for name in FOUNDERS
    ]
    return create_network(directory, founders).genesis_path


def identifier(number: int) -> bytes:
    """A fixed id of 16 bytes."""
    return number.to_bytes(16, "big")


def signed(number: int) -> bytes:
    """Bytes that have the form of a signed transaction; no fake checks a signature."""
    body = transaction.TransactionBody(
        principal=identifier(1),
        payer=identifier(1),
        sequence=number,
        expire_time_ms=GENESIS_TIME_MS + 60_000,
        messages=[
            transaction.Message(
                transfer=transaction.Transfer(
                    source=identifier(10), destination=identifier(11), amount_minor=250
                )
            )
        ],
    )
    return transaction.Transaction(
        body=body.SerializeToString(deterministic=True),
        signatures=[transaction.Signature(suite=1, key_id=identifier(7), signature=bytes(64))],
    ).SerializeToString(deterministic=True)


def photo(request: Any) -> Any:
    """The one photo there is: what EXAMPLE_DIGEST is the hash of."""
    content = b"foo\n"
    if request.name != f"photos/{sha256(content).hexdigest()}":
        raise NotFound("PHOTO_UNKNOWN", "no such photo")
    return marketplace.GetPhotoResponse(content=content, media_type="image/png")


def memo(request: Any) -> Any:
    """The one sealed memo there is: what EXAMPLE_DIGEST is the hash of."""
    content = b"foo\n"
    if request.name != f"memos/{sha256(content).hexdigest()}":
        raise NotFound("MEMO_UNKNOWN", "no such memo")
    return marketplace.GetMemoResponse(content=content)


class FakeServices:
    """Answers by the name of the call: a message as it is, an exception raised, or what a function of the
    request gives. Anything else answers with an empty message, as a service without data may."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "GetCredential": identity.GetCredentialResponse(credential=identity.Credential(document=b"{}")),
            "GetMemo": memo,
            "GetPhoto": photo,
            "GetProposal": governance.GetProposalResponse(
                proposal=governance.Proposal(decision=f"decisions/{'d0' * 32}")
            ),
            "GetResult": governance.GetResultResponse(result=b'{"quota":"3"}', digest=b"\x05" * 32),
            "GetStatement": ledger.GetStatementResponse(
                opening=ledger.StatementEdge(), closing=ledger.StatementEdge(height=3)
            ),
            "GetStatusList": identity.GetStatusListResponse(document=b"{}"),
            "QueryContract": ledger.QueryContractResponse(data=b'{"owed":"12"}', fuel_used=2**60, height=3),
            "ResolveDid": identity.ResolveDidResponse(document=b'{"id":"did:x"}', metadata=b"{}"),
        }
        """Where an empty message is no answer."""
        self.asked: list[tuple[str, Any]] = []

    async def ask(self, method: Method, request: Any) -> Any:
        self.asked.append((method.name, request))
        return self._answer(method, request)

    async def send(self, method: Method, request: bytes) -> Any:
        self.asked.append((method.name, request))
        return self._answer(method, request)

    def _answer(self, method: Method, request: Any) -> Any:
        answer = self.answers.get(method.descriptor.name, method.response())
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer


class FakeSessions:
    """Sessions in memory, with the rules of the real store."""

    def __init__(self) -> None:
        self.sessions: dict[bytes, Session] = {}
        self.codes: dict[bytes, Session] = {}
        self.used: set[bytes] = set()
        self.fault: Exception | None = None

    async def challenge_key(self) -> bytes:
        if self.fault is not None:
            raise self.fault
        return b"\x07" * 32

    def _use(self, challenge: Challenge) -> None:
        if challenge.digest in self.used:
            raise FailedPrecondition("CHALLENGE_USED", "used")
        self.used.add(challenge.digest)

    async def add_session(
        self, token_hash: bytes, session: Session, challenge: Challenge, _now_ms: int
    ) -> None:
        self._use(challenge)
        self.sessions[token_hash] = session

    async def add_code(self, code_hash: bytes, session: Session, challenge: Challenge, _now_ms: int) -> None:
        self._use(challenge)
        self.codes[code_hash] = session

    async def exchange_code(
        self, code_hash: bytes, token_hash: bytes, expire_time_ms: int, now_ms: int
    ) -> Session | None:
        found = self.codes.pop(code_hash, None)
        if found is None or found.expire_time_ms < now_ms:
            return None
        self.sessions[token_hash] = replace(found, expire_time_ms=expire_time_ms)
        return self.sessions[token_hash]

    async def find(self, token_hash: bytes, now_ms: int) -> Session | None:
        if self.fault is not None:
            raise self.fault
        found = self.sessions.get(token_hash)
        return found if found is not None and found.expire_time_ms >= now_ms else None

    async def end(self, token_hash: bytes) -> None:
        self.sessions.pop(token_hash, None)

    async def end_all(self, principal: bytes) -> int:
        ended = [name for name, session in self.sessions.items() if session.principal == principal]
        for name in ended:
            del self.sessions[name]
        return len(ended)


@dataclass
class FakeZone:
    """What four validators agree on, without consensus: implements every port of the gateway."""

    genesis: Genesis
    genesis_file: bytes
    units: dict[bytes, state.UnitLeaf] = field(default_factory=dict)
    accounts: dict[bytes, state.AccountLeaf] = field(default_factory=dict)
    entries: dict[bytes, list[ledger.Entry]] = field(default_factory=dict)
    controllers: dict[bytes, state.ControllerLeaf] = field(default_factory=dict)
    holds: dict[bytes, state.HoldLeaf] = field(default_factory=dict)
    allowances: dict[bytes, state.AllowanceLeaf] = field(default_factory=dict)
    recoveries: dict[bytes, state.RecoveryLeaf] = field(default_factory=dict)
    transactions: dict[bytes, ledger.GetTransactionResponse] = field(default_factory=dict)
    blocks: list[ledger.BlockSummary] = field(default_factory=list)
    seats: list[bytes] = field(default_factory=list)
    """Organizations that hold the seats; empty: those of genesis."""
    proofs: dict[str, ledger.GetProofResponse] = field(default_factory=dict)
    outcomes: dict[bytes, consensus.SubmitOutcome] = field(default_factory=dict)
    """By transaction bytes; PENDING for all others."""
    submissions: list[tuple[int, int]] = field(default_factory=list)
    """How many transactions and how long a wait, per call."""
    calls: list[str] = field(default_factory=list)
    unreachable: set[int] = field(default_factory=set)
    services: FakeServices = field(default_factory=FakeServices)
    sessions: FakeSessions = field(default_factory=FakeSessions)
    keys: dict[bytes, list[KeyPair]] = field(default_factory=dict)
    """Keys of principals that can sign in, by principal."""
    now: int = GENESIS_TIME_MS
    """Unix milliseconds on the gateway's clock."""
    fault: Exception | None = None
    """Raised by every read and submission, if set."""

    # What the ledger answers

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.fault is not None:
            raise self.fault

    async def get_account(self, name: str) -> ledger.GetAccountResponse:
        self._called("get_account")
        leaf = _look_up(self.accounts, name, "ACCOUNT_UNKNOWN")
        return ledger.GetAccountResponse(
            account=ledger.Account(name=name, leaf=leaf, height=self.height),
            credit=ledger.Credit(
                limit_minor=leaf.floor_minor,
                soft_limit_minor=leaf.floor_minor,
                spendable_minor=max(0, leaf.balance_minor - leaf.held_minor - leaf.floor_minor),
                is_main=True,
            ),
        )

    async def list_accounts(self, owner: str, page_size: int, page_token: str) -> ledger.ListAccountsResponse:
        self._called("list_accounts")
        found = [
            ledger.Account(name=f"accounts/{key.hex()}", leaf=leaf, height=self.height)
            for key, leaf in sorted(self.accounts.items())
            if not owner or owner == f"principals/{leaf.owner.hex()}"
        ]
        rows, token = _page(found, page_size, page_token)
        return ledger.ListAccountsResponse(accounts=rows, next_page_token=token)

    async def list_entries(self, account: str, page_size: int, page_token: str) -> ledger.ListEntriesResponse:
        self._called("list_entries")
        found = self.entries.get(bytes.fromhex(account.partition("/")[2]), [])
        rows, token = _page(list(reversed(found)), page_size, page_token)
        return ledger.ListEntriesResponse(entries=rows, next_page_token=token)

    async def get_unit(self, name: str) -> ledger.GetUnitResponse:
        self._called("get_unit")
        return ledger.GetUnitResponse(unit=_look_up(self.units, name, "UNIT_UNKNOWN"))

    async def list_units(self, page_size: int, page_token: str) -> ledger.ListUnitsResponse:
        self._called("list_units")
        rows, token = _page([leaf for _, leaf in sorted(self.units.items())], page_size, page_token)
        return ledger.ListUnitsResponse(units=rows, next_page_token=token)

    async def get_controller(self, name: str) -> ledger.GetControllerResponse:
        self._called("get_controller")
        return ledger.GetControllerResponse(controller=_look_up(self.controllers, name, "CONTROLLER_UNKNOWN"))

    async def get_hold(self, name: str) -> ledger.GetHoldResponse:
        self._called("get_hold")
        return ledger.GetHoldResponse(hold=_look_up(self.holds, name, "HOLD_UNKNOWN"))

    async def get_allowance(self, organization: str) -> ledger.GetAllowanceResponse:
        self._called("get_allowance")
        leaf = _look_up(self.allowances, organization, "ALLOWANCE_UNKNOWN")
        return ledger.GetAllowanceResponse(allowance=leaf)

    async def get_recovery(self, name: str) -> ledger.GetRecoveryResponse:
        self._called("get_recovery")
        return ledger.GetRecoveryResponse(recovery=_look_up(self.recoveries, name, "RECOVERY_UNKNOWN"))

    async def get_transaction(self, name: str) -> ledger.GetTransactionResponse:
        self._called("get_transaction")
        return _look_up(self.transactions, name, "TRANSACTION_UNKNOWN")

    async def get_block(self, name: str) -> ledger.GetBlockResponse:
        self._called("get_block")
        height = int(name.partition("/")[2])
        if height >= len(self.blocks):
            raise NotFound("BLOCK_UNKNOWN", "no such block")
        return ledger.GetBlockResponse(block=self.blocks[height])

    async def list_blocks(self, page_size: int, page_token: str) -> ledger.ListBlocksResponse:
        self._called("list_blocks")
        rows, token = _page(list(reversed(self.blocks)), page_size, page_token)
        return ledger.ListBlocksResponse(blocks=rows, next_page_token=token)

    async def get_proof(self, name: str, from_epoch: int) -> ledger.GetProofResponse:
        self._called("get_proof")
        if name not in self.proofs:
            raise NotFound("PROOF_UNKNOWN", "the fake proves only what it was given")
        return self.proofs[name]

    async def get_validators(self) -> ledger.GetValidatorsResponse:
        self._called("get_validators")
        organizations = self.seats or [seat.organization for seat in self.genesis.validators]
        seats = [ledger.Seat(organization=organization) for organization in organizations]
        return ledger.GetValidatorsResponse(in_force=ledger.Seats(seats=seats))

    # What consensus answers

    async def submit(self, transactions: Sequence[bytes], wait_ms: int) -> list[consensus.SubmitOutcome]:
        self._called("submit")
        self.submissions.append((len(transactions), wait_ms))
        return [
            self.outcomes.get(
                submitted,
                consensus.SubmitOutcome(
                    transaction_id=transaction_id(submitted, self.genesis.hash),
                    state=consensus.SUBMIT_STATE_PENDING,
                    position=position,
                ),
            )
            for position, submitted in enumerate(transactions)
        ]

    def status(self, seat: int) -> consensus.GetStatusResponse:
        return consensus.GetStatusResponse(
            seat=seat,
            view=self.height + 3,
            final_height=self.height + 1,
            executed_height=self.height,
            state_root=b"\x11" * 32,
            block_time_ms=GENESIS_TIME_MS,
            genesis_hash=self.genesis.hash,
            protocol_version=1,
            protocol_newest=1,
            protocol_next=2,
            halted="upgrade icn",
            peers=[
                consensus.PeerStatus(seat=other, is_connected=True, protocol_newest=2)
                for other in range(4)
                if other != seat
            ],
        )

    async def read_statuses(self) -> list[ValidatorReport]:
        return [
            ValidatorReport(seat, None if seat in self.unreachable else self.status(seat))
            for seat in range(4)
        ]

    # How tests fill it

    def now_ms(self) -> int:
        return self.now

    def seconds(self) -> float:
        return self.now / 1_000

    def add_principal(self, number: int, keys: int = 1, threshold: int = 1) -> bytes:
        """A principal whose keys the test holds."""
        principal = identifier(number)
        self.keys[principal] = [KeyPair.generate() for _ in range(keys)]
        self.controllers[principal] = state.ControllerLeaf(
            principal=principal,
            threshold=threshold,
            keys=[controller_key(key.public_keys) for key in self.keys[principal]],
        )
        return principal

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    def add_block(self, transactions: Sequence[bytes] = ()) -> None:
        height = len(self.blocks)
        header = block_pb2.BlockHeader(
            protocol_version=1,
            height=height,
            view=height,
            parent=bytes(32),
            time_ms=GENESIS_TIME_MS + 1_000 * height,
            transactions_root=b"\x01" * 32,
            executed_height=max(0, height - 1),
            state_root=b"\x02" * 32,
            receipts_root=b"\x03" * 32,
            log_root=b"\x04" * 32,
            parent_certificate_digest=bytes(32),
            finalization_digest=bytes(32),
            validator_set_hash=self.genesis.validator_set_hash,
            next_validator_set_hash=self.genesis.validator_set_hash,
        )
        self.blocks.append(
            ledger.BlockSummary(
                height=height,
                hash=bytes([height % 256]) * 32,
                header=header.SerializeToString(deterministic=True),
                transactions=len(transactions),
                transaction_ids=transactions,
                state_root=b"\x11" * 32,
            )
        )

    def add_unit(self, number: int, code: str, scale: int = 2, default_floor_minor: int = -50_000) -> bytes:
        unit = identifier(number)
        issuer = self.genesis.organizations[0].principal
        self.units[unit] = state.UnitLeaf(
            unit=unit,
            code=code,
            scale=scale,
            issuer=issuer,
            authority=issuer,
            default_floor_minor=default_floor_minor,
        )
        return unit

    def add_account(self, number: int, owner: bytes, unit: bytes, *, floor_minor: int = -50_000) -> bytes:
        account = identifier(number)
        self.accounts[account] = state.AccountLeaf(
            account=account, owner=owner, unit=unit, floor_minor=floor_minor
        )
        return account

    def transfer(self, source: bytes, destination: bytes, amount_minor: int) -> bytes:
        """Move credit in a block of its own; returns the transaction's id."""
        submitted = signed(len(self.blocks) + 1)
        name = transaction_id(submitted, self.genesis.hash)
        postings = []
        for account, counter, signed_amount in (
            (source, destination, -amount_minor),
            (destination, source, amount_minor),
        ):
            leaf = self.accounts[account]
            leaf.balance_minor += signed_amount
            posting = state.Posting(
                account=account,
                counter_account=counter,
                amount_minor=signed_amount,
                balance_minor=leaf.balance_minor,
                kind=state.POSTING_KIND_TRANSFER,
            )
            postings.append(posting)
            leaf.entries += 1
            self.entries.setdefault(account, []).append(
                ledger.Entry(
                    height=len(self.blocks),
                    index=len(postings) - 1,
                    transaction_id=name,
                    posting=posting,
                    block_time_ms=GENESIS_TIME_MS + 1_000 * len(self.blocks),
                    number=leaf.entries,
                )
            )
        receipt = state.Receipt(transaction_id=name, status=state.RECEIPT_STATUS_APPLIED, postings=postings)
        self.transactions[name] = ledger.GetTransactionResponse(
            height=len(self.blocks), receipt=receipt, block_time_ms=GENESIS_TIME_MS
        )
        self.outcomes[submitted] = consensus.SubmitOutcome(
            transaction_id=name,
            state=consensus.SUBMIT_STATE_COMMITTED,
            height=len(self.blocks),
            receipt=receipt.SerializeToString(deterministic=True),
        )
        self.add_block([name])
        return name


def _look_up(table: dict[bytes, Any], name: str, reason: str) -> Any:
    found = table.get(bytes.fromhex(name.partition("/")[2]))
    if found is None:
        raise NotFound(reason, f"no such thing as {name}", name=name)
    return found


def _page(rows: list[Any], page_size: int, page_token: str) -> tuple[list[Any], str]:
    if page_token and not page_token.isdecimal():
        raise InvalidArgument("MALFORMED_PAGE_TOKEN", "not a page token of this list")
    start = int(page_token or 0)
    end = start + (page_size or 50)
    return rows[start:end], str(end) if end < len(rows) else ""


@pytest.fixture
def zone(genesis_path: Path) -> FakeZone:
    """A zone with two units, six accounts and some trade."""
    return trading_zone(genesis_path)


def trading_zone(genesis_path: Path) -> FakeZone:
    """See `zone`."""
    made = FakeZone(load_genesis(genesis_path), genesis_path.read_bytes())
    made.add_block()
    organizations = made.genesis.organizations
    hours = made.add_unit(100, "HOURS")
    river = made.add_unit(101, "RIVER", scale=0, default_floor_minor=-(2**62))
    accounts = [
        made.add_account(10 + number, organization.principal, hours)
        for number, organization in enumerate(organizations)
    ]
    made.add_account(20, identifier(77), river, floor_minor=-(2**62))
    made.transfer(accounts[0], accounts[1], 12_050)
    made.transfer(accounts[2], accounts[0], 4_025)
    made.transfer(accounts[3], accounts[4], 1)
    for organization in organizations:
        made.controllers[organization.principal] = state.ControllerLeaf(
            principal=organization.principal,
            threshold=organization.threshold,
            keys=[
                transaction.ControllerKey(
                    public_keys=[
                        transaction.PublicKey(suite=int(suite), public_key=public_key)
                        for suite, public_key in sorted(key.public_keys.items())
                    ]
                )
                for key in organization.keys
            ],
            lanes=[state.Lane(lane=0, last_sequence=3)],
        )
        made.allowances[organization.principal] = state.AllowanceLeaf(
            organization=organization.principal,
            limits=transaction.AllowanceLimits(
                bytes_per_epoch=2**20,
                signatures_per_epoch=1_000,
                state_leaves=50,
                fuel_per_epoch=10**9,
                new_leaves_per_epoch=70,
            ),
            used_bytes=300,
            used_signatures=1,
            used_state_leaves=2,
            used_fuel=10**6,
            used_new_leaves=9,
        )
    made.holds[identifier(40)] = state.HoldLeaf(
        hold=identifier(40),
        source=accounts[0],
        destination=accounts[1],
        remaining_minor=700,
        expire_time_ms=GENESIS_TIME_MS + 3_600_000,
        payer=organizations[0].principal,
    )
    made.accounts[accounts[0]].held_minor = 700
    lost, guardian = (organization.principal for organization in organizations[:2])
    made.controllers[lost].recovery.guardian = guardian
    made.controllers[lost].recovery.delay_ms = 1_209_600_000
    made.recoveries[lost] = state.RecoveryLeaf(
        principal=lost,
        threshold=1,
        keys=made.controllers[guardian].keys,
        guardian=guardian,
        ready_time_ms=GENESIS_TIME_MS + 1_209_600_000,
        payer=guardian,
    )
    made.proofs[f"accounts/{accounts[0].hex()}"] = ledger.GetProofResponse(
        namespace=3,
        identifier=accounts[0],
        value=made.accounts[accounts[0]].SerializeToString(deterministic=True),
        state_proof=json.dumps({"siblings": [], "terminal": None}),
        header=made.blocks[-1].header,
        finalization=b"\x08\x03",
        epochs=[
            ledger.EpochStep(
                edge_header=b"\x01", finalization=b"\x02", next_validator_set=made.genesis.validator_set
            ),
            ledger.EpochStep(edge_header=b"\x03", finalization=b"\x02", recovery=b"\x04"),
            ledger.EpochStep(edge_header=b"\x05", finalization=b"\x02"),
        ],
        validator_set=made.genesis.validator_set,
    )
    return made


def make_context(
    zone: FakeZone,
    feed: Feed | None = None,
    ports: Any = None,
    sign_in_limit: RateLimit | None = None,
    watched: WatchedAccounts | None = None,
) -> Context:
    """A gateway's context over ``ports``, the zone itself by default."""
    source = zone if ports is None else ports
    shared = SharedReads(zone.services)
    return Context(
        genesis=zone.genesis,
        genesis_file=zone.genesis_file,
        ledger=source,
        pool=source,
        services=zone.services,
        shared=shared,
        book=NameBook(
            {organization.principal: organization.name for organization in zone.genesis.organizations},
            shared,
        ),
        validators=ValidatorWatch(source),
        seats=SeatsInForce(zone.genesis, source),
        units=UnitCatalog(source),
        feed=Feed({}) if feed is None else feed,
        watched=WatchedAccounts(source) if watched is None else watched,
        sign_in=SignIn(
            genesis_hash=zone.genesis.hash,
            origins=(ORIGIN,),
            store=zone.sessions,
            keys=LedgerKeyDirectory(zone, clock=zone.seconds),
            clock=zone,
        ),
        sign_in_limit=RateLimit(per_second=1e6, burst=1e6) if sign_in_limit is None else sign_in_limit,
    )


def make_edge(context: Context, **options: Any) -> Edge:
    """The whole application over a context."""
    return Edge(
        build_application(context, Website(REPOSITORY_WEB)), options.pop("rate_limit", RateLimit()), **options
    )


Client = Callable[..., Any]


@pytest.fixture
def open_client() -> Client:
    """``async with open_client(edge) as client``: HTTP without a socket."""

    @asynccontextmanager
    async def open_(edge: Edge, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=edge, client=(address, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client

    return open_


@pytest.fixture
async def client(zone: FakeZone, open_client: Client) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway over the zone in memory."""
    async with open_client(make_edge(make_context(zone))) as opened:
        yield opened


@pytest.fixture(scope="session")
def make() -> Iterator[Any]:
    """The helpers above, for tests (test modules cannot import each other)."""

    class Helpers:
        context = staticmethod(make_context)
        edge = staticmethod(make_edge)
        signed = staticmethod(signed)
        identifier = staticmethod(identifier)
        zone = staticmethod(trading_zone)
        origin = ORIGIN

    yield Helpers
