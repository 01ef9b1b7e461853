"""Hostile WebAssembly is refused when stored or stopped at its cap: no effect, the same gas every time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from icn_wasm import limits
from icn_wasm.assembly import assemble, contract
from icn_wasm.engine import Code, Engine
from icn_wasm.refusals import CodeReason, CodeRefused, Stopped, StopReason

EXECUTE = '(func (export "execute") (param i32 i32 i32) (result i32) {})'
QUERY = '(func (export "query") (param i32 i32) (result i32) {})'
BARE = """
(memory (export "memory") 1)
(func (export "interface_version_8"))
(func (export "allocate") (param i32) (result i32) (i32.const 0))
(func (export "deallocate") (param i32))
(func (export "instantiate") (param i32 i32 i32) (result i32) (i32.const 0))
"""

STOPPED = {
    "an endless loop": ("(loop $again (br $again)) (unreachable)", StopReason.OUT_OF_GAS),
    "an endless loop of host calls": (
        "(loop $again (drop (call $db_read (call $region (i32.const 1024) (i32.const 4)))) (br $again)) "
        "(unreachable)",
        StopReason.OUT_OF_GAS,
    ),
    "a memory bomb": (
        "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)",
        StopReason.TRAP,
    ),
    "filling all memory again and again": (
        "(drop (memory.grow (i32.const 511))) "
        "(loop $again (memory.fill (i32.const 0) (i32.const 1) (i32.const 33554432)) (br $again))"
        "(unreachable)",
        StopReason.OUT_OF_GAS,
    ),
    "a division by zero": ("(i32.div_u (i32.const 1) (i32.const 0))", StopReason.TRAP),
    "a read past the memory": ("(i32.load (i32.const -1))", StopReason.TRAP),
    "an answer at no address": ("(i32.const 0)", StopReason.REGION_INVALID),
    "an answer whose Region lies past the memory": ("(i32.const 65530)", StopReason.REGION_INVALID),
    "an answer that lies past the memory": (
        "(call $region (i32.const 65000) (i32.const 1000))",
        StopReason.REGION_INVALID,
    ),
    "an answer past 32 bits": ("(call $region (i32.const -8) (i32.const 16))", StopReason.REGION_INVALID),
    "an answer longer than its capacity": (
        "(local $r i32) (local.set $r (call $region (i32.const 1024) (i32.const 4))) "
        "(i32.store offset=8 (local.get $r) (i32.const 5)) (local.get $r)",
        StopReason.REGION_INVALID,
    ),
    "a giant answer": (
        "(drop (memory.grow (i32.const 100))) (call $region (i32.const 1024) (i32.const 262145))",
        StopReason.REGION_INVALID,
    ),
    "an answer that is not JSON": (
        "(call $region (i32.const 1024) (i32.const 3))",
        StopReason.RESULT_INVALID,
    ),
    "a key that is too long": (
        "(drop (call $db_read (call $region (i32.const 1024) (i32.const 1025)))) (unreachable)",
        StopReason.REGION_INVALID,
    ),
    "an empty key": (
        "(drop (call $db_read (call $region (i32.const 1024) (i32.const 0)))) (unreachable)",
        StopReason.STORAGE_BOUNDS,
    ),
    "an empty value": (
        "(call $db_write (call $region (i32.const 1024) (i32.const 1)) "
        "(call $region (i32.const 1024) (i32.const 0))) (unreachable)",
        StopReason.STORAGE_BOUNDS,
    ),
    "an iterator that does not exist": ("(call $db_next (i32.const 1))", StopReason.HOST_CALL_REFUSED),
    "an order that does not exist": (
        "(call $db_scan (i32.const 0) (i32.const 0) (i32.const 3))",
        StopReason.HOST_CALL_REFUSED,
    ),
    "a refusal of its own": ("(call $refuse 'no')", StopReason.CONTRACT_ERROR),
    "an abort": ("(call $stop 'no') (unreachable)", StopReason.CONTRACT_ABORTED),
}


@pytest.mark.parametrize("name", STOPPED)
def test_a_hostile_call_is_stopped_ten_times_with_the_same_gas(name: str, deploy: Any) -> None:
    body, reason = STOPPED[name]
    deployed = deploy(EXECUTE.format(body))
    outcomes = [deployed.execute() for _ in range(10)]
    assert {outcome.stopped.reason for outcome in outcomes if outcome.stopped} == {reason}
    assert len({outcome.gas_used for outcome in outcomes}) == 1
    assert 0 < outcomes[0].gas_used <= 100_000_000
    assert deployed.storage == {}


def recursion(parameters: int, locals_count: int, operands: int) -> str:
    """A function that calls itself for ever with this frame."""
    given = " ".join(["i64"] * parameters)
    kept = " ".join(["i64"] * locals_count)
    values = " ".join(["(i64.load (i32.const 8))"] * operands)
    sums = " ".join(["(i64.store (i32.const 16))"] * 0 + ["drop"] * operands)
    arguments = " ".join(f"(local.get {number})" for number in range(parameters))
    head = f"(param {given})" if parameters else ""
    body = f"(func $deep {head} (local {kept}) {values} (call $deep {arguments}) {sums})"
    start = " ".join(["(i64.const 1)"] * parameters)
    return body + EXECUTE.format(f"(call $deep {start}) (unreachable)")


@pytest.mark.parametrize(
    ("parameters", "locals_count", "operands"), [(0, 0, 0), (64, 0, 0), (3, 2000, 0), (2, 3, 4000)]
)
def test_a_deep_recursion_ends_at_the_counted_depth_whatever_its_frames(
    parameters: int, locals_count: int, operands: int, deploy: Any
) -> None:
    deployed = deploy(recursion(parameters, locals_count, operands))
    outcomes = [deployed.execute() for _ in range(10)]
    assert {outcome.stopped.reason for outcome in outcomes if outcome.stopped} == {
        StopReason.CALL_DEPTH_EXCEEDED
    }
    assert len({outcome.gas_used for outcome in outcomes}) == 1


def test_the_depth_is_exact(deploy: Any) -> None:
    # $down counts 16 + 1 parameter + 2 operands; execute counts 16 + 3 parameters + 1 operand.
    deepest = (limits.STACK_VALUES_MAX - 20) // 19
    text = """(func $down (param i32)
        (if (i32.gt_u (local.get 0) (i32.const 1))
            (then (call $down (i32.sub (local.get 0) (i32.const 1))))))"""
    for depth, reason in ((deepest - 2, None), (deepest + 1, StopReason.CALL_DEPTH_EXCEEDED)):
        deployed = deploy(text + EXECUTE.format(f"(call $down (i32.const {depth})) (call $done)"))
        stopped = deployed.execute().stopped
        assert (stopped.reason if stopped else None) == reason, depth


def test_returns_and_branches_leave_the_depth_as_it_was(deploy: Any) -> None:
    text = """
    (func $early (param i32) (result i32)
      (block $out (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
        (if (i32.eq (local.get 0) (i32.const 1)) (then (br $out (i32.const 8))))
        (loop $l (if (i32.eq (local.get 0) (i32.const 2)) (then (br 3 (i32.const 9)))) )
        (br_table 0 1 (i32.const 10) (local.get 0))))
    """ + EXECUTE.format(
        "(local $n i32) (loop $again "
        "(if (i32.ne (call $early (i32.const 0)) (i32.const 7)) (then (unreachable)))"
        "(if (i32.ne (call $early (i32.const 1)) (i32.const 8)) (then (unreachable)))"
        "(if (i32.ne (call $early (i32.const 2)) (i32.const 9)) (then (unreachable)))"
        "(if (i32.ne (call $early (i32.const 5)) (i32.const 10)) (then (unreachable)))"
        "(br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10000)))) "
        "(call $done)"
    )
    assert deploy(text).execute().stopped is None


def test_a_storm_of_host_calls_ends_at_their_number(deploy: Any) -> None:
    deployed = deploy(
        EXECUTE.format(
            "(loop $again (drop (call $db_scan (i32.const 0) (i32.const 0) (i32.const 1))) (br $again))"
            "(unreachable)"
        )
    )
    stopped = deployed.execute(gas_limit=limits.GAS_MAX).stopped
    assert stopped.reason == StopReason.HOST_CALL_REFUSED, "iterators are fewer than host calls"
    deployed = deploy(
        EXECUTE.format(
            "(loop $again (call $db_remove (call $region (i32.const 1024) (i32.const 1))) (br $again))"
            "(unreachable)"
        )
    )
    outcomes = [deployed.execute(gas_limit=limits.GAS_MAX) for _ in range(2)]
    assert [outcome.stopped.reason for outcome in outcomes] == [StopReason.HOST_CALLS_EXCEEDED] * 2
    assert outcomes[0].gas_used == outcomes[1].gas_used > limits.HOST_CALLS_MAX * limits.BASE_GAS["db_remove"]


def test_writes_of_one_call_have_a_bound(deploy: Any) -> None:
    text = EXECUTE.format(
        "(local $n i32) (drop (memory.grow (i32.const 1)))"
        "(loop $again (i32.store (i32.const 4096) (local.get $n)) "
        "(call $db_write (call $region (i32.const 4096) (i32.const 4))"
        " (call $region (i32.const 1024) (i32.const 65536)))"
        "(br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 16))))"
        "(call $done)"
    )
    assert deploy(text).execute(gas_limit=limits.GAS_MAX).stopped.reason == StopReason.STORAGE_BOUNDS


def test_a_query_writes_nothing(deploy: Any) -> None:
    deployed = deploy(
        QUERY.format("(call $db_remove (call $region (i32.const 1024) (i32.const 1))) (unreachable)")
    )
    assert deployed.query().stopped.reason == StopReason.WRITE_IN_QUERY


def test_an_allocate_that_calls_the_host_is_stopped(deploy: Any) -> None:
    text = BARE.replace(
        '(func (export "allocate") (param i32) (result i32) (i32.const 0))',
        '(func (export "allocate") (param i32) (result i32) (call $read (i32.const 8)))',
    )
    code = assemble(
        '(import "env" "db_read" (func $read (param i32) (result i32)))' + text, with_prelude=False
    )
    assert deploy(code).instantiate().stopped.reason == StopReason.HOST_CALL_REFUSED


@pytest.mark.parametrize("region", ["0", "-1", "65535", "65524"])
def test_an_allocate_that_answers_nonsense_is_stopped(region: str, deploy: Any) -> None:
    text = BARE.replace(
        '(result i32) (i32.const 0))\n(func (export "deallocate")',
        f'(result i32) (i32.const {region}))\n(func (export "deallocate")',
    )
    assert (
        deploy(assemble(text, with_prelude=False)).instantiate().stopped.reason == StopReason.REGION_INVALID
    )


TURNS = """
(memory (export "memory") 1)
(global $calls (mut i32) (i32.const 0))
(func (export "interface_version_8"))
(func $deep (call $deep))
(func (export "allocate") (param i32) (result i32)
  (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
  (if (i32.gt_u (global.get $calls) (i32.const {good})) (then {bad}))
  (i32.store (i32.const 64) (i32.const 128)) (i32.store (i32.const 68) (i32.const 4096)) (i32.const 64))
(func (export "deallocate") (param i32))
(func (export "instantiate") (param i32 i32 i32) (result i32)
  (drop (call $chain (i32.const 64))) (unreachable))
"""


@pytest.mark.parametrize("good", [0, 3])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("(loop $again (br $again))", StopReason.OUT_OF_GAS),
        ("(unreachable)", StopReason.TRAP),
        ("(call $deep)", StopReason.CALL_DEPTH_EXCEEDED),
        ("(return (i32.const 0))", StopReason.REGION_INVALID),
    ],
)
def test_an_allocate_that_turns_bad_ends_the_call_inside_a_host_call_too(
    good: int, bad: str, reason: StopReason, deploy: Any
) -> None:
    text = TURNS.replace("{good}", str(good)).replace("{bad}", bad)
    wanted = '(import "env" "query_chain" (func $chain (param i32) (result i32)))'
    deployed = deploy(assemble(text, imports=wanted, with_prelude=False))
    outcomes = [deployed.instantiate() for _ in range(10)]
    assert {outcome.stopped.reason for outcome in outcomes} == {reason}
    assert len({outcome.gas_used for outcome in outcomes}) == 1


def test_an_entry_point_that_is_missing_is_said(deploy: Any) -> None:
    deployed = deploy("")
    assert deployed.execute().stopped.reason == StopReason.ENTRY_POINT_MISSING
    assert deployed.query().stopped.reason == StopReason.ENTRY_POINT_MISSING


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b'{"a":1.5}',
        b'{"a":1,"a":1}',
        b"\xff",
        b'"' + b"a" * 70_000 + b'"',
        b"[" * 65 + b"]" * 65,
        b"[1e3]",
        b"[NaN]",
        b'"\\ud800"',
        b"[18446744073709551616]",
    ],
)
def test_a_message_that_is_not_json_never_reaches_the_contract(message: bytes, deploy: Any) -> None:
    outcome = deploy(contract("counter")).execute(message)
    assert outcome.stopped.reason == StopReason.MESSAGE_INVALID


def test_the_gas_limit_is_exact(deploy: Any) -> None:
    deployed = deploy(contract("counter"))
    needed = deployed.instantiate().gas_used
    assert deployed.instantiate(gas_limit=needed).stopped is None
    short = deployed.instantiate(gas_limit=needed - 1)
    assert short.stopped.reason == StopReason.OUT_OF_GAS
    assert deployed.instantiate(gas_limit=10).gas_used == 10


def text_of(replaced: str, by: str) -> Callable[[], bytes]:
    assert replaced in BARE
    return lambda: assemble(BARE.replace(replaced, by), with_prelude=False)


def text_with(added: str) -> Callable[[], bytes]:
    return lambda: assemble(added + BARE if added.startswith("(import") else BARE + added, with_prelude=False)


REFUSED: dict[str, tuple[Callable[[], bytes], CodeReason]] = {
    "nothing": (lambda: b"", CodeReason.MALFORMED_MODULE),
    "text": (lambda: b"(module)", CodeReason.MALFORMED_MODULE),
    "a component": (lambda: b"\0asm\x0d\0\1\0", CodeReason.MALFORMED_MODULE),
    "half a module": (lambda: contract("counter")[:-7], CodeReason.MALFORMED_MODULE),
    "too large": (lambda: b"\0asm\1\0\0\0" + b"\0" * 900_000, CodeReason.CODE_TOO_LARGE),
    "a huge data segment": (
        text_with('(data (i32.const 0) "' + "a" * 820_000 + '")'),
        CodeReason.CODE_TOO_LARGE,
    ),
    "data past the memory": (
        text_with('(data (i32.const 65530) "1234567")'),
        CodeReason.SEGMENT_OUT_OF_BOUNDS,
    ),
    "elements past the table": (
        text_with("(table 1 funcref) (elem (i32.const 1) 0)"),
        CodeReason.SEGMENT_OUT_OF_BOUNDS,
    ),
    "a float in a signature": (text_with("(func (param f64))"), CodeReason.FLOAT_USED),
    "a float local": (text_with("(func (local f32))"), CodeReason.FLOAT_USED),
    "a float global": (text_with("(global f64 (f64.const 1))"), CodeReason.FLOAT_USED),
    "a float constant": (text_with("(func (drop (f32.const 1)))"), CodeReason.FLOAT_USED),
    "float arithmetic": (
        text_with(
            "(func (drop (i32.trunc_f64_s (f64.add (f64.convert_i32_s (i32.const 1)) (f64.const 1)))))"
        ),
        CodeReason.FLOAT_USED,
    ),
    "a float load": (text_with("(func (drop (f64.load (i32.const 0))))"), CodeReason.FLOAT_USED),
    "a saturating conversion": (
        text_with("(func (param i32) (drop (i32.trunc_sat_f32_s (f32.reinterpret_i32 (local.get 0)))))"),
        CodeReason.FLOAT_USED,
    ),
    "a start function": (text_with("(func $go) (start $go)"), CodeReason.START_FUNCTION),
    "an unknown import": (text_with('(import "env" "open" (func))'), CodeReason.IMPORT_UNKNOWN),
    "WASI": (
        text_with('(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'),
        CodeReason.IMPORT_UNKNOWN,
    ),
    "an import of another type": (
        text_with('(import "env" "db_read" (func (param i64)))'),
        CodeReason.IMPORT_UNKNOWN,
    ),
    "an imported memory": (text_with('(import "env" "memory" (memory 1))'), CodeReason.IMPORT_UNKNOWN),
    "an imported global": (text_with('(import "env" "g" (global i32))'), CodeReason.IMPORT_UNKNOWN),
    "an old interface": (text_of("interface_version_8", "interface_version_5"), CodeReason.INTERFACE_VERSION),
    "an older interface": (
        text_of("interface_version_8", "cosmwasm_vm_version_4"),
        CodeReason.INTERFACE_VERSION,
    ),
    "a newer interface beside ours": (
        text_with('(func (export "interface_version_9"))'),
        CodeReason.INTERFACE_VERSION,
    ),
    "no interface": (text_of("interface_version_8", "other"), CodeReason.INTERFACE_VERSION),
    "no instantiate": (text_of('"instantiate"', '"init"'), CodeReason.EXPORT_MISSING),
    "no allocate": (text_of('"allocate"', '"alloc"'), CodeReason.EXPORT_MISSING),
    "an execute of another type": (
        text_with('(func (export "execute") (param i32))'),
        CodeReason.EXPORT_MISSING,
    ),
    "a query that is a memory": (text_with('(export "query" (memory 0))'), CodeReason.EXPORT_MISSING),
    "a memory that is kept": (text_of('(export "memory")', ""), CodeReason.EXPORT_MISSING),
    "no memory": (text_of('(memory (export "memory") 1)', ""), CodeReason.MEMORY_INVALID),
    "a memory with a maximum": (text_of('"memory") 1', '"memory") 1 2'), CodeReason.MEMORY_INVALID),
    "a memory too large": (text_of('"memory") 1', '"memory") 513'), CodeReason.MEMORY_INVALID),
    "two memories": (text_with("(memory 1)"), CodeReason.MEMORY_INVALID),
    "a memory of 64 bits": (text_of('"memory") 1', '"memory") i64 1'), CodeReason.FEATURE_UNSUPPORTED),
    "a shared memory": (text_of('"memory") 1', '"memory") 1 2 shared'), CodeReason.FEATURE_UNSUPPORTED),
    "two tables": (text_with("(table 1 funcref) (table 1 funcref)"), CodeReason.FEATURE_UNSUPPORTED),
    "a table of references": (text_with("(table 1 externref)"), CodeReason.FEATURE_UNSUPPORTED),
    "a table too large": (text_with("(table 10001 funcref)"), CodeReason.LIMIT_EXCEEDED),
    "references": (text_with("(func (drop (ref.null func)))"), CodeReason.FEATURE_UNSUPPORTED),
    "SIMD": (text_with("(func (drop (v128.const i64x2 0 0)))"), CodeReason.FEATURE_UNSUPPORTED),
    "atomics": (text_with("(func (drop (i32.atomic.load (i32.const 0))))"), CodeReason.FEATURE_UNSUPPORTED),
    "tail calls": (text_with("(func $f (return_call $f))"), CodeReason.FEATURE_UNSUPPORTED),
    "exceptions": (text_with("(tag $t) (func (throw $t))"), CodeReason.FEATURE_UNSUPPORTED),
    "several results": (text_with("(func (result i32 i32) (unreachable))"), CodeReason.FEATURE_UNSUPPORTED),
    "a capability we lack": (
        text_with('(func (export "requires_staking"))'),
        CodeReason.CAPABILITY_UNSUPPORTED,
    ),
    "the counter's name": (text_with('(func (export "icn stack"))'), CodeReason.EXPORT_RESERVED),
    "too many globals": (text_with("(global i32 (i32.const 0))" * 257), CodeReason.LIMIT_EXCEEDED),
    "too many functions": (text_with("(func)" * 10_001), CodeReason.LIMIT_EXCEEDED),
    "too many locals": (text_with("(func (local " + "i32 " * 2049 + "))"), CodeReason.LIMIT_EXCEEDED),
    "too many parameters": (text_with("(func (param " + "i32 " * 65 + "))"), CodeReason.LIMIT_EXCEEDED),
    "too large a frame": (
        text_with("(func " + "(i32.const 0)" * 9_000 + "drop " * 9_000 + ")"),
        CodeReason.LIMIT_EXCEEDED,
    ),
    "too large a function": (text_with("(func " + "nop " * 270_000 + ")"), CodeReason.LIMIT_EXCEEDED),
    "too much to join": (
        text_with("(func (local " + "i32 " * 2_000 + ")" + "(loop)" * 1_000 + ")"),
        CodeReason.LIMIT_EXCEEDED,
    ),
    "too deep blocks": (text_with("(func " + "block " * 513 + "end " * 513 + ")"), CodeReason.LIMIT_EXCEEDED),
    "wrong operand types": (
        lambda: contract("counter").replace(b"\x42\x0a\x7e", b"\x41\x0a\x7e", 1),
        CodeReason.INVALID_MODULE,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_code_is_refused_when_it_is_stored(name: str, engine: Engine) -> None:
    make, reason = REFUSED[name]
    code = Code.of(make())
    for _ in range(2):
        with pytest.raises(CodeRefused) as refusal:
            engine.check(code)
        assert refusal.value.reason == reason


def test_the_smallest_contract_is_accepted(engine: Engine) -> None:
    engine.check(Code.of(assemble(BARE, with_prelude=False)))
    engine.check(Code.of(assemble(BARE + '(func (export "requires_iterator"))', with_prelude=False)))


def test_the_module_cache_is_bounded() -> None:
    engine = Engine(modules_cached_max=2)
    codes = [
        Code.of(assemble(BARE + "(global i32 (i32.const 0))" * count, with_prelude=False))
        for count in range(4)
    ]
    for code in codes:
        engine.check(code)
    assert list(engine._modules) == [code.checksum for code in codes[2:]]


def test_gas_is_the_same_in_other_processes_whatever_their_hash_seed(tmp_path: Path) -> None:
    script = tmp_path / "once.py"
    script.write_text(
        "from icn_wasm.assembly import assemble, contract\n"
        "from icn_wasm.engine import *\nfrom icn_wasm.messages import *\n"
        "class V(dict):\n    def scan(self, a, b, d): return iter(sorted(self.items(), reverse=d))\n"
        "c = Code.of(contract('counter')); v = V(count=b'0'); e = Engine()\n"
        "v[b'count'] = bytes(8)\n"
        "env = Environment('icn', 1, 1, 'contracts/aa')\n"
        "print([e.run(EntryPoint.EXECUTE, c, env, Caller('anna'), m, v, g) for m, g in"
        ' ((b\'{"by":"3"}\', 10**8), (b\'{}\', 10**8), (b\'{"by":"3"}\', 550_000))])\n'
    )
    printed = {
        subprocess.run(
            [sys.executable, str(script)],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77", "random")
    }
    assert len(printed) == 1 and "CONTRACT_ABORTED" in printed.pop()


def test_the_machines_own_stack_overflow_is_no_outcome_of_a_contract() -> None:
    from icn_wasm import engine as module

    assert wasmtime.TrapCode.STACK_OVERFLOW not in module._TRAPS


def test_code_that_costs_more_than_the_limit_is_not_compiled() -> None:
    engine = Engine()
    code = Code.of(contract("counter"))
    gas = Engine().check(code)
    for _ in range(10):
        with pytest.raises(Stopped) as stopped:
            engine.check(code, gas - 1)
        assert stopped.value.reason == StopReason.OUT_OF_GAS
        assert not engine.knows(code.checksum)
    assert engine.check(code, gas) == gas
    assert engine.knows(code.checksum)
    with pytest.raises(Stopped):
        engine.check(code, gas - 1)  # that it is compiled already must not show
