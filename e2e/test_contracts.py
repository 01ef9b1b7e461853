"""Contracts on the platform: a fund's life while a vm is gone, hostile code, the same everywhere."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from icn.ledger.v1.service_pb2 import GetTransactionRequest
from icn.ledger.v1.state_pb2 import RECEIPT_STATUS_APPLIED, RECEIPT_STATUS_REFUSED, Receipt
from icn_client import transactions
from icn_client.acting import Actor, find_actor
from icn_client.connection import Connection, NetworkFile
from icn_client.contract_calls import code_id, declared_call, new_contract
from icn_client.submitter import End, Submitter
from icn_client.transactions import EXPIRY_MS, KeyPair
from icn_wasm.assembly import assemble, contract

from e2e.test_members import member

WAIT_SECONDS_MAX = 60.0
EXECUTE = '(func (export "execute") (param i32 i32 i32) (result i32) {})'
INSTANTIATE = '(func (export "instantiate") (param i32 i32 i32) (result i32) (call $done))'
BARE = """
(memory (export "memory") 1) (func (export "interface_version_8"))
(func (export "allocate") (param i32) (result i32) (i32.const 0)) (func (export "deallocate") (param i32))
(func (export "instantiate") (param i32 i32 i32) (result i32) (i32.const 0))
"""
REFUSED = {
    "FLOAT_USED": BARE + "(func (drop (f64.const 1)))",
    "START_FUNCTION": BARE + "(func $s) (start $s)",
    "IMPORT_UNKNOWN": '(import "env" "now" (func (result i64)))' + BARE,
    "INTERFACE_VERSION": BARE.replace("interface_version_8", "interface_version_5"),
    "MEMORY_INVALID": BARE.replace('"memory") 1', '"memory") 4096'),
}
STOPPED = {
    "an endless loop": ("(loop $again (br $again)) (unreachable)", "OUT_OF_GAS"),
    "a memory bomb": (
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)",
        "TRAP",
    ),
    "a deep recursion": ("(call $deep) (unreachable)", "CALL_DEPTH_EXCEEDED"),
    "a storm of host calls": (
        "(loop $again (call $db_remove (call $region (i32.const 1024) (i32.const 1))) (br $again))"
        "(unreachable)",
        "OUT_OF_GAS",
    ),
}


def test_a_fund_takes_in_and_pays_out_while_a_vm_is_killed(
    icn: Any, answer: Any, federation: Any, tmp_path: Path
) -> None:
    unit = answer("unit", "create", "AID", "--scale", "2", "--floor", "-50", "--as", "bakery")["unit"]
    anna, ben, cara = (member(icn, answer, tmp_path, name, unit) for name in ("annie", "benno", "carla"))
    ids = [answer("account", "show", account)["owner"] for account in (anna, ben, cara)]
    wasm = tmp_path / "fund.wasm"
    wasm.write_bytes(contract("mutual_aid_fund"))

    code = answer("contract", "store", str(wasm), "--as", "bakery")["code"]
    assert code == code_id(wasm.read_bytes()).hex()
    start = json.dumps({"unit": unit, "approvals": "1", "members": ",".join(ids)}, separators=(",", ":"))
    made = answer("contract", "instantiate", code, start, "--unit", unit, "--as", "bakery")
    fund = made["contract"]

    approve = ("contract", "execute", fund, '{"approve":{"ask":"1"}}', "--as", "carla")
    federation.hold("vm-2")  # killed, and kept down: its validator waits, the others go on
    try:
        pay_in = ("contract", "execute", fund, '{"pay_in":{}}', "--pay", "40", "--from", anna)
        paid = answer(*pay_in, "--as", "annie")
        assert [posting["amount_minor"] for posting in paid["postings"]] == ["-4000", "4000"]
        answer("contract", "execute", fund, '{"ask":{"amount":"1250"}}', "--as", "benno")
    finally:
        federation.release("vm-2")
    federation.kill_process("vm-1")
    own = icn(*approve[:-1], "benno", "--data", str(federation.directory))
    assert (own.returncode, "nobody approves an ask of their own" in own.stderr) == (1, True), own.stderr
    undeclared = icn(*approve, "--data", str(federation.directory))
    assert (undeclared.returncode, "ACCOUNT_UNDECLARED" in undeclared.stderr) == (1, True), undeclared.stderr
    out = answer("contract", "execute", fund, '{"approve":{"ask":"1"}}', "--declare", ben, "--as", "carla")
    assert {posting["account"]: posting["balance_minor"] for posting in out["postings"]} == {
        made["accounts"][unit]: "2750",
        ben: "1250",
    }
    assert answer("account", "show", ben)["balance_minor"] == "1250"
    assert answer("contract", "query", fund, '{"fund":{}}')["data"] == {"pool": "2750", "asks": "1"}
    shown = answer("contract", "show", fund)
    assert (shown["code"], shown["accounts"][0]["balance_minor"]) == (code, "2750")

    for name, kind in (
        (f"contracts/{fund}", "contract"),
        (f"contracts/{fund}/{b'pool'.hex()}", "contract_entry"),
    ):
        proof = tmp_path / f"{kind}.json"
        fetched = icn("proof", "fetch", name, "--out", str(proof), "--data", str(federation.directory))
        assert fetched.returncode == 0, fetched.stderr
        verified = icn("proof", "verify", str(proof), "--genesis", str(federation.directory / "genesis.json"))
        assert json.loads(verified.stdout)["statement"]["kind"] == kind
    assert json.loads(verified.stdout)["statement"]["value"] == (2750).to_bytes(8, "little").hex()
    all_agree(answer)


def all_agree(answer: Any) -> None:
    """Every validator comes to the same height and roots, the one whose vm was gone included."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        found = answer("status")
        assert not found["has_fork"]
        if [validator["state"] for validator in found["validators"]] == ["ok"] * 4:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_hostile_code_is_refused_at_the_store(icn: Any, federation: Any, tmp_path: Path) -> None:
    for reason, text in REFUSED.items():
        wasm = tmp_path / "hostile.wasm"
        wasm.write_bytes(bytes(wasmtime.wat2wasm(f"(module {text})")))
        run = icn("contract", "store", str(wasm), "--as", "farm", "--data", str(federation.directory))
        assert (run.returncode, reason in run.stderr) == (1, True), (reason, run.stderr)


