"""Puts the counted call depth into a module.

A machine's stack ends where its compiler's frames happen to end; ours ends at a number that is the same
everywhere. Each function adds what its frame counts to a global of our own, stops where that would pass the
limit, and takes it off again on its way out. A body becomes a block, so that its branches to the function's
own end stay what they are; ``return`` becomes a branch to that block.

Source: docs/spec/vm.md, "Call depth".
"""

from typing import Final

from icn_wasm import limits
from icn_wasm.instructions import Walk, walk
from icn_wasm.module import (
    CODE,
    EXPORT,
    GLOBAL,
    I32,
    KIND_GLOBAL,
    MAGIC,
    ORDER,
    Body,
    FunctionType,
    Structure,
)
from icn_wasm.refusals import CodeReason, CodeRefused
from icn_wasm.wire import Reader, section, signed, u32, vector

STACK_EXPORT: Final = "icn stack"
"""Under this name the engine reads the counter; no module may use it."""
EXCEEDED: Final = -1
"""The counter's value after a call that would have passed the limit."""


def with_counted_depth(code: bytes, module: Structure) -> tuple[bytes, int]:
    """The module with the counter, without its custom sections, and its merges. Raises CodeRefused."""
    counter = module.globals_count
    bodies, merges = [], 0
    for index, body in enumerate(module.bodies):
        walked = walk(code, body, module)
        kind = module.type(module.functions[index])
        merges += (len(kind.parameters) + body.locals_count) * (walked.blocks + 1)
        if merges > limits.MERGES_MAX:
            raise CodeRefused(
                CodeReason.LIMIT_EXCEEDED, f"locals times blocks are more than {limits.MERGES_MAX}"
            )
        bodies.append(_counted(code, body, walked, kind, counter))
    sections = dict(module.sections)
    sections[GLOBAL] = _appended(sections.get(GLOBAL), bytes([I32, 1, 0x41, 0, 0x0B]))
    name = STACK_EXPORT.encode()
    sections[EXPORT] = _appended(
        sections.get(EXPORT), u32(len(name)) + name + bytes([KIND_GLOBAL]) + u32(counter)
    )
    if bodies:
        sections[CODE] = vector(len(bodies), b"".join(bodies))
    counted = b"".join(section(number, sections[number]) for number in ORDER if number in sections)
    return MAGIC + counted, merges


def _appended(content: bytes | None, entry: bytes) -> bytes:
    reader = Reader(content if content is not None else b"\0")
    count = reader.u32()
    return vector(count + 1, reader.content[reader.position :] + entry)


def _counted(code: bytes, body: Body, walked: Walk, kind: FunctionType, counter: int) -> bytes:
    values = limits.FRAME_VALUES + len(kind.parameters) + body.locals_count + walked.operands_max
    if values > limits.FRAME_VALUES_MAX:
        raise CodeRefused(
            CodeReason.LIMIT_EXCEEDED,
            f"a function counts {values} values, at most {limits.FRAME_VALUES_MAX}",
        )
    get, put = b"\x23" + u32(counter), b"\x24" + u32(counter)
    cost = b"\x41" + signed(values)
    enter = get + b"\x41" + signed(limits.STACK_VALUES_MAX - values) + b"\x4b\x04\x40"
    enter += b"\x41" + signed(EXCEEDED) + put + b"\x00\x0b" + get + cost + b"\x6a" + put
    enter += b"\x02" + (kind.results or b"\x40")
    leave = get + cost + b"\x6b" + put + b"\x0b"
    content = body.locals_bytes + enter + _without_returns(code, body, walked.returns) + leave
    return u32(len(content)) + content


def _without_returns(code: bytes, body: Body, returns: list[tuple[int, int]]) -> bytes:
    parts, position = [], body.start
    for offset, blocks in returns:
        parts += [code[position:offset], b"\x0c" + u32(blocks)]
        position = offset + 1
    parts.append(code[position : body.end])
    return b"".join(parts)
