"""What the worst code that a chain accepts costs to compile: `benches/contract_compile.py [SHAPE …]`.

Every shape is made as large as the ledger's size of code and the gas of storing it allow, and compiled in a
process of its own, so that its memory is its own. A shape that is refused with every size shows nothing.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product

from icn_machine.contract_limits import CODE_BYTES_MAX, store_fuel_limit
from icn_wasm.admission import admit
from icn_wasm.engine import Code, Engine
from icn_wasm.refusals import CodeRefused
from icn_wasm.wire import Reader, section, signed, u32, vector

I32, I64 = 0x7F, 0x7E
Body = tuple[int, bytes]
"""Locals of i32 and instructions, without the last end."""


def get(index: int) -> bytes:
    """local.get"""
    return b"\x20" + u32(index)


def put(index: int) -> bytes:
    """local.set"""
    return b"\x21" + u32(index)


def const(value: int) -> bytes:
    """i32.const"""
    return b"\x41" + signed(value)


def module(
    bodies: Iterable[Body],
    *,
    others: bytes = b"",
    types: Iterable[bytes] = (),
    table: bytes = b"",
    elements: bytes = b"",
    pages: int = 1,
    globals_: bytes = b"",
    data: bytes = b"",
) -> bytes:
    """A contract whose functions are the four it needs and then ``bodies``, of (i32 i32 i32) → i32 unless
    ``others`` lists the indexes of their types."""

    def shape(parameters: int, results: int) -> bytes:
        return (
            b"\x60" + vector(parameters, bytes([I32] * parameters)) + vector(results, bytes([I32] * results))
        )

    own = list(bodies)
    all_types = [shape(0, 0), shape(1, 1), shape(1, 0), shape(3, 1), *types]
    needed: list[Body] = [(0, b""), (0, const(16)), (0, b""), (0, const(0))]
    contents = [
        vector(1 if count else 0, u32(count) + bytes([I32]) if count else b"") + code + b"\x0b"
        for count, code in [*needed, *own]
    ]
    kinds = bytes([0, 1, 2, 3]) + (others or bytes([3] * len(own)))
    names = [("interface_version_8", 0, 0), ("allocate", 0, 1), ("deallocate", 0, 2)]
    names += [("instantiate", 0, 3), ("memory", 2, 0)]
    exports = [u32(len(name)) + name.encode() + bytes([kind]) + u32(index) for name, kind, index in names]
    code = b"\0asm\1\0\0\0" + section(1, vector(len(all_types), b"".join(all_types)))
    code += section(3, vector(len(contents), kinds))
    code += section(4, table) if table else b""
    code += section(5, b"\x01\x00" + u32(pages))
    code += section(6, globals_) if globals_ else b""
    code += section(7, vector(len(exports), b"".join(exports)))
    code += section(9, elements) if elements else b""
    code += section(12, u32(Reader(data).u32())) if data else b""
    code += section(10, vector(len(contents), b"".join(u32(len(body)) + body for body in contents)))
    return code + (section(11, data) if data else b"")


def functions(total: int, one: Callable[[int], Body], size: int = 5_000) -> list[Body]:
    """Enough functions of ``size`` for ``total``."""
    return [one(min(size, total)) for _ in range(max(1, total // size))]


def repeated(body: bytes, count: int, locals_: int = 0) -> Body:
    """Instructions again and again, then an answer."""
    return locals_, body * count + const(0)


def switch(locals_: int, targets: int, times: int) -> bytes:
    """Locals set on one of two ways and joined at the end of a br_table that names one block many times."""
    body = b""
    for _ in range(times):
        body += b"\x02\x40" + get(0) + b"\x0d\x00"
        body += b"".join(get(1) + put(3 + index) for index in range(locals_))
        body += get(2) + b"\x0e" + u32(targets) + b"\0" * targets + b"\0\x0b" + const(0)
        body += b"".join(get(3 + index) + b"\x6a" for index in range(locals_)) + put(0)
    return module([(locals_, body + get(0))])


def joins(block: bytes, locals_: int, count: int, functions_: int = 1) -> bytes:
    """Small blocks that each change one local of many, all of which are used in the end."""
    body = b"".join(
        block.replace(b"LOCAL", get(1) + put(3 + index % max(1, locals_))) for index in range(count)
    )
    body += const(0) + b"".join(get(3 + index) + b"\x6a" for index in range(locals_))
    return module([(locals_, body)] * functions_)


def one_end(locals_: int, count: int) -> bytes:
    """Many branches to the end of one block, a local changed before each."""
    body = b"\x02\x40"
    body += b"".join(get(1) + put(3 + index % locals_) + get(0) + b"\x0d\x00" for index in range(count))
    body += b"\x0b" + const(0) + b"".join(get(3 + index) + b"\x6a" for index in range(locals_))
    return module([(locals_, body)])


def held(values: int, block: bytes, count: int) -> bytes:
    """Values on the operand stack over many blocks."""
    return module([(0, get(0) * values + block * count + b"\x6a" * (values - 1))])


BR_IF = b"\x02\x40" + get(0) + b"\x0d\x00LOCAL\x0b"
IF_ELSE = get(0) + b"\x04\x40LOCAL\x05LOCAL\x0b"
LOOP = b"\x03\x40LOCAL" + get(0) + b"\x0d\x00\x0b"
MANY = bytes([I32] * 64)


def far_data(pages: int, count: int) -> bytes:
    """One byte at every n-th place of a large memory."""
    step = (pages * 65_536 - 16_384) // count
    segments = [b"\x00" + const(8_192 + index * step) + b"\x0b\x01x" for index in range(count)]
    return module([], pages=pages, data=vector(count, b"".join(segments)))


def table(segments: int, count: int) -> bytes:
    """A table of functions."""
    segment = b"\x00" + const(0) + b"\x0b" + vector(count, bytes([1 + index % 3 for index in range(count)]))
    return module([], table=b"\x01\x70\x00" + u32(10_000), elements=vector(segments, segment * segments))


def straight(code: bytes) -> Callable[[int], bytes]:
    """As much as fits of the same instructions, in functions of 5,000 bytes."""
    return lambda size: module(functions(size, lambda part: repeated(code, part // len(code))))


LOCALS = (2, 8, 30, 60, 120, 300, 700, 1_500)
OPERANDS = (10, 100, 1_000, 4_000)


def over(values: Iterable[tuple[int, ...]], make: Callable[..., bytes]) -> list[Callable[[int], bytes]]:
    """The shape with each of the values."""
    return [partial(make, *value) for value in values]


def each(values: Iterable[int], make: Callable[..., bytes]) -> list[Callable[[int], bytes]]:
    """Likewise, of one value each."""
    return over(((value,) for value in values), make)


def moves(count: int, size: int) -> bytes:
    """Locals that are set from one another, one after the other."""
    body = b"".join(
        get(3 + n % count) + get(3 + (n * 7 + 1) % count) + b"\x6a" + put(3 + (n * 3 + 2) % count)
        for n in range(size // 11)
    )
    return module([(count, body + const(0))])


def tiny(size: int) -> bytes:
    """Functions that do nothing."""
    count = min(9_990, size // 4)
    return module([(0, b"")] * count, others=bytes(count))


def wide_calls(size: int) -> bytes:
    """Calls with 64 parameters."""
    own = functions(size, lambda part: repeated(get(0) * 64 + b"\x10\x04", part // 130))
    return module(
        [(0, b""), *own], others=b"\x04" + b"\x03" * len(own), types=[b"\x60" + vector(64, MANY) + b"\x00"]
    )


def many_types(size: int) -> bytes:
    """As many function types as may be, all different."""
    shapes = [
        b"\x60" + vector(63, bytes([I32 if number >> bit & 1 else I64 for bit in range(63)])) + b"\x00"
        for number in range(min(990, size // 67))
    ]
    return module([], types=shapes)


def with_parts(code: bytes, **parts: bytes) -> Callable[[int], bytes]:
    """As `straight`, in a module that has more."""
    return lambda size: module(
        functions(size, lambda part: repeated(code, part // len(code))),
        table=parts.get("table", b""),
        data=parts.get("data", b""),
        globals_=parts.get("globals_", b""),
    )


SHAPES: dict[str, list[Callable[[int], bytes]]] = {
    "br_table of one block": over(
        product(LOCALS, (30, 250, 1_023)),
        lambda count, targets, size: switch(count, targets, max(1, size // (targets + 8 * count + 20))),
    ),
    "br_if out of a block": each(LOCALS, lambda count, size: joins(BR_IF, count, (size - 6 * count) // 11)),
    "br_if to one end": each(LOCALS, lambda count, size: one_end(count, (size - 6 * count) // 9)),
    "if and else": each(LOCALS, lambda count, size: joins(IF_ELSE, count, (size - 6 * count) // 15)),
    "loops": each(LOCALS, lambda count, size: joins(LOOP, count, (size - 6 * count) // 11)),
    "loops, many functions": each(
        LOCALS[:6], lambda count, size: joins(LOOP, count, (2_000 - 6 * count) // 11, size // 2_000)
    ),
    "empty loops": [lambda size: held(2, b"\x03\x40\x0b", size // 3)],
    "operands over blocks": each(
        OPERANDS, lambda count, size: held(count, b"\x02\x40" + get(0) + b"\x0d\x00\x0b", size // 7)
    ),
    "operands over loops": each(OPERANDS, lambda count, size: held(count, b"\x03\x40\x0b", size // 3)),
    "operands over calls": each(OPERANDS, lambda count, size: held(count, b"\x10\x00", size // 2)),
    "nested blocks": [
        lambda size: module([(0, (b"\x02\x40" * 500 + b"\x0b" * 500) * (size // 1_500) + const(0))])
    ],
    "locals from one another": each((20, 200, 2_000), moves),
    "tiny functions": [tiny],
    "calls": [straight(b"\x10\x00")],
    "indirect calls": [with_parts(const(0) + b"\x11\x00\x00", table=b"\x01\x70\x00\x01")],
    "calls with 64 parameters": [wide_calls],
    "loads": [straight(get(0) + b"\x28\x00\x00\x1a")],
    "loads far out": [straight(get(0) + b"\x28\x00\xff\xff\xff\xff\x0f\x1a")],
    "stores": [straight(get(0) + get(1) + b"\x36\x00\x00")],
    "divisions": [straight(get(0) + get(1) + b"\x6d\x1a")],
    "divisions of 64 bits": [straight(b"\x42\x00\x42\x00\x7f\x1a")],
    "memory.copy": [straight(get(0) + get(1) + get(2) + b"\xfc\x0a\x00\x00")],
    "memory.fill": [straight(get(0) + get(1) + get(2) + b"\xfc\x0b\x00")],
    "memory.grow": [straight(get(0) + b"\x40\x00\x1a")],
    "memory.init": [with_parts(get(0) + get(1) + get(2) + b"\xfc\x08\x00\x00", data=b"\x01\x01\x01x")],
    "globals": [
        with_parts(b"\x23\x00\x24\x00", globals_=vector(250, (bytes([I32, 1]) + const(0) + b"\x0b") * 250))
    ],
    "select": [straight(get(0) + get(1) + get(2) + b"\x1b\x1a")],
    "returns": [straight(get(0) + b"\x04\x40" + get(0) + b"\x0f\x0b")],
    "types": [many_types],
    "data far apart": over(
        product((2, 255, 512), (2, 300, 999)), lambda pages, count, _size: far_data(pages, count)
    ),
    "elements of a table": over(
        ((1, 10_000), (100, 500), (1_000, 50)), lambda segments, count, _size: table(segments, count)
    ),
}


def measure(code: bytes) -> dict[str, float]:
    """Compile in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    engine = Engine()
    started = time.process_time()
    gas = engine.check(Code.of(code), store_fuel_limit(len(code)))
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "seconds": seconds,
        "peak_mib": peak / 1024,
        "gas": gas,
        "kept_mib": engine.modules_bytes / 2**20,
        "bytes": len(code),
    }


