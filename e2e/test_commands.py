"""Every call of every service, given what a hostile client may send: a stable reason, and nothing changes.

Driven by the descriptors of the protos: a call that is added and has no case here fails
`test_no_call_is_without_a_case`.
"""

from __future__ import annotations

import importlib
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import icn
import pytest
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from icn.kit.v1.command_pb2 import CommandBody, CommandRequest, SignedCommand
from icn_client.commands import sign_command
from icn_client.transactions import KeyPair
from icn_kit.errors import DomainError, ErrorKind, from_rpc_error
from icn_kit.server import MESSAGE_SIZE_BYTES_MAX
from icn_localnet.postgres import PostgresServer

ROOT = Path(__file__).resolve().parents[1]
BUSY_SECONDS_MAX = 20.0
"""A database that is reached late on a busy machine."""
CALL_SECONDS_MAX = 30.0
ID = "0" * 32
DIGEST = "0" * 64
MINUTE_MS = 60_000

BUGS = frozenset({ErrorKind.INTERNAL, ErrorKind.UNKNOWN, ErrorKind.DATA_LOSS, ErrorKind.UNIMPLEMENTED})
"""What no wrong input may be answered with."""
REASON = re.compile(r"[A-Z][A-Z0-9_]{2,63}")
LEAKS = re.compile(r"Traceback|File \"|psycopg|sqlalchemy|/site-packages/|/tmp/|SELECT ", re.IGNORECASE)
"""Internals that no answer tells."""

PROGRESS = ("inbox", "permission_progress")
"""Tables that say how far a service has followed the ledger, which goes on."""
CHECKPOINT = "icn.identity.v1.permission_checkpoint"
"""An event that says so too."""

HOSTILE_TEXTS = (
    "",
    "x",
    "principals/" + "A" * 32,
    "principals/" + "a" * 31,
    "principals/../" + "a" * 32,
    "accounts/" + "0" * 32 + "\n",
    "\x00" * 40,
    "ж" * 2_000,
    "'; DROP TABLE evidence; --",
    "a" * 1_000_000,
)
HOSTILE_BYTES = (b"", b"\x00", b"\xff" * 17, bytes(100_000))
HOSTILE_NUMBERS = (1, 2**31 - 1)


class Read(NamedTuple):
    """A call that changes nothing, with a well-formed request for what does not exist."""

    fields: Mapping[str, Any]
    reason: str | None
    """Of the refusal; None where the answer is an empty list."""


