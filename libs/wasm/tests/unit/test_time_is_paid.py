"""No input makes a unit of fuel dearer by being large: what is measured is how the price grows, never
seconds.

Each test measures CPU time for one unit of fuel at several sizes. A parser that goes through its text once
more for every byte, or a host call that forgets to charge for bytes, grows with the size and fails.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from icn_wasm import json_text, limits, messages
from icn_wasm.assembly import assemble
from icn_wasm.engine import Code, Engine, EntryPoint, Outcome
from icn_wasm.json_text import NotContractJson
from icn_wasm.refusals import CodeReason, CodeRefused, Stopped, StopReason

GROWTH_MAX = 8.0
"""Of the time for one unit between the smallest and the largest size. Ten runs of what is here gave at most
3; a text of 64 KB that is gone through again for each quotation mark gave 20 to 24,000."""
ROUNDS = 3
Shape = Callable[[int], bytes]


def filled(before: bytes, part: bytes, after: bytes) -> Shape:
    """A text of a size with one part again and again, commas between."""

    def make(size: int) -> bytes:
        count = max(1, (size - len(before) - len(after) + 1) // (len(part) + 1))
        return before + b",".join([part] * count) + after

    return make


JSON: dict[str, Shape] = {
    "quotes in a string without end": lambda n: b"[]" * 65 + b'"' + b'\\"' * ((n - 131) // 2),
    "quotation marks": lambda n: b"[]" * 65 + b'"' * (n - 130),
    "backslashes": lambda n: b"[]" * 65 + b"\\" * (n - 130),
    "brackets": lambda n: b"[]" * (n // 2),
    "only opening": lambda n: b"[" * (n // 2) + b" " * (n - n // 2),
    "objects": filled(b"[", b"{}", b"]"),
    "objects with a member": filled(b"[", b'{"":0}', b"]"),
    "arrays": filled(b"[", b"[]", b"]"),
    "numbers": filled(b"[", b"0", b"]"),
    "deep arrays": filled(b"[", b"[" * 63 + b"]" * 63, b"]"),
    "deep objects": filled(b"[", b'{"":' * 62 + b"{}" + b"}" * 62, b"]"),
    "members": lambda n: b"{" + b",".join(b'"%06x":0' % i for i in range((n - 2) // 11)) + b"}",
    "a long number": lambda n: b"1" * n,
    "escapes": lambda n: b'"' + b"\\u0001" * ((n - 2) // 6) + b'"',
    "pairs": lambda n: b'"' + b"\\ud83d\\ude00" * ((n - 2) // 12) + b'"',
    "half a pair at the end": lambda n: b'"' + b"a" * (n - 8) + b'\\ud800"',
    "lines, then nonsense": lambda n: b"\n" * (n - 1) + b"x",
    "a wrong byte at the end": lambda n: b'"' + b"a" * (n - 3) + b'\xff"',
}
ANSWERS: dict[str, Shape] = {
    "events": filled(b'{"ok":{"events":[', b'{"type":"aa","attributes":[{"key":"k","value":"v"}]}', b"]}}"),
    "attributes": filled(b'{"ok":{"attributes":[', b'{"key":"k","value":""}', b"]}}"),
    "messages": filled(b'{"ok":{"messages":[', b'{"msg":{"bank":{}}}', b"]}}"),
    "spaces around a value": lambda n: (
        b'{"ok":{"attributes":[{"key":"k","value":"' + b" " * (n - 50) + b'"}]}}'
    ),
    "data": lambda n: b'{"ok":{"data":"' + base64.b64encode(bytes((n - 20) * 3 // 4)) + b'"}}',
    "an error": lambda n: b'{"error":"' + b"x" * (n - 12) + b'"}',
}


def seconds(work: Callable[[], object]) -> float:
    """The least CPU time of a few rounds on this thread, without the collector's walks over what other tests
    have left in the process."""
    found = []
    gc.disable()
    try:
        for _ in range(ROUNDS):
            started = time.thread_time()
            work()
            found.append(time.thread_time() - started)
    finally:
        gc.enable()
    return min(found)


def refused(work: Callable[..., object], *arguments: object) -> Callable[[], None]:
    """The work, whatever it refuses."""

    def run() -> None:
        with contextlib.suppress(NotContractJson, Stopped):
            work(*arguments)

    return run


def assert_steady(price: Callable[[int], float], sizes: tuple[int, ...]) -> None:
    """The price of one unit must not grow with the size. A machine that was busy gets a second and third
    try."""
    for _ in range(3):
        prices = [price(size) for size in sizes]
        if max(prices) <= GROWTH_MAX * prices[0]:
            return
    raise AssertionError(f"{dict(zip(sizes, prices, strict=True))} s for one unit")


@pytest.mark.parametrize("name", JSON)
def test_json_is_read_in_time_that_grows_with_its_bytes(name: str) -> None:
    def price(size: int) -> float:
        text = JSON[name](size)
        return seconds(refused(json_text.parse, text)) / len(text)

    assert_steady(price, (4_096, 65_536, limits.RESULT_BYTES_MAX))


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_are_read_in_time_that_grows_with_their_bytes(name: str) -> None:
    def price(size: int) -> float:
        text = ANSWERS[name](size)
        return seconds(refused(messages.read_response, text, "aa" * 16)) / len(text)

    assert_steady(price, (1_024, 16_384, limits.RESULT_BYTES_MAX))


@pytest.mark.parametrize("name", JSON)
def test_answers_to_queries_are_read_in_time_that_grows_with_their_bytes(name: str) -> None:
    def price(size: int) -> float:
        text = b'{"ok":"' + base64.b64encode(JSON[name](size * 3 // 4 - 10)) + b'"}'
        return seconds(refused(messages.read_query_answer, text)) / len(text)

    assert_steady(price, (4_096, 65_536, limits.RESULT_BYTES_MAX))


REGION = "(call $region (local.get $at) (local.get $size))"
FIXED = {size: f"(call $region (i32.const 1024) (i32.const {size}))" for size in (8, 32, 33, 64, 65)}
IMPORTS = {
    "validate": '(import "env" "addr_validate" (func $validate (param i32) (result i32)))',
    "canonicalize": '(import "env" "addr_canonicalize" (func $canonicalize (param i32 i32) (result i32)))',
    "humanize": '(import "env" "addr_humanize" (func $humanize (param i32 i32) (result i32)))',
    "verify": '(import "env" "ed25519_verify" (func $verify (param i32 i32 i32) (result i32)))',
    "batch": '(import "env" "ed25519_batch_verify" (func $batch (param i32 i32 i32) (result i32)))',
    "secp": '(import "env" "secp256k1_verify" (func $secp (param i32 i32 i32) (result i32)))',
    "recover": '(import "env" "secp256k1_recover_pubkey" (func $recover (param i32 i32 i32) (result i64)))',
    "debug": '(import "env" "debug" (func $debug (param i32)))',
    "chain": '(import "env" "query_chain" (func $chain (param i32) (result i32)))',
    "value": '(import "env" "db_next_value" (func $value (param i32) (result i32)))',
}
PARTS = b"".join(bytes(64) + (64).to_bytes(4, "big") for _ in range(limits.BATCH_SIGNATURES_MAX))
plain: Shape = lambda n: b"a" * n  # noqa: E731 - reads as the others
SCAN = "(call $db_scan (i32.const 0) (i32.const 0) (i32.const 1))"
CALLS: dict[str, tuple[str, Shape, tuple[int, ...]]] = {
    "db_read of a long key": (f"(drop (call $db_read {REGION}))", plain, (8, 128, 1_024)),
    "db_read of a large value": (f"(drop (call $db_read {FIXED[8]}))", plain, (64, 4_096, 65_536)),
    "db_write of a long key": (f"(call $db_write {REGION} {FIXED[8]})", plain, (8, 128, 1_024)),
    "db_write of a large value": (f"(call $db_write {FIXED[8]} {REGION})", plain, (64, 4_096, 65_536)),
    "db_remove": (f"(call $db_remove {REGION})", plain, (8, 128, 1_024)),
    "db_scan": (f"(drop (call $db_scan {REGION} {REGION} (i32.const 2)))", plain, (8, 128, 1_024)),
    "db_next": (f"(drop (call $db_next {SCAN}))", plain, (64, 4_096, 65_536)),
    "db_next_key": (f"(drop (call $db_next_key {SCAN}))", plain, (64, 4_096, 65_536)),
    "db_next_value": (f"(drop (call $value {SCAN}))", plain, (64, 4_096, 65_536)),
    "addr_validate": (f"(drop (call $validate {REGION}))", plain, (8, 64, 256)),
    "addr_canonicalize": (f"(drop (call $canonicalize {REGION} {FIXED[65]}))", plain, (8, 64, 256)),
    "addr_humanize": (f"(drop (call $humanize {REGION} {FIXED[65]}))", plain, (8, 64)),
    "ed25519_verify": (f"(drop (call $verify {REGION} {FIXED[64]} {FIXED[32]}))", plain, (64, 4_096, 65_536)),
    "ed25519_batch_verify": (
        f"(drop (call $batch {REGION} {REGION} {FIXED[8]}))",
        lambda n: PARTS[-n:],
        (68, 680, 17_408),
    ),
    "ed25519_batch_verify of nothing": (
        f"(drop (call $batch {REGION} {REGION} {REGION}))",
        bytes,
        (4, 64, 1_024),
    ),
    "secp256k1_verify": (f"(drop (call $secp {FIXED[32]} {FIXED[64]} {FIXED[33]}))", plain, (8,)),
    "secp256k1_recover_pubkey": (
        f"(drop (call $recover {FIXED[32]} {FIXED[64]} (i32.const 1)))",
        plain,
        (8,),
    ),
    "debug": (f"(call $debug {REGION})", plain, (8, 256, 2_048)),
    "abort": (f"(call $abort {REGION})", plain, (8, 256, 2_048)),
}
CALLS |= {
    f"query_chain: {name}": (f"(drop (call $chain {REGION}))", shape, (512, 4_096, 65_536))
    for name, shape in JSON.items()
}
LOOP = """(func (export "execute") (param i32 i32 i32) (result i32)
  (local $n i32) (local $at i32) (local $size i32) (local $found i32)
  (local.set $found (call $db_read (call $region 'input')))
  (local.set $at (i32.load (local.get $found)))
  (local.set $size (i32.load offset=8 (local.get $found)))
  (loop $again
    {body}
    (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 20))))
  (call $done))"""


ENDINGS = {StopReason.CONTRACT_ABORTED, StopReason.OUT_OF_GAS}
"""Those of abort, and of so many signatures that a billion is not enough for twenty rounds."""


@pytest.mark.parametrize("name", CALLS)
def test_a_host_call_costs_fuel_for_its_bytes(name: str, deploy: Any) -> None:
    body, shape, sizes = CALLS[name]
    imports = "".join(text for short, text in IMPORTS.items() if f"${short} " in body)
    instantiate = '(func (export "instantiate") (param i32 i32 i32) (result i32) (call $done))'
    contract = deploy(assemble(LOOP.format(body=body) + instantiate, imports=imports))

    def price(size: int) -> float:
        content = shape(size)
        contract.storage.clear()
        contract.storage[b"input"] = contract.storage[bytes(8)] = content
        outcome: Outcome | None = None

        def call() -> None:
            nonlocal outcome
            outcome = contract.engine.run(
                EntryPoint.EXECUTE,
                contract.code,
                messages.Environment("icn-test", 7, 1, "contracts/0000", 2),
                messages.Caller("anna"),
                b"{}",
                contract.storage,
                limits.GAS_MAX,
                {},
            )

        used = seconds(call)
        assert outcome is not None
        assert outcome.stopped is None or outcome.stopped.reason in ENDINGS
        return used / outcome.gas_used

    assert_steady(price, sizes)


@pytest.mark.parametrize("name", JSON)
def test_a_message_costs_fuel_for_its_bytes(name: str, deploy: Any) -> None:
    contract = deploy('(func (export "execute") (param i32 i32 i32) (result i32) (call $done))')

    def price(size: int) -> float:
        text = JSON[name](size)
        gas = contract.execute(text).gas_used
        return seconds(lambda: contract.execute(text)) / gas

    assert_steady(price, (512, 8_192, limits.MESSAGE_BYTES_MAX))


OPERATIONS = {
    "a growth of no pages": "(drop (memory.grow (i32.const 0)))",
    "a growth that fails": "(drop (memory.grow (i32.const 1000)))",
    "a growth by 2³² - 1 pages": "(drop (memory.grow (i32.const -1)))",
    "a fill of no bytes": "(memory.fill (i32.const 8192) (i32.const 7) (i32.const 0))",
    "a fill of one byte": "(memory.fill (i32.const 8192) (i32.const 7) (i32.const 1))",
    "a fill of 4,000 bytes": "(memory.fill (i32.const 8192) (i32.const 7) (i32.const 4000))",
    "a copy of no bytes": "(memory.copy (i32.const 8192) (i32.const 9000) (i32.const 0))",
    "a copy of one byte": "(memory.copy (i32.const 8192) (i32.const 9000) (i32.const 1))",
    "a copy onto itself": "(memory.copy (i32.const 8193) (i32.const 8192) (i32.const 4000))",
    "an init of no bytes": "(memory.init $some (i32.const 8192) (i32.const 0) (i32.const 0))",
    "an init of 100 bytes": "(memory.init $some (i32.const 8192) (i32.const 0) (i32.const 100))",
    "a division": "(local.set $x (i32.div_u (i32.const -1) (i32.or (local.get $x) (i32.const 3))))",
    "a call": "(call $nothing)",
}
ENDLESS = """(func $nothing)
  (data $some "{some}")
  (func (export "execute") (param i32 i32 i32) (result i32) (local $x i32)
  (loop $again {body} (br $again)) (unreachable))"""
DEARER_MAX = 20.0
"""A unit of fuel in memory.grow, memory.fill and others against one in a loop of divisions, which is the
dearest of ordinary instructions at half a nanosecond. A growth that fails was 25 times as dear, a fill of
no bytes 60."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_instruction_takes_much_longer_for_its_fuel_than_others(name: str, deploy: Any) -> None:
    gas = 5_000_000

    def endless(body: str) -> float:
        contract = deploy(ENDLESS.format(body=body, some="x" * 100))
        assert contract.execute(gas_limit=gas).stopped.reason == StopReason.OUT_OF_GAS
        return seconds(lambda: contract.execute(gas_limit=gas))

    for _ in range(3):
        measured, ordinary = endless(OPERATIONS[name]), endless(OPERATIONS["a division"])
        if measured <= DEARER_MAX * ordinary:
            return
    raise AssertionError(f"{measured} s against {ordinary} s for the same gas")


