"""`icn import` on a platform of one validator that holds its books in memory, over real sockets."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from icn.consensus.v1 import service_pb2 as consensus
from icn.consensus.v1.service_pb2_grpc import ConsensusServiceServicer, add_ConsensusServiceServicer_to_server
from icn.ledger.v1 import service_pb2 as ledger
from icn.ledger.v1 import state_pb2 as state
from icn.ledger.v1.service_pb2_grpc import LedgerServiceServicer, add_LedgerServiceServicer_to_server
from icn.ledger.v1.transaction_pb2 import KeyScope, Transaction, TransactionBody
from icn_client.keystore import SCRYPT_LOG2_N_MACHINE_MADE, Identity, Keystore
from icn_client.platforms import LOCK_NAME
from icn_client.transactions import controller_key, transaction_id
from icn_kit.errors import NotFound
from icn_kit.genesis import public_keys_document
from icn_kit.server import GrpcServer
from icn_machine.entries import PostingKind

STREAM = "/icn.consensus.v1.ConsensusService/StreamTransactions"
UNIT, OTHER_UNIT = b"u" * 16, b"v" * 16
PASSPHRASE = "a passphrase for tests"
HEIGHT = 1_000
"""Of the newest block."""
ON_UNIT = ("--unit", UNIT.hex(), "--json")


class Books(ConsensusServiceServicer, LedgerServiceServicer):
    """Opens controllers and notes what is confirmed; whoever is in ``refused`` is not opened."""

    def __init__(self, genesis_hash: bytes, authority: bytes) -> None:
        self.genesis_hash = genesis_hash
        self.authority = authority
        self.members: dict[bytes, Identity] = {}
        self.controllers = {authority: state.ControllerLeaf(principal=authority)}
        self.refused: set[bytes] = set()
        self.accounts: list[state.AccountLeaf] = []
        self.entries: dict[bytes, list[tuple[int, int]]] = {}
        """Of each account, newest first."""
        self.first_number = 1
        """Of the oldest entry that is here."""
        self.transactions: list[list[Any]] = []

    def add(self, owner: bytes, claim: int | None = None, unit: bytes = UNIT, **fields: Any) -> bytes:
        """An account, waiting with a claim."""
        account = bytes([len(self.accounts) + 1]) * 16
        terms = state.AccountTerms(is_opening=True, opening_minor=claim) if claim is not None else None
        self.register(owner)
        self.accounts.append(
            state.AccountLeaf(account=account, owner=owner, unit=unit, terms=terms, **fields)
        )
        return account

    def register(self, owner: bytes, *keys: Any, threshold: int = 1) -> None:
        """A controller, with the keys of the identity where none are given."""
        if owner in self.members:
            keys = keys or tuple(controller_key(one.public_keys) for one in self.members[owner].keys)
        self.controllers[owner] = state.ControllerLeaf(principal=owner, threshold=threshold, keys=keys)

    def told(self, account: bytes) -> list[ledger.Entry]:
        """Entries that are here, newest first."""
        newest = len(self.entries[account])
        return [
            ledger.Entry(
                number=number,
                height=1 if kind == PostingKind.OPENING else number,
                posting=state.Posting(kind=kind, amount_minor=amount),  # type: ignore[arg-type]
            )
            for number, (kind, amount) in zip(range(newest, 0, -1), self.entries[account], strict=True)
            if number >= self.first_number
        ]

    def execute(self, messages: list[Any]) -> state.Receipt:
        self.transactions.append(messages)
        opened = [one.open_controller for one in messages if one.HasField("open_controller")]
        for index, one in enumerate(opened):
            if one.principal in self.refused:
                return state.Receipt(
                    status=state.RECEIPT_STATUS_REFUSED, reason="PRINCIPAL_EXISTS", message_index=index
                )
        for one in opened:
            self.register(one.principal, *one.keys, threshold=one.threshold)
        return state.Receipt(status=state.RECEIPT_STATUS_APPLIED)

    async def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        return consensus.GetStatusResponse(genesis_hash=self.genesis_hash, executed_height=1, block_time_ms=1)

    async def StreamTransactions(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - named by gRPC
        async for request in requests:
            outcomes = []
            for data in request.transactions:
                body = Transaction.FromString(data).body
                receipt = self.execute(list(TransactionBody.FromString(body).messages))
                outcomes.append(
                    consensus.SubmitOutcome(
                        transaction_id=transaction_id(self.genesis_hash, body),
                        state=consensus.SUBMIT_STATE_COMMITTED,
                        height=len(self.transactions),
                        receipt=receipt.SerializeToString(),
                    )
                )
            yield consensus.StreamTransactionsResponse(outcomes=outcomes)

    async def GetUnit(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        return ledger.GetUnitResponse(
            unit=state.UnitLeaf(unit=UNIT, code="HOURS", scale=2, authority=self.authority)
        )

    async def GetController(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        principal = bytes.fromhex(request.name.removeprefix("principals/"))
        if principal not in self.controllers:
            raise NotFound("CONTROLLER_UNKNOWN", "there is no such controller")
        return ledger.GetControllerResponse(controller=self.controllers[principal])

    async def ListAccounts(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        found = [one for one in self.accounts if request.owner in ("", f"principals/{one.owner.hex()}")]
        first = int(request.page_token or 0)
        return ledger.ListAccountsResponse(
            accounts=[ledger.Account(leaf=one, height=HEIGHT) for one in found[first : first + 2]],
            next_page_token=str(first + 2) if len(found) > first + 2 else "",
        )

    async def ListEntries(self, request: Any, context: Any) -> Any:  # noqa: N802 - named by gRPC
        account = bytes.fromhex(request.account.removeprefix("accounts/"))
        return ledger.ListEntriesResponse(entries=self.told(account)[: request.page_size])

    async def GetStatement(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - named by gRPC
        assert (request.from_height, request.until_height) == (1, HEIGHT + 1)
        entries = self.told(bytes.fromhex(request.name.removeprefix("accounts/")))[::-1]
        yield ledger.GetStatementResponse(opening=ledger.StatementEdge())
        yield ledger.GetStatementResponse(entries=entries[:3])
        yield ledger.GetStatementResponse(entries=entries[3:])
        yield ledger.GetStatementResponse(closing=ledger.StatementEdge(height=HEIGHT))


@dataclass
class Office:
    """A bookkeeper's folder, and the platform it is about."""

    folder: Path
    books: Books
    members: dict[str, Identity]

    def write(self, *rows: str) -> None:
        (self.folder / "members.csv").write_text(
            "name,member,opening\n" + "".join(f"{row}\n" for row in rows)
        )

    async def icn(self, *arguments: str, online: bool = True) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of the command, while the server here answers."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "icn_client.cli", "import", *arguments),
            *(("--data", str(self.folder)) if online else ()),
            cwd=self.folder,
            env={**os.environ, "ICN_KEYSTORE": str(self.folder / "keys"), "ICN_PASSPHRASE": PASSPHRASE},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def office(tmp_path: Path, zone: Any) -> AsyncIterator[Office]:
    members = {name: Identity.generate(name) for name in ("bakery", "anna", "bruno", "carla")}
    for name, identity in members.items():
        public = [{"public_keys": public_keys_document(key.public_keys)} for key in identity.keys]
        document = {"principal": identity.principal.hex(), "threshold": 1, "keys": public}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    Keystore(tmp_path / "keys").add(members["bakery"], PASSPHRASE, SCRYPT_LOG2_N_MACHINE_MADE)
    Keystore(tmp_path / "keys").add(members["carla"], PASSPHRASE, SCRYPT_LOG2_N_MACHINE_MADE)
    books = Books(zone.genesis.hash, members["bakery"].principal)
    books.members = {identity.principal: identity for identity in members.values()}
    server = GrpcServer(
        "127.0.0.1:0",
        [(add_ConsensusServiceServicer_to_server, books), (add_LedgerServiceServicer_to_server, books)],
        long_lived_streams=[STREAM],
    )
    await server.start()
    (tmp_path / "genesis.json").write_bytes(zone.genesis_bytes)
    validator = {"seat": 0, "name": "v0", "organization": "00" * 16}
    network = {
        "format": 3,
        "gateway": {"url": "http://127.0.0.1:1"},
        "client_tls": None,
        "services": {},
        "supervisor_pid": os.getpid(),
        "ready_pid": os.getpid(),
        "validators": [{**validator, "consensus": server.address, "ledger": server.address}],
    }
    (tmp_path / "network.json").write_text(json.dumps(network))
    with (tmp_path / LOCK_NAME).open("wb") as lock:  # as the platform holds it while it runs
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Office(tmp_path, books, members)
    await server.drain(0)