READS: Mapping[str, Read] = {
    "consensus.v1.ConsensusService/GetStatus": Read({}, None),
    "consensus.v1.ConsensusService/GetNode": Read({}, None),
    "consensus.v1.ConsensusService/ListEvidence": Read({}, None),
    "consensus.v1.ConsensusService/ListFinalBlocks": Read({"from_height": 1}, None),
    "consensus.v1.ConsensusService/GetFinality": Read({"height": 2**62}, "BLOCK_UNKNOWN"),
    "consensus.v1.ConsensusService/SubmitRecovery": Read({"certificate": b"none"}, "MALFORMED_RECOVERY"),
    "ledger.v1.LedgerService/GetAccount": Read({"name": f"accounts/{ID}"}, "ACCOUNT_UNKNOWN"),
    "ledger.v1.LedgerService/GetBalance": Read({"name": f"accounts/{ID}", "height": 0}, "ACCOUNT_UNKNOWN"),
    "ledger.v1.LedgerService/ListAccounts": Read({"owner": f"principals/{ID}"}, None),
    "ledger.v1.LedgerService/ListEntries": Read({"account": f"accounts/{ID}"}, "ACCOUNT_UNKNOWN"),
    "ledger.v1.LedgerService/GetOrder": Read({"name": f"orders/{ID}"}, "ORDER_UNKNOWN"),
    "ledger.v1.LedgerService/ListOrders": Read({"account": f"accounts/{ID}"}, "ACCOUNT_UNKNOWN"),
    "ledger.v1.LedgerService/ListLimitChanges": Read({"name": f"accounts/{ID}"}, "ACCOUNT_UNKNOWN"),
    "ledger.v1.LedgerService/GetUnit": Read({"name": f"units/{ID}"}, "UNIT_UNKNOWN"),
    "ledger.v1.LedgerService/ListUnits": Read({}, None),
    "ledger.v1.LedgerService/GetController": Read({"name": f"principals/{ID}"}, "CONTROLLER_UNKNOWN"),
    "ledger.v1.LedgerService/GetHold": Read({"name": f"holds/{ID}"}, "HOLD_UNKNOWN"),
    "ledger.v1.LedgerService/ListHolds": Read({"account": f"accounts/{ID}"}, "ACCOUNT_UNKNOWN"),
    "ledger.v1.LedgerService/GetAllowance": Read({"organization": f"principals/{ID}"}, "ALLOWANCE_UNKNOWN"),
    "ledger.v1.LedgerService/GetRecovery": Read({"name": f"recoveries/{ID}"}, "RECOVERY_UNKNOWN"),
    "ledger.v1.LedgerService/GetAuthority": Read({"name": f"authorities/{ID}"}, "AUTHORITY_UNKNOWN"),
    "ledger.v1.LedgerService/GetMembership": Read({"name": f"memberships/{ID}/{ID}"}, "MEMBERSHIP_UNKNOWN"),
    "ledger.v1.LedgerService/ListMemberships": Read({"organization": f"principals/{ID}"}, None),
    "ledger.v1.LedgerService/GetPoll": Read({"name": f"polls/{ID}"}, "POLL_UNKNOWN"),
    "ledger.v1.LedgerService/ListBallots": Read({"poll": f"polls/{ID}"}, "POLL_UNKNOWN"),
    "ledger.v1.LedgerService/GetDecision": Read({"name": f"decisions/{DIGEST}"}, "DECISION_UNKNOWN"),
    "ledger.v1.LedgerService/GetContract": Read({"name": f"contracts/{ID}"}, "CONTRACT_UNKNOWN"),
    "ledger.v1.LedgerService/QueryContract": Read(
        {"name": f"contracts/{ID}", "message": b"{}"}, "CONTRACT_UNKNOWN"
    ),
    "ledger.v1.LedgerService/ListDuties": Read({"organization": f"principals/{ID}"}, None),
    "ledger.v1.LedgerService/ListEquivocations": Read({}, None),
    "ledger.v1.LedgerService/GetValidators": Read({}, None),
    "ledger.v1.LedgerService/GetTransaction": Read({"name": f"transactions/{DIGEST}"}, "TRANSACTION_UNKNOWN"),
    "ledger.v1.LedgerService/GetBlock": Read({"name": f"blocks/{2**62}"}, "BLOCK_UNKNOWN"),
    "ledger.v1.LedgerService/ListBlocks": Read({}, None),
    "ledger.v1.LedgerService/GetEventsEnd": Read({}, None),
    "ledger.v1.LedgerService/GetProof": Read({"name": f"accounts/{ID}"}, None),
    "ledger.v1.LedgerService/GetReceiptProof": Read(
        {"name": f"transactions/{DIGEST}"}, "TRANSACTION_UNKNOWN"
    ),
    "reputation.v1.ReputationService/GetScore": Read(
        {"principal": f"principals/{ID}", "dimension": "delivery"}, "SCORE_UNKNOWN"
    ),
    "reputation.v1.ReputationService/ListScores": Read({"dimension": "fame"}, "DIMENSION_UNKNOWN"),
    "reputation.v1.ReputationService/ListEvidence": Read(
        {"about": f"principals/{ID}", "dimension": "delivery"}, None
    ),
    "reputation.v1.ReputationService/ListDimensions": Read({}, None),
    "reputation.v1.ReputationService/ListDuties": Read({"organization": f"principals/{ID}"}, None),
    "reputation.v1.ReputationService/ListReciprocities": Read({"principal": f"principals/{ID}"}, None),
    "governance.v1.GovernanceService/GetOrganization": Read(
        {"name": f"organizations/{ID}"}, "ORGANIZATION_UNKNOWN"
    ),
    "governance.v1.GovernanceService/ListOrganizations": Read({"kind": "nothing"}, None),
    "governance.v1.GovernanceService/ListMembers": Read({"organization": f"organizations/{ID}"}, None),
    "governance.v1.GovernanceService/GetProposal": Read({"name": f"proposals/{ID}"}, "PROPOSAL_UNKNOWN"),
    "governance.v1.GovernanceService/ListProposals": Read({"organization": f"organizations/{ID}"}, None),
    "governance.v1.GovernanceService/ListOpenings": Read({"proposal": f"proposals/{ID}"}, "PROPOSAL_UNKNOWN"),
    "governance.v1.GovernanceService/GetResult": Read({"proposal": f"proposals/{ID}"}, "PROPOSAL_UNKNOWN"),
    "governance.v1.GovernanceService/GetDecision": Read({"name": f"decisions/{DIGEST}"}, "DECISION_UNKNOWN"),
    "governance.v1.GovernanceService/ListDecisions": Read({"authority": f"organizations/{ID}"}, None),
    "governance.v1.GovernanceService/ListCountersignatures": Read(
        {"decision": f"decisions/{DIGEST}"}, "DECISION_UNKNOWN"
    ),
    "governance.v1.GovernanceService/SubmitCountersignature": Read(
        {"decision": f"decisions/{DIGEST}"}, "FIELD_INVALID"
    ),
    "identity.v1.IdentityService/GetPrincipal": Read({"name": f"principals/{ID}"}, "CONTROLLER_UNKNOWN"),
    "identity.v1.IdentityService/GetDidLog": Read({"name": f"principals/{ID}"}, "DID_UNKNOWN"),
    "identity.v1.IdentityService/ResolveDid": Read({"did": "did:key:z6Mk"}, "DID_INVALID"),
    "identity.v1.IdentityService/GetCredential": Read({"name": f"credentials/{ID}"}, "CREDENTIAL_UNKNOWN"),
    "identity.v1.IdentityService/ListCredentials": Read({"organization": f"principals/{ID}"}, None),
    "identity.v1.IdentityService/GetStatusList": Read(
        {"organization": f"principals/{ID}"}, "STATUS_LIST_UNKNOWN"
    ),
    "identity.v1.IdentityService/VerifyCredential": Read({"document": b"{}"}, None),
    "identity.v1.IdentityService/CheckPermission": Read(
        {"subject": f"principals/{ID}", "relation": "member", "object": f"organizations/{ID}"}, None
    ),
    "identity.v1.IdentityService/ListPermissions": Read({"subject": f"principals/{ID}"}, None),
    "marketplace.v1.MarketplaceService/GetResource": Read({"name": f"resources/{ID}"}, "RESOURCE_UNKNOWN"),
    "marketplace.v1.MarketplaceService/ListResources": Read({"owner": f"principals/{ID}"}, None),
    "marketplace.v1.MarketplaceService/GetPhoto": Read({"name": f"photos/{DIGEST}"}, "PHOTO_UNKNOWN"),
    "marketplace.v1.MarketplaceService/KeepMemo": Read({"payment": f"orders/{ID}"}, "MEMO_MALFORMED"),
    "marketplace.v1.MarketplaceService/GetMemo": Read({"name": f"memos/{DIGEST}"}, "MEMO_UNKNOWN"),
    "marketplace.v1.MarketplaceService/ListMemos": Read({"names": [f"memos/{DIGEST}"]}, None),
    "marketplace.v1.MarketplaceService/GetBooking": Read({"name": f"bookings/{ID}"}, "BOOKING_UNKNOWN"),
    "marketplace.v1.MarketplaceService/ListBookings": Read({"resource": f"resources/{ID}"}, None),
    "marketplace.v1.MarketplaceService/FindFreeSlot": Read(
        {"resource": f"resources/{ID}", "from_time_ms": MINUTE_MS, "minutes": 60}, "RESOURCE_UNKNOWN"
    ),
    "marketplace.v1.MarketplaceService/GetOffer": Read({"name": f"offers/{ID}"}, "OFFER_UNKNOWN"),
    "marketplace.v1.MarketplaceService/ListOffers": Read({"provider": f"principals/{ID}"}, None),
    "marketplace.v1.MarketplaceService/GetAgreement": Read({"name": f"agreements/{ID}"}, "AGREEMENT_UNKNOWN"),
    "marketplace.v1.MarketplaceService/ListAgreements": Read({"party": f"principals/{ID}"}, None),
}
"""Every unary call that is no command, by its name behind ``/icn.``."""
TRANSACTIONS = {
    "/icn.consensus.v1.ConsensusService/SubmitTransactions",
    "/icn.consensus.v1.ConsensusService/StreamTransactions",
    "/icn.ledger.v1.LedgerService/WatchBlocks",
    "/icn.ledger.v1.LedgerService/StreamLeaves",
    "/icn.ledger.v1.LedgerService/WatchAccount",
    "/icn.ledger.v1.LedgerService/GetStatement",
}
"""Calls that take transactions, and the streams of the ledger; each has a test of its own."""
ELSEWHERE = {
    "/icn.consensus.v1.PeerService/Connect": "services/consensus/tests/integration/test_hostile_streams.py",
    "/icn.consensus.v1.ApplicationService/": "services/ledger/tests/integration/conftest.py",
    "/icn.vm.v1.VmService/": "services/vm/tests/integration/test_service.py",
}
"""Calls within a validator, or between validators, by the file that gives them wrong input."""


