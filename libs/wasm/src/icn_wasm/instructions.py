"""Walks the instructions of a function: which are accepted, how high its operands stack, what is rewritten.

Source: WebAssembly core specification 2.0, section 5.4; docs/spec/vm.md, "Instructions".
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from icn_wasm import limits
from icn_wasm.module import Body, Structure, feature, value_type
from icn_wasm.refusals import CodeReason, CodeRefused
from icn_wasm.wire import Reader, malformed

_EMPTY_BLOCK: Final = 0x40


def _effects() -> dict[int, tuple[int, int]]:
    """Operands taken and left by instructions without control flow whose effect is always the same."""
    table = {0x01: (0, 0), 0x1A: (1, 0), 0x1B: (3, 1)}
    table |= {0x20: (0, 1), 0x21: (1, 0), 0x22: (1, 1), 0x23: (0, 1), 0x24: (1, 0)}
    table |= dict.fromkeys((0x28, 0x29, *range(0x2C, 0x36)), (1, 1))
    table |= dict.fromkeys((0x36, 0x37, *range(0x3A, 0x3F)), (2, 0))
    table |= {0x3F: (0, 1), 0x40: (1, 1), 0x41: (0, 1), 0x42: (0, 1)}
    unary = (0x45, 0x50, 0x67, 0x68, 0x69, 0x79, 0x7A, 0x7B, 0xA7, 0xAC, 0xAD, *range(0xC0, 0xC5))
    binary = (*range(0x46, 0x50), *range(0x51, 0x5B), *range(0x6A, 0x79), *range(0x7C, 0x8B))
    return table | dict.fromkeys(unary, (1, 1)) | dict.fromkeys(binary, (2, 1))


_EFFECTS: Final = _effects()
_INDEXED: Final = frozenset(range(0x20, 0x25))
_MEMORY: Final = frozenset(range(0x28, 0x3F))
_FLOAT: Final = frozenset(
    (
        *(0x2A, 0x2B, 0x38, 0x39, 0x43, 0x44),
        *range(0x5B, 0x67),
        *range(0x8B, 0xA7),
        *range(0xA8, 0xAC),
        *range(0xAE, 0xC0),
    )
)
_BULK: Final = {8: (3, 0), 9: (0, 0), 10: (3, 0), 11: (3, 0)}
"""memory.init, data.drop, memory.copy, memory.fill."""
_FILL: Final = 11


class Kind(Enum):
    """Instructions that become others before the code is compiled."""

    RETURN = "return"
    GROW = "memory.grow"
    FILL = "memory.fill"


class Rewritten(NamedTuple):
    """One of them, where it stands."""

    kind: Kind
    start: int
    end: int
    blocks: int
    """How many blocks it stands in."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What the depth counter needs to know of a function."""

    operands_max: int
    """An upper bound of the operand stack's height."""
    rewritten: list[Rewritten]
    edges: int
    """Ways from one piece of straight code to another: one for each block, loop, if, br, br_if, return and
    call, one for each target of a br_table, and one for the function itself."""
    loops: int


def walk(code: bytes, body: Body, module: Structure) -> Walk:  # noqa: PLR0912, PLR0915 - one case per opcode
    """Go through one body. Raises CodeRefused."""
    reader = Reader(code, body.start, body.end)
    height = highest = 0
    blocks: list[tuple[int, int]] = []
    rewritten: list[Rewritten] = []
    base = 0
    edges = 1
    loops = 0
    while True:
        at = reader.position
        opcode = reader.byte()
        takes, leaves = 0, 0
        effect = _EFFECTS.get(opcode)
        if effect is not None:
            takes, leaves = effect
            if opcode in _INDEXED:
                reader.u32()
            elif opcode in _MEMORY:
                reader.u32()
                reader.u32()
            elif opcode == 0x41:
                reader.signed(32)
            elif opcode == 0x42:
                reader.signed(64)
            elif opcode in (0x3F, 0x40):
                if reader.byte() != 0:
                    raise feature("more than one memory")
                if opcode == 0x40:
                    edges += 1
                    rewritten.append(Rewritten(Kind.GROW, at, reader.position, len(blocks)))
        elif opcode in (0x02, 0x03, 0x04):
            results = _block_results(reader)
            if opcode == 0x04:
                height = max(height - 1, base)
            if len(blocks) == limits.BLOCK_DEPTH_MAX:
                raise CodeRefused(
                    CodeReason.LIMIT_EXCEEDED, f"more than {limits.BLOCK_DEPTH_MAX} blocks inside each other"
                )
            blocks.append((height, results))
            edges += 1
            loops += opcode == 0x03
            base = height
        elif opcode == 0x05:
            if not blocks:
                raise malformed(f"else without if at byte {at}")
            height = base
        elif opcode == 0x0B:
            if not blocks:
                break
            entry, results = blocks.pop()
            height = entry + results
            highest = max(highest, height)
            base = blocks[-1][0] if blocks else 0
        elif opcode in (0x00, 0x0C, 0x0E, 0x0F):
            if opcode == 0x0C:
                reader.u32()
                edges += 1
            elif opcode == 0x0E:
                targets = reader.count("branch targets", limits.BRANCH_TARGETS_MAX) + 1
                edges += targets
                for _ in range(targets):
                    reader.u32()
            elif opcode == 0x0F:
                edges += 1
                rewritten.append(Rewritten(Kind.RETURN, at, reader.position, len(blocks)))
            height = base  # what follows is never reached
        elif opcode == 0x0D:
            reader.u32()
            edges += 1
            takes = 1
        elif opcode == 0x10:
            edges += 1
            called = module.type_of(reader.u32())
            takes, leaves = len(called.parameters), len(called.results)
        elif opcode == 0x11:
            edges += 1
            called = module.type(reader.u32())
            if reader.u32() != 0:
                raise feature("more than one table")
            takes, leaves = len(called.parameters) + 1, len(called.results)
        elif opcode == 0xFC:
            number = _bulk(reader)
            edges += 1
            if number == _FILL:
                rewritten.append(Rewritten(Kind.FILL, at, reader.position, len(blocks)))
            takes, leaves = _BULK[number]
        elif opcode in _FLOAT:
            raise CodeRefused(
                CodeReason.FLOAT_USED, f"floating-point instruction 0x{opcode:02x} at byte {at}"
            )
        else:
            raise feature(f"instruction 0x{opcode:02x} at byte {at}")
        height = max(height - takes, base) + leaves
        highest = max(highest, height)
    if not reader.is_at_end:
        raise malformed(f"instructions after the end of a function at byte {reader.position}")
    return Walk(highest, rewritten, edges, loops)


def _block_results(reader: Reader) -> int:
    number = reader.byte()
    if number == _EMPTY_BLOCK:
        return 0
    if number & 0x80 or number < 0x40:
        raise feature("a block with parameters or several results")
    value_type(number)
    return 1


def _bulk(reader: Reader) -> int:
    number = reader.u32()
    if number < 8:
        raise CodeRefused(CodeReason.FLOAT_USED, f"floating-point instruction 0xfc {number}")
    if number not in _BULK:
        raise feature(f"instruction 0xfc {number}")
    if number in (8, 9):
        reader.u32()
    for _ in range({8: 1, 9: 0, 10: 2, 11: 1}[number]):
        if reader.byte() != 0:
            raise feature("more than one memory")
    return number