@pytest.mark.parametrize(("pages", "answer"), [(0, 1), (1, 1), (511, 1), (512, -1), (-1, -1)])
def test_a_growth_answers_as_ever_and_pays_for_its_pages(pages: int, answer: int, deploy: Any) -> None:
    text = f"""(func (export "execute") (param i32 i32 i32) (result i32)
      (if (i32.ne (memory.grow (i32.const {pages})) (i32.const {answer})) (then unreachable))
      (if (i32.ne (memory.size) (i32.const {pages + 1 if answer == 1 else 1})) (then unreachable))
      (call $done))"""
    free = text.replace(f"(memory.grow (i32.const {pages}))", f"(i32.const {answer})").replace(
        "(memory.size)", f"(i32.const {pages + 1 if answer == 1 else 1})"
    )
    outcome, without = deploy(text).execute(), deploy(free).execute()
    assert outcome.stopped is None and without.stopped is None
    paid = outcome.gas_used - without.gas_used - limits.GROW_GAS
    pages_paid = pages if 0 <= pages <= limits.MEMORY_PAGES_MAX else 0
    assert 0 <= paid - pages_paid * limits.PAGE_GAS <= 600 + 3 * pages_paid, (
        "besides: the call, its rounds, the page that wasmtime counts, and a tenth of compiling one more"
    )