def all_methods() -> dict[str, MethodDescriptor]:
    """Every method of every ``icn.*`` service by its full name, from the stubs of all protos."""
    found = {}
    for folder in map(Path, icn.__path__):
        for file in sorted(folder.rglob("*_pb2.py")):
            module = importlib.import_module(
                ".".join(("icn", *file.relative_to(folder).with_suffix("").parts))
            )
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    found[f"/{service.full_name}/{method.name}"] = method
    return found


METHODS = all_methods()


def takes_command(method: MethodDescriptor) -> bool:
    """Whether a method's request is one signed command."""
    field = method.input_type.fields_by_name.get("command")
    return field is not None and field.message_type is SignedCommand.DESCRIPTOR


COMMANDS = sorted(name for name, method in METHODS.items() if takes_command(method))
UNARY_READS = sorted(f"/icn.{name}" for name in READS)


def is_elsewhere(method: str) -> bool:
    """Whether clients cannot call it and another file gives it wrong input."""
    return any(method.startswith(name) for name in ELSEWHERE)


def service_of(method: str) -> str:
    """``/icn.marketplace.v1.MarketplaceService/…`` is of ``marketplace``."""
    return method.split(".")[1]


class Answer(NamedTuple):
    """What came back: a message, or a refusal."""

    message: bytes | None
    refusal: DomainError | None

    @property
    def reason(self) -> str:
        """Of the refusal; empty for an answer."""
        return "" if self.refusal is None else self.refusal.reason


