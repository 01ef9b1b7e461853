"""Contracts through the ledger on a real vm, a process of its own that is killed at the worst moment."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from icn.ledger.v1 import transaction_pb2 as pb
from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, RECEIPT_STATUS_REFUSED, Receipt
from icn_kit.errors import Unavailable
from icn_ledger.peers.vm import VmClient
from icn_ledger.store.queries import LedgerQueries
from icn_ledger.usecases.query_contract import ContractQueries
from icn_localnet.hosted import HostedProcess
from icn_localnet.pytest_plugin import DatabaseFor
from icn_machine.blocks.execute_block import Execution
from icn_machine.posting import BlockContext
from icn_machine.records import ContractEntry
from icn_wasm.assembly import assemble, contract
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from libs.machine.tests.zone import (
    Ledger,
    Member,
    Zone,
    create_unit,
    execute,
    identifier,
    instantiate,
    memory_ledger,
    open_account,
    open_controller,
    set_floor,
    store_code,
    transfer,
)
from services.ledger.tests.conftest import OpenLedger

UNIT = identifier("unit")
ANA, BEN, CARA = (identifier(f"account of {name}") for name in ("ana", "ben", "cara"))
FUND, FUND_ACCOUNT, LOOP = identifier("fund"), identifier("account of the fund"), identifier("loop")
FUND_CODE = contract("mutual_aid_fund")
EXECUTE = '(func (export "execute") (param i32 i32 i32) (result i32) {})'
INSTANTIATE = '(func (export "instantiate") (param i32 i32 i32) (result i32) (call $done))'
LOOP_CODE = assemble(EXECUTE.format("(loop $again (br $again)) (unreachable)") + INSTANTIATE)
BARE = """
(memory (export "memory") 1) (func (export "interface_version_8"))
(func (export "allocate") (param i32) (result i32) (i32.const 0)) (func (export "deallocate") (param i32))
(func (export "instantiate") (param i32 i32 i32) (result i32) (i32.const 0))
"""


class VmProcess(HostedProcess):
    """A vm on a socket."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.address = f"unix:{folder / 'vm.sock'}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        super().__init__(
            ["icn_vm.main"],
            health=f"127.0.0.1:{port}",
            log=folder / "vm.log",
            environment={
                **os.environ,
                "ICN_VM_ADDRESS": self.address,
                "ICN_VM_DATABASE_URL": dsn,
                "ICN_VM_METRICS_PORT": str(port),
            },
        )

    def start(self) -> None:
        self.spawn()
        self.wait_until_ready()

    def kill(self) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()


@pytest.fixture
def vm(database_for: DatabaseFor, tmp_path: Path) -> Iterator[VmProcess]:
    process = VmProcess(database_for("icn_vm"), tmp_path)
    process.start()
    yield process
    process.stop()


class WatchedClient(VmClient):
    """Shows what the vm was asked last."""

    stream: Any = None

    @asynccontextmanager
    async def open(self, block: BlockContext) -> AsyncIterator[Any]:
        async with super().open(block) as self.stream:
            yield self.stream

    async def until_vm_is_at(self, contract: bytes) -> None:
        """Wait until a call of the contract was sent and is not answered."""
        async with asyncio.timeout(10):
            while contract.hex() not in (self.stream.waits_for if self.stream else ""):  # noqa: ASYNC110
                await asyncio.sleep(0)


@pytest.fixture
async def engine(vm: VmProcess, zone: Zone) -> AsyncIterator[WatchedClient]:
    client = WatchedClient(vm.address, zone.genesis.hash)
    yield client
    await client.close()