def test_a_fill_does_what_it_did(deploy: Any) -> None:
    text = """(func (export "execute") (param i32 i32 i32) (result i32)
      (memory.fill (i32.const 8193) (i32.const 0x41) (i32.const 2))
      (if (i32.ne (i32.load (i32.const 8192)) (i32.const 0x00414100)) (then unreachable))
      (call $done))"""
    assert deploy(text).execute().stopped is None
    past = text.replace("(i32.const 8193)", "(i32.const 65535)")
    assert deploy(past).execute().stopped.message == "memory_out_of_bounds"


def test_memory_to_begin_with_is_paid_for(engine: Engine) -> None:
    def gas(pages: int) -> int:
        text = f"""(memory (export "memory") {pages}) (func (export "interface_version_8"))
          (func (export "allocate") (param i32) (result i32) (i32.const 16))
          (func (export "deallocate") (param i32))
          (func (export "instantiate") (param i32 i32 i32) (result i32) (unreachable))"""
        code = Code.of(assemble(text, with_prelude=False))
        return engine.run(
            EntryPoint.INSTANTIATE,
            code,
            messages.Environment("icn-test", 7, 1, "contracts/0000", 2),
            messages.Caller("anna"),
            b"{}",
            {},  # type: ignore[arg-type]
            100_000_000,
        ).gas_used

    assert gas(512) - gas(1) == 511 * limits.PAGE_GAS