class Doors:
    """Every server of the platform, called as a client of another make would."""

    def __init__(self, platform: Any) -> None:
        network = platform.network
        tls = network.shared_directory / "client" / "tls"
        credentials = grpc.ssl_channel_credentials(
            (tls / "authority.pem").read_bytes(),
            (tls / "key.pem").read_bytes(),
            (tls / "certificate.pem").read_bytes(),
        )
        self.addresses = {
            "consensus": network.validators[0].consensus,
            "ledger": network.validators[0].ledger,
            **{name: service.address for name, service in network.services.items()},
        }
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self.channels = {
            name: grpc.secure_channel(address, credentials, options)
            for name, address in self.addresses.items()
        }
        self.genesis_hash: bytes = network.genesis.hash
        founder = platform.founders[1]
        self.principal: bytes = founder.founder.principal
        self.keys = [KeyPair(founder.keys.values())]
        self.others_keys = [KeyPair(platform.founders[2].keys.values())]

    def send(self, method: str, request: bytes) -> Answer:
        """The answer to these bytes, which is never a bug's; who is too busy is asked again."""
        deadline = time.monotonic() + BUSY_SECONDS_MAX
        while True:
            answer = self._send_once(method, request)
            is_busy = answer.refusal is not None and answer.refusal.kind is ErrorKind.UNAVAILABLE
            if not is_busy or time.monotonic() > deadline:
                return answer
            time.sleep(0.2)

    def _send_once(self, method: str, request: bytes) -> Answer:
        call = self.channels[service_of(method)].unary_unary(method)
        try:
            return Answer(call(request, timeout=CALL_SECONDS_MAX), None)
        except grpc.RpcError as error:
            refusal = from_rpc_error(error)
            shown = (method, request[:200], refusal)
            assert refusal.kind not in BUGS, shown
            assert REASON.fullmatch(refusal.reason), shown
            assert len(refusal.message) <= 600 and not LEAKS.search(refusal.message), shown
            return Answer(None, refusal)

    def ask(self, method: str, fields: Mapping[str, Any]) -> Answer:
        """The answer to a request of these fields."""
        request: bytes = GetMessageClass(METHODS[method].input_type)(**fields).SerializeToString()
        return self.send(method, request)

    def signed(self, method: str, request: Message, **changes: Any) -> SignedCommand:
        """A command of the co-op, signed, unless a test changes something about it."""
        given = {"genesis_hash": self.genesis_hash, "keys": self.keys, "principal": self.principal, **changes}
        return sign_command(method=method, request=request, **given)

    def command(self, method: str, command: SignedCommand) -> str:
        """The reason why a command was refused, which it has to be."""
        answer = self.send(method, CommandRequest(command=command).SerializeToString())
        assert answer.refusal is not None, (method, "was taken")
        return answer.reason


@pytest.fixture(scope="module")
def doors(federation: Any) -> Iterator[Doors]:
    made = Doors(federation)
    yield made
    for channel in made.channels.values():
        channel.close()