async def test_offline_a_sheet_is_checked_with_the_files_beside_it(office: Office) -> None:
    document = json.loads((office.folder / "anna.json").read_text())
    keys = document["keys"]
    broken = {
        "short": {**document, "principal": "00"},
        "small-order": {**document, "keys": [{"public_keys": {"ed25519": "01" + "00" * 31}}]},
        "twice": {**document, "keys": [*keys, *keys]},
    }
    for name, content in broken.items():
        (office.folder / f"{name}.json").write_text(json.dumps(content))
    (office.folder / "folder").mkdir()
    (office.folder / "large.json").write_bytes(b" " * 300_000)
    files = [*(f"{name}.json" for name in broken), "folder", "-", "gone.json", "n" * 300, "large.json"]
    office.write(*(f"{number},{name},0" for number, name in enumerate(files)), "Bruno,bruno.json,1.505")
    code, out, err = await office.icn("check", "members.csv", "--scale", "2", "--json", online=False)
    found = json.loads(out)
    assert (code, found["valid"], found["rows"], found["members"]) == (1, False, 9, 0)
    assert [(one["line"], one["column"], one["reason"]) for one in found["faults"]] == [
        *((line, "member", "PUBLIC_PART_INVALID") for line in (2, 3, 4)),
        *((line, "member", "FILE_UNREADABLE") for line in (5, 6, 7, 8)),
        (9, "member", "FILE_TOO_LARGE"),
        (10, "opening", "TOO_MANY_PLACES"),
    ]
    code, out, err = await office.icn("check", "members.csv", "--scale", "3", online=False)
    assert code == 1
    assert "line 4, member: PUBLIC_PART_INVALID" in out and "1 can be taken" in out
    assert "together  1.505" in out and "more is owed to members than they owe, by 1.505" in err
    code, out, err = await office.icn("check", "gone.csv", "--scale", "3", online=False)
    assert (code, out, "gone.csv: No such file" in err) == (1, "", True)
    assert (await office.icn("check", "members.csv", online=False))[0] == 2
    assert (await office.icn("check", "members.csv", "--unit", "x", "--scale", "2", online=False))[0] == 2