def module_text(execute: str, **parts: str) -> str:
    return f"""{parts.get("first", "")} (memory (export "memory") {parts.get("pages", "1")})
      (func (export "interface_version_8")) (func (export "deallocate") (param i32))
      (func (export "allocate") (param i32) (result i32) (i32.const 16))
      (func (export "instantiate") (param i32 i32 i32) (result i32) {execute})"""


def assembled(execute: str, **parts: str) -> Code:
    return Code.of(assemble(module_text(execute, **parts), with_prelude=False))


def joined(locals_: int, targets: int) -> str:
    """Locals with one of two values each where the targets of a br_table meet."""
    declared = "".join(f"(local $l{index} i32)" for index in range(locals_))
    changed = "".join(f"(local.set $l{index} (local.get 1))" for index in range(locals_))
    used = "".join(f"(local.set 0 (i32.add (local.get 0) (local.get $l{index})))" for index in range(locals_))
    return f"""{declared} (block (br_if 0 (local.get 0)) {changed}
      (br_table {"0 " * targets} 0 (local.get 2))) {used} (local.get 0)"""


BOMBS = {
    "many values joined at many branches": joined(1_500, 1_000),
    "few values joined at too many branches": joined(8, 9_000),
    "sixteen thousand loops": "(loop) " * 16_000 + "(i32.const 0)",
    "operands kept over many calls": "(i32.const 0) " * 1_000
    + "(drop (memory.grow (i32.const 0))) " * 5_000
    + "i32.add " * 999,
}