class State:
    """What the services of the host and the ledger hold."""

    def __init__(self, platform: Any, doors: Doors) -> None:
        self._server = PostgresServer(platform.network.shared_directory / "postgres")
        self._doors = doors

    def read(self) -> dict[str, str]:
        """A digest per table of every service, and the ledger's state root."""
        found = {}
        with self._server.connect("icn") as connection:
            tables = connection.execute(
                "SELECT schemaname, tablename FROM pg_tables"
                " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            ).fetchall()
            for schema, table in sorted(tables):
                if table in PROGRESS:
                    continue
                only = f" WHERE subject <> '{CHECKPOINT}'" if table == "outbox" else ""
                rows = connection.execute(f'SELECT t::text FROM "{schema}"."{table}" t{only}').fetchall()  # type: ignore[arg-type]
                digest = sha256("\n".join(sorted(row[0] for row in rows)).encode()).hexdigest()[:16]
                found[f"{schema}.{table}"] = f"{len(rows)} rows, {digest}"
        answer = self._doors.send("/icn.consensus.v1.ConsensusService/GetStatus", b"")
        status = GetMessageClass(METHODS["/icn.consensus.v1.ConsensusService/GetStatus"].output_type)
        found["state root"] = status.FromString(answer.message or b"").state_root.hex()
        return found

    def settled(self) -> dict[str, str]:
        """The state once what earlier tests began has ended."""
        before = self.read()
        for _ in range(20):
            time.sleep(1.0)
            after = self.read()
            if after == before:
                return after
            before = after
        raise AssertionError("the platform does not come to rest")


@pytest.fixture(scope="module")
def untouched(federation: Any, doors: Doors) -> tuple[State, dict[str, str]]:
    """The state before the first of these tests."""
    state = State(federation, doors)
    return state, state.settled()


def test_no_call_is_without_a_case() -> None:
    covered = {*COMMANDS, *UNARY_READS, *TRANSACTIONS}
    assert covered <= METHODS.keys(), covered - METHODS.keys()
    assert {method for method in METHODS if method not in covered and not is_elsewhere(method)} == set()
    for method, file in ELSEWHERE.items():
        assert any(found.startswith(method) for found in METHODS)
        text = (ROOT / file).read_text()
        assert method.split("/")[1].rpartition(".")[2] in text, (method, file)


def test_a_method_of_a_service_that_has_no_case_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "/icn.market.v1.NewService/DoIt", METHODS[COMMANDS[0]])
    with pytest.raises(AssertionError):
        test_no_call_is_without_a_case()


def test_the_servers_serve_every_service_of_the_protos_and_no_other(doors: Doors) -> None:
    served = set()
    for channel in doors.channels.values():
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=CALL_SECONDS_MAX)
        served |= {found.name for found in answer.list_services_response.service}
    ours = {name for name in served if name.startswith("icn.")}
    known = {method.split("/")[1] for method in METHODS}
    private = {name.split("/")[1] for name in ELSEWHERE}
    assert ours - private == known - private
    assert all(name.startswith(("icn.", "grpc.")) for name in served)


def wrong_bytes() -> Iterator[bytes]:
    """What is no message."""
    yield b"\xff" * 40
    yield b"\x0a\x7fcut"
    yield b"\x0b" * 64
    yield b"\x00" + secrets.token_bytes(500)


@pytest.mark.parametrize("method", [*COMMANDS, *UNARY_READS])
def test_bytes_that_are_no_request_are_refused(
    doors: Doors, untouched: tuple[State, dict[str, str]], method: str
) -> None:
    for request in wrong_bytes():
        assert doors.send(method, request).reason == "MALFORMED_REQUEST", request[:20]
    assert doors.send(method, bytes(MESSAGE_SIZE_BYTES_MAX + 1)).reason == "RESOURCE_EXHAUSTED"


def inner_type(method: str) -> type[Message]:
    """The message inside a method's command: it is called as the method is."""
    descriptor = METHODS[method]
    found: type[Message] = GetMessageClass(
        descriptor.containing_service.file.message_types_by_name[descriptor.name]
    )
    return found


def filled(message_type: Any, depth: int = 0) -> Message:
    """A message whose every field is set to something that exists nowhere."""
    message: Any = message_type()
    for field in message_type.DESCRIPTOR.fields:
        if field.message_type is not None:
            value = filled(GetMessageClass(field.message_type), depth + 1) if depth < 3 else None
        elif field.type == FieldDescriptor.TYPE_BYTES:
            value = secrets.token_bytes(16)
        elif field.type == FieldDescriptor.TYPE_STRING:
            value = "unheard of"
        elif field.type == FieldDescriptor.TYPE_BOOL:
            value = True
        else:
            value = 1
        if value is None:
            continue
        if field.is_repeated:
            getattr(message, field.name).append(value)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(value)
        else:
            setattr(message, field.name, value)
    return message