async def test_a_member_that_the_ledger_does_not_know_needs_its_public_part(office: Office) -> None:
    unknown = office.members["anna"].principal
    office.books.add(office.members["carla"].principal, unit=OTHER_UNIT)
    office.write(
        f"Anna,{unknown.hex()},-1", "Bruno,bruno.json,0", f"Carla,{office.members['carla'].principal.hex()},1"
    )
    code, out, _ = await office.icn("check", "members.csv", *ON_UNIT)
    found = json.loads(out)
    assert (code, found["to_admit"], found["members"], found["credits_minor"]) == (1, 1, 2, "100")
    assert [(one["line"], one["column"], one["reason"]) for one in found["faults"]] == [
        (2, "member", "PRINCIPAL_UNKNOWN")
    ]
    code, out, err = await office.icn("members", "members.csv", *ON_UNIT, "--as", "bakery")
    assert (code, out, office.books.transactions) == (1, "", [])
    assert "line 2, member: PRINCIPAL_UNKNOWN" in err and "nothing was sent" in err


async def test_members_are_told_what_they_have_left_to_do(office: Office) -> None:
    anna, bruno, carla = (office.members[name].principal for name in ("anna", "bruno", "carla"))
    waits = office.books.add(bruno, 700)
    office.books.add(carla)
    office.write("anna,anna.json,-12.50", "bruno,bruno.json,7.50", f"Carla C.,{carla.hex()},0")
    code, out, _ = await office.icn("members", "members.csv", *ON_UNIT, "--as", "bakery")
    found = json.loads(out)
    opening = f"icn account open --unit {UNIT.hex()}"
    assert (code, found["admitted"]) == (0, 1)
    assert [(one["state"], one["is_new"], one["to_do"]) for one in found["members"]] == [
        ("missing", True, [f"{opening} --as anna --brings -12.50"]),
        (
            "other_amount",
            False,
            [f"icn account close {waits.hex()} --as bruno", f"{opening} --as bruno --brings 7.50"],
        ),
        ("done", False, []),
    ]
    code, out, err = await office.icn("members", "members.csv", "--unit", UNIT.hex(), "--as", "bakery")
    assert code == 0, err
    assert f"anna\t-12.50\tmissing\t{opening} --as anna --brings -12.50\n" in out
    assert "0 of 3 members admitted" in err
    ((message,),) = office.books.transactions
    assert message.open_controller.principal == anna
    assert message.open_controller.recovery.guardian == office.books.authority
    (key,) = message.open_controller.keys
    assert [one.public_key for one in key.public_keys] == list(
        office.members["anna"].keys[0].public_keys.values()
    )