class Members:
    """A shop and three members with an account each."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.shop = zone.organizations[0]
        self.ana, self.ben, self.cara = (zone.member(name, self.shop) for name in ("ana", "ben", "cara"))

    async def set_up(self, ledger: Ledger) -> None:
        members = ((self.ana, ANA), (self.ben, BEN), (self.cara, CARA))
        sign = self.zone.transaction
        await ledger.execute(
            sign(self.shop, *(open_controller(member) for member, _ in members)),
            sign(self.shop, create_unit(UNIT, floor_minor=-1_000)),
        )
        await ledger.execute(*(sign(member, open_account(account, UNIT)) for member, account in members))
        await self.applied(ledger, self.shop, store_code(FUND_CODE), store_code(LOOP_CODE))
        names = ",".join(member.principal.hex() for member, _ in members)
        start = f'{{"unit":"{UNIT.hex()}","approvals":"1","members":"{names}"}}'.encode()
        await self.applied(
            ledger,
            self.shop,
            instantiate(FUND, sha256(FUND_CODE).digest(), start, accounts=[(FUND_ACCOUNT, UNIT)]),
            instantiate(LOOP, sha256(LOOP_CODE).digest()),
        )

    async def run(self, ledger: Ledger, actor: Member, *messages: pb.Message) -> list[Receipt]:
        """A block with a transaction for each message."""
        time_ms = ledger.state.newest.time_ms + 1_000
        transactions = [self.zone.transaction(actor, message, time_ms=time_ms) for message in messages]
        execution = await ledger.execute(*transactions)
        return [Receipt.FromString(data) for _, data in execution.outcomes]

    async def applied(self, ledger: Ledger, actor: Member, *messages: pb.Message) -> list[Receipt]:
        receipts = await self.run(ledger, actor, *messages)
        assert all(receipt.status == RECEIPT_STATUS_APPLIED for receipt in receipts), receipts
        return receipts

    def life(self) -> list[tuple[Member, pb.Message]]:
        """Paying in, asking, approving: with the last a payment to ben."""
        return [
            (self.ana, execute(FUND, b'{"pay_in":{}}', funds=[(ANA, FUND_ACCOUNT, 500)])),
            (self.ben, execute(FUND, b'{"ask":{"amount":"240"}}')),
            (self.cara, execute(FUND, b'{"approve":{"ask":"1"}}', declared=[FUND_ACCOUNT, BEN])),
        ]


def balances(ledger: Ledger) -> Callable[[], Any]:
    async def read() -> dict[bytes, int]:
        from icn_machine.touched import RecordNames

        accounts = (await ledger.state.load(RecordNames(accounts={ANA, BEN, FUND_ACCOUNT}))).accounts
        return {key: account.balance_minor for key, account in accounts.items() if account is not None}

    return read


async def test_the_fund_lives_on_the_ledger_and_is_there_after_a_restart(
    zone: Zone, open_ledger: OpenLedger, dsn: str, engine: VmClient, vm: VmProcess
) -> None:
    members = Members(zone)
    async with open_ledger(dsn, engine) as ledger:
        await members.set_up(ledger)
        for actor, message in members.life():
            await members.applied(ledger, actor, message)
        assert await balances(ledger)() == {ANA: -500, BEN: 240, FUND_ACCOUNT: 260}
    async with open_ledger(dsn, engine) as ledger:
        stored = await ledger.state.load_storage(FUND)
        assert stored[FUND + b"pool"] == ContractEntry(
            (260).to_bytes(8, "little"), zone.organizations[0].principal
        )
        again = members.life()[2]
        (receipt,) = await members.run(ledger, *again)
        assert (receipt.reason, receipt.status) == ("CONTRACT_ERROR", RECEIPT_STATUS_REFUSED)
        assert receipt.contract.data == b"paid out already"


async def test_a_real_database_and_one_in_memory_come_to_the_same_roots(
    zone: Zone, open_ledger: OpenLedger, dsn: str, engine: VmClient
) -> None:
    members = Members(zone)
    in_memory = memory_ledger(zone, engine)
    async with open_ledger(dsn, engine) as ledger:
        seen: list[Execution] = []
        await members.set_up(ledger)
        for actor, message in members.life():
            await members.run(ledger, actor, message)
        seen += ledger.executed
    members = Members(zone)
    for member in zone.organizations:
        member.next_sequence.clear()
    await members.set_up(in_memory)
    for actor, message in members.life():
        await members.run(in_memory, actor, message)
    assert [(one.block.state_root, one.block.receipts_root) for one in in_memory.executed] == [
        (one.block.state_root, one.block.receipts_root) for one in seen
    ]


async def test_a_vm_killed_in_the_middle_of_a_stream_changes_nothing(
    zone: Zone, open_ledger: OpenLedger, dsn: str, engine: WatchedClient, vm: VmProcess
) -> None:
    members = Members(zone)
    async with open_ledger(dsn, engine) as ledger:
        await members.set_up(ledger)
        time_ms = ledger.state.newest.time_ms + 1_000
        sign = zone.transaction
        transactions = [
            *(sign(actor, message, time_ms=time_ms) for actor, message in members.life()[:2]),
            sign(members.cara, execute(LOOP, fuel_limit=800_000_000), time_ms=time_ms),
            sign(members.cara, members.life()[2][1], time_ms=time_ms),
            sign(members.ana, transfer(ANA, BEN, 1), time_ms=time_ms),
        ]
        height = ledger.state.newest.height
        executing = asyncio.create_task(ledger.execute(*transactions))
        with capture_logs() as logs:
            await engine.until_vm_is_at(LOOP)  # whose endless loop takes at least 60 ms
            vm.kill()
            with pytest.raises(Unavailable) as away:
                await executing
            assert away.value.reason == "VM_UNAVAILABLE"
            with pytest.raises(Unavailable):
                await ledger.execute(*transactions)
        named, absent = [
            {key: line[key] for key in ("event", "height", "call", "tries") if key in line}
            for line in logs
            if "vm" in line["event"]
        ]
        what = f"execute of contract {LOOP.hex()}, code {sha256(LOOP_CODE).hexdigest()}, by transaction 2"
        unfinished = {"event": "the vm did not finish a call", "height": height + 1, "call": what, "tries": 1}
        assert (named, absent) == (unfinished, {"event": "vm is away", "height": height + 1})
        assert REGISTRY.get_sample_value("icn_ledger_vm_unfinished_height") == height + 1
        assert ledger.state.newest.height == height and not ledger.halts
        vm.start()
        execution = await _persistently(ledger, transactions)
        reasons = [Receipt.FromString(data).reason for _, data in execution.outcomes]
        assert reasons == ["", "", "OUT_OF_GAS", "", ""]
        assert REGISTRY.get_sample_value("icn_ledger_vm_unfinished_height") == 0
        assert await balances(ledger)() == {ANA: -501, BEN: 241, FUND_ACCOUNT: 260}


async def _persistently(ledger: Ledger, transactions: list[bytes]) -> Execution:
    """As consensus does: again until it is answered."""
    for _ in range(100):
        try:
            return await ledger.execute(*transactions)
        except Unavailable:
            await asyncio.sleep(0.1)
    raise AssertionError("the vm never came back")


REFUSED = {
    "floats": (BARE + "(func (drop (f32.const 1)))", "FLOAT_USED"),
    "a start function": (BARE + "(func $s) (start $s)", "START_FUNCTION"),
    "a bad import": ('(import "env" "now" (func (result i64)))' + BARE, "IMPORT_UNKNOWN"),
    "the old interface": (BARE.replace("interface_version_8", "interface_version_7"), "INTERFACE_VERSION"),
    "a giant memory": (BARE.replace('"memory") 1', '"memory") 10000'), "MEMORY_INVALID"),
}
STOPPED = {
    "an endless loop": ("(loop $again (br $again)) (unreachable)", "OUT_OF_GAS"),
    "a memory bomb": (
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)",
        "TRAP",
    ),
    "a string without end": (
        # It once took every vm minutes to read, its interpreter's lock held: no later block was executed.
        "(local $p i32) (drop (memory.grow (i32.const 5))) (local.set $p (i32.const 65536))"
        "(loop $again (i32.store16 (local.get $p) (select (i32.const 0x5d5b)"
        " (select (i32.const 0x2278) (i32.const 0x225c) (i32.eq (local.get $p) (i32.const 65666)))"
        " (i32.lt_u (local.get $p) (i32.const 65666))))"
        "(br_if $again"
        " (i32.lt_u (local.tee $p (i32.add (local.get $p) (i32.const 2))) (i32.const 265536))))"
        "(call $region (i32.const 65536) (i32.const 200000))",
        "RESULT_INVALID",
    ),
    "a deep recursion": ("(call $deep) (unreachable)", "CALL_DEPTH_EXCEEDED"),
    "a storm of host calls": (
        "(loop $again (call $db_remove (call $region (i32.const 1024) (i32.const 1))) (br $again))"
        "(unreachable)",
        "OUT_OF_GAS",
    ),
}


async def test_hostile_code_is_refused_at_the_store(zone: Zone, engine: VmClient) -> None:
    members, ledger = Members(zone), memory_ledger(zone, engine)
    await members.set_up(ledger)
    before = ledger.state.records[-1]
    for text, reason in REFUSED.values():
        code = bytes(wasmtime.wat2wasm(f"(module {text})"))
        receipts = await members.run(ledger, members.shop, *(store_code(code) for _ in range(10)))
        assert {(receipt.reason, receipt.contract.fuel_used) for receipt in receipts} == {
            (reason, 10_000_000 + 10_000 * len(code))
        }
    assert {key for key, code in ledger.state.records[-1].codes.items() if code} == {
        key for key, code in before.codes.items() if code
    }


@pytest.mark.parametrize("name", STOPPED)
async def test_a_hostile_call_is_stopped_with_the_state_unchanged_and_the_same_fuel_ten_times(
    zone: Zone, engine: VmClient, name: str
) -> None:
    body, reason = STOPPED[name]
    code = assemble("(func $deep (call $deep))" + EXECUTE.format(body) + INSTANTIATE)
    bad, account = identifier("bad"), identifier("account of bad")
    members, ledger = Members(zone), memory_ledger(zone, engine)
    await members.set_up(ledger)
    await members.applied(ledger, members.shop, store_code(code))
    made = instantiate(bad, sha256(code).digest(), accounts=[(account, UNIT)])
    await members.applied(ledger, members.shop, made)
    before = ledger.state.records[-1]
    message = execute(bad, funds=[(ANA, account, 5)], fuel_limit=100_000_000)
    # In one block: a contract is told the height, whose digits it pays for.
    receipts = await members.run(ledger, members.ana, *([message] * 10))
    assert {receipt.reason for receipt in receipts} == {reason}
    assert len({receipt.contract.fuel_used for receipt in receipts}) == 1
    after = ledger.state.records[-1]
    for table in ("accounts", "contracts", "contract_entries"):
        assert getattr(after, table) == getattr(before, table)


async def test_a_contract_is_asked_on_the_newest_state(
    zone: Zone, open_ledger: OpenLedger, dsn: str, engine: VmClient
) -> None:
    from icn_kit.database import Database
    from icn_kit.errors import FailedPrecondition, InvalidArgument, NotFound

    members = Members(zone)
    async with open_ledger(dsn, engine) as ledger:
        await members.set_up(ledger)
        for actor, message in members.life():
            await members.applied(ledger, actor, message)
        database = await Database.open(dsn, "ledger", pool_size=2)
        queries = ContractQueries(LedgerQueries(database), engine)
        answer = await queries.query(FUND, b'{"fund":{}}', 0)
        assert (answer.data, answer.height) == (b'{"pool":"260","asks":"1"}', ledger.state.newest.height)
        with pytest.raises(FailedPrecondition) as stopped:
            await queries.query(FUND, b'{"ask":{"ask":"7"}}', 0)
        assert (stopped.value.reason, stopped.value.metadata["stopped"]) == ("CALL_STOPPED", "CONTRACT_ERROR")
        with pytest.raises(FailedPrecondition, match="OUT_OF_GAS"):
            await queries.query(FUND, b'{"fund":{}}', 505_000)
        with pytest.raises(NotFound, match="no contract"):
            await queries.query(ANA, b"{}", 0)
        with pytest.raises(InvalidArgument, match="at most 16384"):
            await queries.query(FUND, bytes(16_385), 0)
        with pytest.raises(InvalidArgument, match="at most 100000000"):
            await queries.query(FUND, b"{}", 100_000_001)
        await database.close()


async def test_a_ledger_that_stops_says_so_and_is_not_halted(zone: Zone, vm: VmProcess) -> None:
    client = VmClient(vm.address, zone.genesis.hash)
    await client.close()
    with pytest.raises(Unavailable, match="stopping"):
        async with client.open(BlockContext(1, 0, 1)):
            pass
    assert set_floor(ANA, 0)