def resigned(doors: Doors, command: SignedCommand, change: Callable[[Any], None]) -> SignedCommand:
    """A command whose body is changed and then signed by its principal."""
    from icn.kit.v1.command_pb2 import CommandSignature
    from icn_crypto import tags
    from icn_crypto.hashing import preimage
    from icn_crypto.suites import Suite

    body = CommandBody.FromString(command.body)
    change(body)
    data = body.SerializeToString(deterministic=True)
    message = preimage(tags.COMMAND, doors.genesis_hash, data)
    signatures = [
        CommandSignature(suite=int(Suite.ED25519), key_id=key.key_id, signature=key.sign(message))
        for key in doors.keys
    ]
    return SignedCommand(body=data, signatures=signatures)


def altered(command: SignedCommand, change: Callable[[Any], None]) -> SignedCommand:
    """A command that somebody changed after it was signed."""
    copy = SignedCommand.FromString(command.SerializeToString())
    change(copy)
    return copy


def flip(command: Any) -> None:
    body = CommandBody.FromString(command.body)
    body.nonce = secrets.token_bytes(16)
    command.body = body.SerializeToString(deterministic=True)


def put(**fields: Any) -> Callable[[Any], None]:
    """Sets fields of a body or a command."""

    def change(message: Any) -> None:
        for name, value in fields.items():
            setattr(message, name, value)

    return change


@pytest.mark.parametrize("method", COMMANDS)
def test_a_command_is_taken_only_from_its_principal_for_its_method_in_its_time(
    doors: Doors, untouched: tuple[State, dict[str, str]], method: str
) -> None:
    request = inner_type(method)()
    now_ms = time.time_ns() // 1_000_000
    other = next(name for name in COMMANDS if name != method)
    good = doors.signed(method, request)
    stranger = [KeyPair.generate()]
    cases: list[tuple[str, SignedCommand, str]] = [
        ("nothing", SignedCommand(), "METHOD_MISMATCH"),
        ("cut", altered(good, lambda one: put(body=one.body[:-1])(one)), "COMMAND_MALFORMED"),
        (
            "noise",
            SignedCommand(body=secrets.token_bytes(500), signatures=good.signatures),
            "COMMAND_MALFORMED",
        ),
        (
            "unknown field",
            altered(good, lambda one: put(body=one.body + b"\x78\x01")(one)),
            "COMMAND_MALFORMED",
        ),
        ("too large", SignedCommand(body=bytes(1_048_577), signatures=good.signatures), "COMMAND_MALFORMED"),
        ("another method", doors.signed(other, inner_type(other)()), "METHOD_MISMATCH"),
        ("no method", doors.signed("", request), "METHOD_MISMATCH"),
        ("long method", doors.signed("/" * 200_000, request), "METHOD_MISMATCH"),
        ("expired", doors.signed(method, request, issue_time_ms=now_ms - 11 * MINUTE_MS), "COMMAND_EXPIRED"),
        (
            "future",
            doors.signed(method, request, issue_time_ms=now_ms + 3 * MINUTE_MS),
            "COMMAND_FROM_FUTURE",
        ),
        ("long-lived", doors.signed(method, request, lifetime_ms=10 * MINUTE_MS + 1), "COMMAND_MALFORMED"),
        ("ends before", doors.signed(method, request, lifetime_ms=0), "COMMAND_MALFORMED"),
        (
            "wrapped",
            resigned(doors, good, put(issue_time_ms=2**64 - 1, expire_time_ms=1)),
            "COMMAND_MALFORMED",
        ),
        (
            "another zone",
            doors.signed(method, request, genesis_hash=secrets.token_bytes(32)),
            "COMMAND_SIGNATURE_INVALID",
        ),
        ("changed", altered(good, flip), "COMMAND_SIGNATURE_INVALID"),
        ("a stranger's key", doors.signed(method, request, keys=stranger), "KEY_UNKNOWN"),
        ("another member's key", doors.signed(method, request, keys=doors.others_keys), "KEY_UNKNOWN"),
        ("two keys", doors.signed(method, request, keys=[*doors.keys, *doors.others_keys]), "KEY_UNKNOWN"),
        ("nobody", doors.signed(method, request, principal=secrets.token_bytes(16)), "CONTROLLER_UNKNOWN"),
        ("short principal", doors.signed(method, request, principal=b"short"), "COMMAND_MALFORMED"),
        ("no signature", SignedCommand(body=good.body), "COMMAND_MALFORMED"),
        (
            "signed twice",
            SignedCommand(body=good.body, signatures=[*good.signatures, *good.signatures]),
            "COMMAND_MALFORMED",
        ),
        (
            "many signatures",
            SignedCommand(body=good.body, signatures=list(good.signatures) * 17),
            "COMMAND_MALFORMED",
        ),
        (
            "cut signature",
            altered(good, lambda one: put(signature=one.signatures[0].signature[:-1])(one.signatures[0])),
            "COMMAND_MALFORMED",
        ),
        (
            "another suite",
            altered(good, lambda one: put(suite=2)(one.signatures[0])),
            "COMMAND_MALFORMED",
        ),
        ("short nonce", resigned(doors, good, put(nonce=b"x")), "COMMAND_MALFORMED"),
        ("request of noise", resigned(doors, good, put(request=b"\xff" * 40)), "COMMAND_MALFORMED"),
        ("request with more", resigned(doors, good, put(request=b"\xf8\xff\x01\x01")), "COMMAND_MALFORMED"),
    ]
    found = {what: doors.command(method, command) for what, command, _ in cases}
    assert found == {what: reason for what, _, reason in cases}


