"""CPU-µs of contracts, and whether gas covers them: `.venv/bin/python benches/contracts.py [--rounds N]`.

`--platform DIR` measures calls on the platform that runs there instead: CPU-ms a call, over all validators.
Every line shows the gas of the same work and the nanoseconds for one unit of it; what a block may cost is
bounded only where that stays about 1 or below. Medians of rounds that are interleaved.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from icn_client import transactions
from icn_client.acting import TransactionRefused, actor_of, now_ms, perform, read_receipt
from icn_client.connection import Connection, NetworkFile
from icn_client.contract_calls import code_id, declared_call, new_contract
from icn_client.platforms import open_founders
from icn_client.submitter import Submitter
from icn_client.transactions import EXPIRY_MS
from icn_wasm import limits
from icn_wasm.assembly import assemble, contract
from icn_wasm.engine import Code, Engine, EntryPoint
from icn_wasm.messages import Caller, Environment
from processes import usage

ENVIRONMENT = Environment("icn-bench", 1, 1_700_000_000_000_000_000, "contracts/00")
REPEATS = 100
"""Host calls of one kind in a call."""
FOREVER = 200_000_000
"""Gas of the calls that run until it is used up."""


class Storage(dict[bytes, bytes]):
    """A contract's storage in memory."""

    def scan(
        self, start: bytes | None, end: bytes | None, is_descending: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        pairs = sorted(self.items(), reverse=is_descending)
        return iter([pair for pair in pairs if (start or b"") <= pair[0] and (end is None or pair[0] < end)])


def repeated(body: str, imports: str = "", functions: str = "", count: int = REPEATS) -> bytes:
    """A contract whose execute does something many times."""
    text = f"""{functions}
        (func (export "instantiate") (param i32 i32 i32) (result i32) (call $done))
        (func (export "execute") (param i32 i32 i32) (result i32) (local $n i32) (local $x i32) (local $y i64)
          (drop (memory.grow (i32.const 500)))
          (loop $again
            {body}
            (br_if $again
              (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {count}))))
          (call $done))"""
    return assemble(text, imports=imports)


KEY = "(call $region (i32.const 1024) (i32.const 8))"
VALUE = "(call $region (i32.const 1024) (i32.const 64))"
BIG = "(call $region (i32.const 65536) (i32.const {size}))"
ED25519 = '(import "env" "ed25519_verify" (func $verify (param i32 i32 i32) (result i32)))'
SECP256K1 = '(import "env" "secp256k1_verify" (func $verify (param i32 i32 i32) (result i32)))'
RECOVER = '(import "env" "secp256k1_recover_pubkey" (func $recover (param i32 i32 i32) (result i64)))'
VALIDATE = '(import "env" "addr_validate" (func $validate (param i32) (result i32)))'
CHAIN = '(import "env" "query_chain" (func $chain (param i32) (result i32)))'
ENDLESS = (1 << 31) - 1


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--platform", type=Path)
    parser.add_argument("--calls", type=int, default=500)
    arguments = parser.parse_args()
    if arguments.platform is not None:
        asyncio.run(on_platform(arguments.platform, arguments.calls))
        return
    rounds = arguments.rounds
    engine = Engine()
    storage = Storage({b"count": bytes(8), b"\0" * 8: b"v" * 64})
    counter = Code.of(contract("counter"))
    work: dict[str, Callable[[], int]] = {
        "store: check and compile the counter": lambda: store(counter),
        "instantiate the counter": calls(engine, counter, EntryPoint.INSTANTIATE, b"{}", storage),
        "execute the counter": calls(engine, counter, EntryPoint.EXECUTE, b'{"by":"1"}', storage),
        "query the counter": calls(engine, counter, EntryPoint.QUERY, b"{}", storage),
        "execute nothing": one(engine, repeated("", count=1), storage),
    }
    loops = {
        "db_read": (f"(drop (call $db_read {KEY}))", ""),
        "db_write of 64 bytes": (f"(call $db_write {KEY} {VALUE})", ""),
        "db_write of 64 KiB": (f"(call $db_write {KEY} {BIG.format(size=1 << 16)})", ""),
        "db_remove": (f"(call $db_remove {KEY})", ""),
        "db_scan and db_next": (
            "(if (i32.lt_u (local.get $n) (i32.const 60)) "
            "(then (drop (call $db_next (call $db_scan (i32.const 0) (i32.const 0) (i32.const 1))))))",
            "",
        ),
        "addr_validate": (f"(drop (call $validate {KEY}))", VALIDATE),
        "query_chain": (f"(drop (call $chain {KEY}))", CHAIN),
        "ed25519_verify": (
            f"(drop (call $verify {KEY} {VALUE} (call $region (i32.const 1024) (i32.const 32))))",
            ED25519,
        ),
        "secp256k1_recover_pubkey": (
            f"(drop (call $recover (call $region (i32.const 1024) (i32.const 32)) {VALUE} (i32.const 1)))",
            RECOVER,
        ),
    }
    for name, (body, extra) in loops.items():
        work[name] = one(engine, repeated(body, extra), storage)
    touched = "(i32.store8 offset=65536 (i32.mul (local.get $n) (i32.const 4096)) (i32.const 0))"
    work["write to every page of 500 once"] = one(engine, repeated(touched, count=7_900), storage)
    hostile = b"[]" * 65 + b'"' + b'\\"' * 32_000
    shallow = b"[" + b",".join([b'{"":0}'] * 9_000) + b"]"
    for name, text in {"a string without end": hostile, "many small objects": shallow}.items():
        work[f"a message of 64 KB: {name}"] = calls(engine, counter, EntryPoint.EXECUTE, text, storage)
    endless = {
        "a loop of additions": "(local.set $y (i64.add (local.get $y) (i64.const 1)))",
        "a loop of divisions": (
            "(local.set $y (i64.div_u (i64.const -1) (i64.or (local.get $y) (i64.const 3))))"
        ),
        "a loop of loads all over 16 MiB": (
            "(local.set $x (i32.and (i32.add (i32.mul (local.get $x) (i32.const 1664525)) "
            "(i32.const 1013904223)) (i32.const 16777208)))"
            "(local.set $y (i64.add (local.get $y) (i64.load (local.get $x))))"
        ),
        "a loop of memory.fill": "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 1048576))",
        "a loop of memory.fill of nothing": "(memory.fill (i32.const 65536) (i32.const 1) (i32.const 0))",
        "a loop of memory.grow that fails": "(drop (memory.grow (i32.const 1000)))",
        "a loop of small memory.copy": "(memory.copy (i32.const 65536) (i32.const 1024) (i32.const 1))",
        "a loop of calls": "(call $nothing)",
    }
    for name, body in endless.items():
        work[name] = one(engine, repeated(body, functions="(func $nothing)", count=ENDLESS), storage)
    measured: dict[str, list[tuple[float, int]]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            started = time.process_time()
            gas = run()
            measured[name].append((time.process_time() - started, gas))
    print(f"{'':38} {'CPU-µs':>10} {'gas':>13} {'ns/gas':>7}")
    for name, results in measured.items():
        seconds, gas = statistics.median(result[0] for result in results), results[0][1]
        print(f"{name:38} {seconds * 1e6:10.0f} {gas:13,} {seconds * 1e9 / gas:7.2f}")


async def on_platform(directory: Path, calls_wanted: int) -> None:
    """Print what calls of the counter and, beside them, anchors cost every kind of process."""
    network = NetworkFile.load(directory)
    founder = open_founders(directory)[0]
    code = contract("counter")
    made = new_contract(code_id(code), b"{}")
    async with Connection(network) as connection, Submitter(connection.doors()) as submitter:
        actor = await actor_of(connection, founder, lane=11)
        with contextlib.suppress(TransactionRefused):  # it may be there from another run
            await perform(submitter, actor, [transactions.store_code(code)])
        await perform(submitter, actor, [made.message])
        call = transactions.execute_contract(made.contract, declared_call(b'{"by":"1"}', 5_000_000, [], []))
        kinds = {
            "contract call": [call] * calls_wanted,
            "anchor": [transactions.anchor(os.urandom(32), "bench") for _ in range(calls_wanted)],
        }
        print(f"{'CPU-ms each, over all':32} {'validators':>10} {'vms':>8} {'Postgres':>9} {'per s':>8}")
        for name, messages in kinds.items():
            before, started = cpu_seconds(directory), time.perf_counter()
            expire_time_ms = now_ms() + EXPIRY_MS
            signed = [actor.sign([message], expire_time_ms) for message in messages]
            for outcome in await submitter.submit(signed, expire_time_ms):
                read_receipt(outcome)
            seconds = time.perf_counter() - started
            await asyncio.sleep(2)  # the last validator executes after the first has answered
            after = cpu_seconds(directory)
            used = [(after[kind] - before[kind]) * 1_000 / calls_wanted for kind in before]
            rate = calls_wanted / seconds
            print(f"{name:32} {used[0]:10.2f} {used[1]:8.2f} {used[2]:9.2f} {rate:8.0f}")


def cpu_seconds(directory: Path) -> dict[str, float]:
    """CPU seconds used so far by every kind of process of the platform."""
    running = json.loads((directory / "network.json").read_text())["processes"]
    return {
        kind: sum(
            usage(process["pid"]).cpu_seconds
            for name, process in running.items()
            if name.startswith(f"{kind}-") and name != "postgres-shared"
        )
        for kind in ("validator", "vm", "postgres")
    }


def store(code: Code) -> int:
    """Accept the code once more, in an engine of its own; the gas of it."""
    return Engine().check(code)


def calls(
    engine: Engine, code: Code, entry_point: EntryPoint, message: bytes, storage: Storage
) -> Callable[[], int]:
    """One call of an entry point; its gas."""
    caller = None if entry_point is EntryPoint.QUERY else Caller("anna")

    def run() -> int:
        return engine.run(entry_point, code, ENVIRONMENT, caller, message, storage, FOREVER).gas_used

    run()
    return run


def one(engine: Engine, content: bytes, storage: Storage) -> Callable[[], int]:
    """One execute of a contract made for the purpose; its gas."""
    code = Code.of(content)

    def run() -> int:
        outcome = engine.run(
            EntryPoint.EXECUTE, code, ENVIRONMENT, Caller("anna"), b"{}", storage, limits.GAS_MAX
        )
        return outcome.gas_used

    return run


if __name__ == "__main__":
    main()