@pytest.mark.parametrize("name", BOMBS)
def test_code_that_takes_long_to_compile_is_refused(name: str) -> None:
    with pytest.raises(CodeRefused) as refusal:
        Engine().check(assembled(BOMBS[name]))
    assert refusal.value.reason == CodeReason.LIMIT_EXCEEDED


@pytest.mark.parametrize(
    ("name", "execute"),
    [
        ("branches", lambda n: joined(60, n)),
        ("values", lambda n: joined(n, 60)),
        ("loops", lambda n: "(loop (br_if 0 (local.get 0)))" * n + "(i32.const 0)"),
        ("blocks", lambda n: "(block (br_if 0 (local.get 0)))" * n + "(i32.const 0)"),
        ("calls", lambda n: "(drop (call 2 (i32.const 1)))" * n + "(i32.const 0)"),
    ],
)
def test_compiling_costs_fuel_for_what_it_takes(name: str, execute: Callable[[int], str]) -> None:
    def price(size: int) -> float:
        code = assembled(execute(size))
        return seconds(lambda: Engine().check(code)) / Engine().check(code)

    assert_steady(price, (60, 250, 1_000))


def test_a_little_code_does_not_keep_much_memory() -> None:
    engine = Engine()
    far = '(data (i32.const 16) "a") (data (i32.const 16000000) "b")'
    engine.check(assembled("unreachable" + ")" + far + "(func", pages="512"))
    assert engine.modules_bytes < 1 << 20, "zeros between two bytes are not kept"