@pytest.mark.parametrize("method", COMMANDS)
def test_a_command_about_nothing_is_refused_and_so_is_its_repeat(
    doors: Doors, untouched: tuple[State, dict[str, str]], method: str
) -> None:
    for request in (inner_type(method)(), filled(inner_type(method))):
        command = doors.signed(method, request)
        first = doors.command(method, command)
        assert not first.startswith("COMMAND_"), first
        assert doors.command(method, command) == first


@pytest.mark.parametrize("method", UNARY_READS)
def test_what_does_not_exist_is_named_as_unknown_or_an_empty_list(
    doors: Doors, untouched: tuple[State, dict[str, str]], method: str
) -> None:
    fields, reason = READS[method.removeprefix("/icn.")]
    assert doors.ask(method, fields).reason == (reason or "")


@pytest.mark.parametrize("method", UNARY_READS)
def test_every_field_of_a_read_may_hold_anything(
    doors: Doors, untouched: tuple[State, dict[str, str]], method: str
) -> None:
    base = READS[method.removeprefix("/icn.")].fields
    for field in METHODS[method].input_type.fields:
        if field.name == "page_size":
            for size in (501, 2**32 - 1):
                assert doors.ask(method, {**base, "page_size": size}).reason == "PAGE_SIZE_OUT_OF_RANGE"
        elif field.name == "page_token":
            for token in ("x", "A" * 44, "ж", "A" * 100_000, "../.."):
                assert doors.ask(method, {**base, "page_token": token}).reason == "INVALID_PAGE_TOKEN", token
        elif field.message_type is not None:
            doors.ask(method, {**base, field.name: filled(GetMessageClass(field.message_type))})
        elif field.type == FieldDescriptor.TYPE_STRING:
            for text in HOSTILE_TEXTS:
                reason = doors.ask(method, {**base, field.name: text}).reason
                if field.name == "name":
                    assert reason in {"MALFORMED_NAME", "DID_INVALID"}, text[:60]
        elif field.type == FieldDescriptor.TYPE_BYTES:
            for data in HOSTILE_BYTES:
                doors.ask(method, {**base, field.name: data})
        elif field.type not in (FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_UINT64):
            for number in HOSTILE_NUMBERS:
                doors.ask(method, {**base, field.name: number})


def test_every_large_number_of_a_read_may_be_any(
    doors: Doors, untouched: tuple[State, dict[str, str]]
) -> None:
    """All at once: who names a height to come waits for it."""
    asked = [
        (method, {**READS[method.removeprefix("/icn.")].fields, field.name: number})
        for method in UNARY_READS
        for field in METHODS[method].input_type.fields
        if field.type == FieldDescriptor.TYPE_UINT64
        for number in (*HOSTILE_NUMBERS, 2**63, 2**64 - 1)
    ]
    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(lambda one: doors.ask(*one), asked))
    assert len(answers) == len(asked) > len(HOSTILE_NUMBERS)


def test_a_method_that_does_not_exist_is_said_to_be_unknown(doors: Doors) -> None:
    for name, channel in doors.channels.items():
        for method in (f"/icn.{name}.v1.Nothing/DoIt", "/", "//", "/" + "x" * 5_000):
            with pytest.raises(grpc.RpcError) as refusal:
                channel.unary_unary(method)(b"", timeout=CALL_SECONDS_MAX)
            assert refusal.value.code() in {
                grpc.StatusCode.UNIMPLEMENTED,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
            }, (name, method[:40])