async def test_members_beyond_sixteen_go_into_further_transactions_until_one_is_refused(
    office: Office,
) -> None:
    identities = [Identity.generate(f"m{number}") for number in range(40)]
    for identity in identities:
        public = [{"public_keys": public_keys_document(key.public_keys)} for key in identity.keys]
        document = {"principal": identity.principal.hex(), "threshold": 1, "keys": public}
        (office.folder / f"{identity.name}.json").write_text(json.dumps(document))
    office.write(*(f"{one.name},{one.name}.json,0" for one in identities))
    office.books.refused = {identities[20].principal}
    arguments = ("members", "members.csv", *ON_UNIT, "--as", "bakery", "--guardian", "none")
    code, out, err = await office.icn(*arguments)
    assert (code, out) == (1, "")
    assert "lines 18 to 33, with 16 admitted before them: PRINCIPAL_EXISTS (message 4)" in err
    assert [len(one) for one in office.books.transactions] == [16, 16]
    assert not any(one.open_controller.HasField("recovery") for one in office.books.transactions[0])

    office.books.refused = set()
    code, out, _ = await office.icn(*arguments)
    assert (code, json.loads(out)["admitted"]) == (0, 24)
    assert [len(one) for one in office.books.transactions[2:]] == [16, 8]
    assert {one.principal for one in identities} <= office.books.controllers.keys()


async def test_nothing_is_confirmed_while_ledger_and_sheet_differ(office: Office) -> None:
    anna, bruno, carla = (office.members[name].principal for name in ("anna", "bruno", "carla"))
    stranger = b"s" * 16
    annas, brunos = office.books.add(anna, -500), office.books.add(bruno, 500)
    strangers = office.books.add(stranger, 10**9)
    office.books.add(bruno, 77, unit=OTHER_UNIT)
    carlas = office.books.add(carla, entries=2)
    office.books.entries[carlas] = [(PostingKind.TRANSFER, -3), (PostingKind.OPENING, 100)]
    rows = ["anna,anna.json,-5", "bruno,bruno.json,5"]
    confirm = ("confirm", "members.csv", *ON_UNIT)

    office.write(*rows, "carla,carla.json,2")
    code, out, err = await office.icn(*confirm, "--as", "bakery")
    found = json.loads(out)
    assert (code, found["difference_count"], found["confirmed"]) == (1, 2, 0)
    assert [(one["line"], one["principal"], one["reason"]) for one in found["differences"]] == [
        (4, carla.hex(), "OTHER_AMOUNT"),
        (None, stranger.hex(), "NOT_ON_SHEET"),
    ]
    assert found["differences"][1]["waiting"] == [{"account": strangers.hex(), "opening_minor": "1000000000"}]
    code, out, err = await office.icn("confirm", "members.csv", "--unit", UNIT.hex(), "--as", "bakery")
    assert (
        "line 4, carla: OTHER_AMOUNT" in out
        and "1.00 were confirmed" in out
        and "10,000,000.00" in out
        and "2 differences" in err
    )

    office.write(*rows, "carla,carla.json,1")
    code, out, err = await office.icn(*confirm, "--as", "carla", "--leave-others")
    assert (code, "NOT_UNIT_AUTHORITY: all agree" in err) == (1, True)
    assert (json.loads(out)["groups"], json.loads(out)["confirmed"]) == ([[annas.hex(), brunos.hex()]], 0)
    assert office.books.transactions == []
    code, out, err = await office.icn(*confirm, "--as", "bakery", "--leave-others")
    assert code == 0, err
    assert (json.loads(out)["confirmed"], json.loads(out)["done_before"]) == (2, 1)
    ((message,),) = office.books.transactions
    assert list(message.confirm_openings.accounts) == [annas, brunos]