def test_compiled_code_is_kept_up_to_a_number_of_bytes() -> None:
    one = Engine()
    codes = [assembled("(i32.const 0)", first=f"(global i32 (i32.const {number}))") for number in range(8)]
    one.check(codes[0])
    size = one.modules_bytes
    engine = Engine(modules_bytes_max=3 * size + size // 2)
    for code in codes:
        engine.check(code)
        assert engine.modules_bytes <= 3 * size + size // 2
    assert [engine.knows(code.checksum) for code in codes] == [False] * 5 + [True] * 3
    tiny = Engine(modules_bytes_max=size // 2)
    assert tiny.check(codes[0]) == one.check(codes[0])
    assert (tiny.modules_kept, tiny.modules_bytes) == (0, 0)


def test_no_limit_of_fuel_stops_the_machine_while_an_instance_is_made(engine: Engine) -> None:
    """Code that copies its data before it runs counts fuel: a limit that ended there once stopped the
    node."""
    data = "".join(f'(data (i32.const {16 + number * 60_000}) "x")' for number in range(500))
    code = Code.of(assemble(module_text("(i32.const 0)", pages="512") + data, with_prelude=False))
    engine.check(code)

    def run(gas: int) -> Outcome:
        return engine.run(
            EntryPoint.INSTANTIATE,
            code,
            messages.Environment("icn-test", 7, 1, "contracts/0000", 2),
            messages.Caller("anna"),
            b"{}",
            {},  # type: ignore[arg-type]
            gas,
        )

    enough = run(100_000_000)
    assert enough.stopped is not None and enough.stopped.reason == StopReason.REGION_INVALID
    for short in itertools.chain(range(0, 40), range(40, 3_000, 97)):
        outcome = run(enough.gas_used - short)
        assert outcome.stopped is not None
        assert outcome.gas_used == enough.gas_used - short
        assert outcome.stopped.reason in {StopReason.REGION_INVALID, StopReason.OUT_OF_GAS}
        assert short < 97 or outcome.stopped.reason == StopReason.OUT_OF_GAS


def test_a_call_that_cannot_pay_for_compiling_compiles_nothing() -> None:
    engine = Engine()
    code = assembled("(i32.const 0)", pages="512")
    outcome = engine.run(
        EntryPoint.INSTANTIATE,
        code,
        messages.Environment("icn-test", 7, 1, "contracts/0000", 2),
        messages.Caller("anna"),
        b"{}",
        {},  # type: ignore[arg-type]
        1_000_000,
    )
    assert outcome.stopped is not None and outcome.stopped.reason == StopReason.OUT_OF_GAS
    assert outcome.gas_used == 1_000_000 and not engine.knows(code.checksum)
