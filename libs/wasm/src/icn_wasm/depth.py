"""Puts the counted call depth and the priced instructions into a module.

A machine's stack ends where its compiler's frames happen to end; ours ends at a number that is the same
everywhere. Each function adds what its frame counts to a global of our own, stops where that would pass the
limit, and takes it off again on its way out. A body becomes a block, so that its branches to the function's
own end stay what they are; ``return`` becomes a branch to that block.

Source: docs/spec/vm.md, "Call depth".
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from icn_wasm import limits
from icn_wasm.instructions import Kind, Walk, walk
from icn_wasm.module import (
    CODE,
    EXPORT,
    FUNCTION,
    GLOBAL,
    I32,
    KIND_GLOBAL,
    MAGIC,
    ORDER,
    TYPE,
    Body,
    FunctionType,
    Structure,
)
from icn_wasm.prices import Price, priced
from icn_wasm.refusals import CodeReason, CodeRefused
from icn_wasm.wire import Reader, section, signed, u32, vector

STACK_EXPORT: Final = "icn stack"
"""Under this name the engine reads the counter; no module may use it."""
EXCEEDED: Final = -1
"""The counter's value after a call that would have passed the limit."""


class Prepared(NamedTuple):
    """A module ready to be compiled."""

    content: bytes
    """With the counter and the priced instructions, without custom sections."""
    merges: int
    """What compiling it may have to join."""


def prepared(code: bytes, module: Structure) -> Prepared:
    """Rewrite a module. Raises CodeRefused."""
    walks, merges = [], 0
    for index, body in enumerate(module.bodies):
        walked = walk(code, body, module)
        kind = module.type(module.functions[index])
        values = len(kind.parameters) + body.locals_count + walked.operands_max
        merges += values * walked.edges + walked.loops**2 // limits.LOOPS_PER_MERGE
        if merges > limits.MERGES_MAX:
            raise CodeRefused(
                CodeReason.LIMIT_EXCEEDED, f"values times branches are {merges}, at most {limits.MERGES_MAX}"
            )
        walks.append(walked)
    counter = module.globals_count
    prices = priced(
        {found.kind for walked in walks for found in walked.rewritten},
        first_type=len(module.types),
        first_function=len(module.imports) + len(module.functions),
    )
    bodies = [
        _counted(code, body, walked, module.type(number), counter, prices)
        for body, walked, number in zip(module.bodies, walks, module.functions, strict=True)
    ]
    sections = dict(module.sections)
    for price in prices.values():
        sections[TYPE] = _appended(sections.get(TYPE), price.type)
        sections[FUNCTION] = _appended(sections.get(FUNCTION), u32(price.type_index))
        bodies.append(price.body)
    sections[GLOBAL] = _appended(sections.get(GLOBAL), bytes([I32, 1, 0x41, 0, 0x0B]))
    name = STACK_EXPORT.encode()
    sections[EXPORT] = _appended(
        sections.get(EXPORT), u32(len(name)) + name + bytes([KIND_GLOBAL]) + u32(counter)
    )
    if bodies:
        sections[CODE] = vector(len(bodies), b"".join(bodies))
    content = b"".join(section(number, sections[number]) for number in ORDER if number in sections)
    return Prepared(MAGIC + content, merges)


def _appended(content: bytes | None, entry: bytes) -> bytes:
    reader = Reader(content if content is not None else b"\0")
    count = reader.u32()
    return vector(count + 1, reader.content[reader.position :] + entry)


def _counted(  # noqa: PLR0917 - a function has these parts
    code: bytes, body: Body, walked: Walk, kind: FunctionType, counter: int, prices: Mapping[Kind, Price]
) -> bytes:
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
    content = body.locals_bytes + enter + _rewritten(code, body, walked, prices) + leave
    return u32(len(content)) + content


def _rewritten(code: bytes, body: Body, walked: Walk, prices: Mapping[Kind, Price]) -> bytes:
    parts, position = [], body.start
    for found in walked.rewritten:
        if found.kind is Kind.RETURN:
            instead = b"\x0c" + u32(found.blocks)
        else:
            instead = b"\x10" + u32(prices[found.kind].function)
        parts += [code[position : found.start], instead]
        position = found.end
    parts.append(code[position : body.end])
    return b"".join(parts)