async def test_what_does_not_add_up_is_not_confirmed(office: Office) -> None:
    office.books.add(office.members["anna"].principal, -500)
    office.books.add(office.members["bruno"].principal, 499)
    office.write("anna,anna.json,-5", "bruno,bruno.json,4.99")
    code, out, err = await office.icn("confirm", "members.csv", *ON_UNIT, "--as", "bakery")
    assert (code, out) == (1, "")
    assert "OPENINGS_UNBALANCED: debts of 5.00, credits of 4.99 HOURS" in err
    assert office.books.transactions == []


async def test_who_is_on_the_ledger_with_other_keys_than_its_file_has_is_a_bad_row(office: Office) -> None:
    books, anna, bruno = office.books, office.members["anna"].principal, office.members["bruno"].principal
    stranger = controller_key(Identity.generate("stranger").keys[0].public_keys)
    own = controller_key(office.members["anna"].keys[0].public_keys)
    till = controller_key(Identity.generate("till").keys[0].public_keys)
    till.scope.CopyFrom(KeyScope(message_kinds=[6]))
    waits = books.add(anna, -500), books.add(bruno, 500)
    office.write("anna,anna.json,-5", "bruno,bruno.json,5", "carla,carla.json,0")
    members = ("members", "members.csv", *ON_UNIT, "--as", "bakery")
    confirm = ("confirm", "members.csv", *ON_UNIT, "--as", "bakery")

    for keys, threshold in (((stranger,), 1), ((own, stranger), 1), ((own, stranger), 2), ((own, till), 1)):
        books.register(anna, *keys, threshold=threshold)
        code, out, _ = await office.icn("check", "members.csv", *ON_UNIT)
        found = json.loads(out)
        assert (code, found["members"], found["to_admit"]) == (1, 2, 1)
        ((line, column, reason, text),) = [tuple(one.values()) for one in found["faults"]]
        assert (line, column, reason) == (2, "member", "KEYS_DIFFER")
        assert f"threshold {threshold}, in the file 1" in text
    for command in (members, confirm):
        code, out, err = await office.icn(*command)
        assert (code, out, "line 2, member: KEYS_DIFFER" in err) == (1, "", True)
    assert books.transactions == []

    code, out, err = await office.icn("check", "members.csv", *ON_UNIT, "--allow-changed-keys")
    assert (code, json.loads(out)["fault_count"]) == (0, 0)
    code, out, err = await office.icn(*members, "--allow-changed-keys")
    assert (code, json.loads(out)["admitted"]) == (0, 1), err
    code, out, err = await office.icn(*confirm, "--allow-changed-keys")
    assert (code, json.loads(out)["groups"]) == (0, [sorted(one.hex() for one in waits)]), err


async def test_an_id_without_a_file_says_nothing_of_keys(office: Office) -> None:
    anna = office.members["anna"].principal
    office.books.register(anna, controller_key(Identity.generate("stranger").keys[0].public_keys))
    office.write(f"anna,{anna.hex()},0")
    code, out, _ = await office.icn("check", "members.csv", *ON_UNIT)
    assert (code, json.loads(out)["to_admit"]) == (0, 0)


@pytest.mark.parametrize("later", [498, 499, 700])
async def test_what_was_confirmed_long_ago_is_not_confirmed_once_more(office: Office, later: int) -> None:
    anna, bruno = office.members["anna"].principal, office.members["bruno"].principal
    old = office.books.add(anna, entries=2 + later)
    office.books.entries[old] = [(PostingKind.TRANSFER, 1)] * later + [(PostingKind.OPENING, -250)] * 2
    office.books.add(anna, -500), office.books.add(bruno, 500)
    office.write("anna,anna.json,-5", "bruno,bruno.json,5")
    confirm = ("confirm", "members.csv", *ON_UNIT, "--as", "bakery")
    code, out, _ = await office.icn(*confirm)
    ((difference,), confirmed) = json.loads(out)["differences"], json.loads(out)["confirmed"]
    assert (code, difference["line"], difference["reason"]) == (1, 2, "OTHER_AMOUNT")
    assert (difference["confirmed_minor"], confirmed) == ("-500", 0)

    office.books.first_number = 2
    code, out, err = await office.icn(*confirm)
    assert (code, out) == (1, "")
    assert "HISTORY_MISSING" in err and f"accounts/{old.hex()} has {2 + later} entries" in err
    code, out, err = await office.icn("members", "members.csv", *ON_UNIT, "--as", "bakery")
    assert (code, out, "HISTORY_MISSING" in err) == (1, "", True)
    assert office.books.transactions == []