def test_transactions_of_noise_are_told_apart_and_blocks_are_streamed_from_a_height_that_exists(
    doors: Doors, untouched: tuple[State, dict[str, str]]
) -> None:
    submit = "/icn.consensus.v1.ConsensusService/SubmitTransactions"
    for transactions in ([b""], [b"\xff" * 40], [secrets.token_bytes(500)] * 3, [bytes(65_537)]):
        answer = doors.ask(submit, {"transactions": transactions, "wait_ms": 10})
        if answer.refusal is None:
            response: Any = GetMessageClass(METHODS[submit].output_type).FromString(answer.message or b"")
            assert [outcome.reason for outcome in response.outcomes] == ["MALFORMED_TRANSACTION"] * len(
                transactions
            )
    doors.ask(submit, {"transactions": [b"x"] * 100_000})
    doors.ask(submit, {"transactions": [], "wait_ms": 2**32 - 1})
    doors.send(submit, b"\xff" * 40)
    for method, requests in (
        ("/icn.consensus.v1.ConsensusService/StreamTransactions", [b"\xff" * 40]),
        ("/icn.consensus.v1.ConsensusService/StreamTransactions", [bytes(MESSAGE_SIZE_BYTES_MAX + 1)]),
    ):
        call = doors.channels["consensus"].stream_stream(method)
        with pytest.raises(grpc.RpcError) as refusal:
            list(call(iter(requests), timeout=CALL_SECONDS_MAX))
        assert from_rpc_error(refusal.value).kind not in BUGS
    for name in ("WatchBlocks", "StreamLeaves"):
        stream = doors.channels["ledger"].unary_stream(f"/icn.ledger.v1.LedgerService/{name}")
        for request in (b"\xff" * 40, b"\x08" + b"\xff" * 9 + b"\x01"):
            with pytest.raises(grpc.RpcError) as refusal:
                list(stream(request, timeout=CALL_SECONDS_MAX))
            assert from_rpc_error(refusal.value).reason in {"MALFORMED_REQUEST", "HEIGHT_OUT_OF_RANGE"}
    for name in ("WatchAccount", "GetStatement"):
        method = f"/icn.ledger.v1.LedgerService/{name}"
        stream = doors.channels["ledger"].unary_stream(method)
        request_type = GetMessageClass(METHODS[method].input_type)
        requests = [
            (request_type(name=f"accounts/{ID}").SerializeToString(), "ACCOUNT_UNKNOWN"),
            (b"\xff" * 40, "MALFORMED_REQUEST"),
            *((request_type(name=text).SerializeToString(), "MALFORMED_NAME") for text in HOSTILE_TEXTS),
        ]
        for request, reason in requests:
            with pytest.raises(grpc.RpcError) as refusal:
                list(stream(request, timeout=CALL_SECONDS_MAX))
            assert from_rpc_error(refusal.value).reason == reason


def test_after_all_this_nothing_has_changed(untouched: tuple[State, dict[str, str]], federation: Any) -> None:
    state, before = untouched
    assert state.settled() == before
    restarts = {name: part["restarts"] for name, part in federation.processes().items()}
    assert all(part["state"] == "running" for part in federation.processes().values()), restarts


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        (
            "/icn.marketplace.v1.MarketplaceService/AddResource",
            {
                "title": "Ladder",
                "specification": "ladder",
                "rules": {
                    "close_minute": 1_440,
                    "minutes_min": 60,
                    "minutes_max": 600,
                    "ahead_days_max": 30,
                },
            },
        ),
        (
            "/icn.governance.v1.GovernanceService/RegisterOrganization",
            {"display_name": "Housing", "kind": "cooperative"},
        ),
    ],
)
def test_a_command_that_was_taken_gives_its_first_answer_again_and_has_one_effect(
    doors: Doors, federation: Any, method: str, fields: dict[str, Any]
) -> None:
    owner = "owner" if method.endswith("AddResource") else "organization"
    request = inner_type(method)(**fields, **{owner: doors.principal})
    command = doors.signed(method, request)
    sent = CommandRequest(command=command).SerializeToString()
    first = doors.send(method, sent)
    assert first.refusal is None, first
    state = State(federation, doors)
    before = state.settled()
    assert [doors.send(method, sent) for _ in range(3)] == [first] * 3
    altered_after = altered(command, flip)
    assert doors.command(method, altered_after) == "COMMAND_SIGNATURE_INVALID"
    assert state.settled() == before