def padded(code: bytes) -> bytes:
    """The same code with a custom section that says nothing, as large as code may be: the gas that may be
    spent on storing code grows with its size."""
    free = CODE_BYTES_MAX - len(code) - 5
    return code + section(0, b"\x01x" + bytes(free - 2)) if free > 200 else code


def largest(make: Callable[[int], bytes]) -> bytes | None:
    """The largest code of a shape that may be stored."""
    least, most, found = 0, CODE_BYTES_MAX, None
    size = CODE_BYTES_MAX - 400
    while most - least > 200:
        try:
            code = padded(make(size))
            fits = len(code) <= CODE_BYTES_MAX and admit(code).store_gas <= store_fuel_limit(len(code))
        except (CodeRefused, ValueError, AssertionError):
            fits = False
        if fits:
            least, found = size, code
        else:
            most = size
        size = (least + most) // 2
    return found


def main() -> None:
    """Print a table, the worst last."""
    if sys.argv[1:] == ["--one"]:
        print(json.dumps(measure(sys.stdin.buffer.read())))
        return
    print(f"{'':32} {'bytes':>7} {'CPU-s':>7} {'peak MiB':>9} {'kept MiB':>9} {'gas':>12} {'ns/gas':>7}")
    for name, makes in SHAPES.items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        worst: dict[str, float] | None = None
        for make in makes:
            code = largest(make)
            if code is None:
                continue
            done = subprocess.run(
                [sys.executable, __file__, "--one"], input=code, capture_output=True, check=False
            )
            if done.returncode:
                print(f"{name:32} {done.stderr.decode().splitlines()[-1][:90]}")
                continue
            found = json.loads(done.stdout)
            if worst is None or found["seconds"] > worst["seconds"]:
                worst = found
        if worst is not None:
            print(
                f"{name:32} {worst['bytes']:7} {worst['seconds']:7.2f} {worst['peak_mib']:9.0f} "
                f"{worst['kept_mib']:9.2f} {worst['gas']:12,} {worst['seconds'] * 1e9 / worst['gas']:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