async def test_hostile_calls_are_stopped_ten_times_with_the_same_fuel(federation: Any) -> None:
    network = NetworkFile.load(federation.directory)
    farm = federation.founders[3]
    async with Connection(network) as connection, Submitter(connection.doors()) as submitter:
        keys = [KeyPair(farm.keys.values())]
        actor = await find_actor(connection, farm.founder.principal, keys, lane=5)
        for name, (body, reason) in STOPPED.items():
            code = assemble("(func $deep (call $deep))" + EXECUTE.format(body) + INSTANTIATE)
            made = new_contract(code_id(code), b"{}")
            await send(submitter, actor, [transactions.store_code(code)], RECEIPT_STATUS_APPLIED)
            await send(submitter, actor, [made.message], RECEIPT_STATUS_APPLIED)
            before = await connection.contract(made.contract)
            call = transactions.execute_contract(made.contract, declared_call(b"{}", 30_000_000, [], []))
            receipts = await send(submitter, actor, [call] * 10, RECEIPT_STATUS_REFUSED)
            assert {receipt.reason for receipt in receipts} == {reason}, name
            fuel = set()
            for receipt in receipts:
                # A contract is told height and index and pays 10 for each digit, unless all is used up.
                found = await connection.read(get_transaction(receipt.transaction_id))
                digits = 0 if reason == "OUT_OF_GAS" else len(f"{found.height}{found.index}")
                fuel.add(receipt.contract.fuel_used - 10 * digits)
            assert len(fuel) == 1, (name, fuel)
            assert (await connection.contract(made.contract)).contract == before.contract


def get_transaction(transaction_id: bytes) -> Any:
    request = GetTransactionRequest(name=f"transactions/{transaction_id.hex()}")
    return lambda stub: stub.GetTransaction(request)


async def send(submitter: Submitter, actor: Actor, messages: list[Any], status: int) -> list[Receipt]:
    """A transaction for each message, all at once; what became of them."""
    expire_time_ms = time.time_ns() // 1_000_000 + EXPIRY_MS
    signed = [actor.sign([message], expire_time_ms) for message in messages]
    found = []
    for outcome in await submitter.submit(signed, expire_time_ms):
        assert outcome.end is End.COMMITTED, outcome
        receipt = Receipt.FromString(outcome.receipt)
        assert receipt.status == status, receipt
        found.append(receipt)
    return found


@pytest.fixture(autouse=True)
def _agree_afterwards(answer: Any) -> Any:
    yield
    all_agree(answer)
