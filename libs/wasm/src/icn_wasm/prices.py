"""Functions of our own behind instructions for whose time wasmtime counts too little fuel.

wasmtime counts 1 for ``memory.grow`` and the pages asked for, and 1 for ``memory.fill`` and its bytes. A
growth that fails takes 45 ns all the same, a fill of no bytes 150 ns, and a page that is new to the process
is made by the machine when it is first written. What is counted more is pushed constants that are dropped:
fuel without time.

Source: docs/spec/vm.md, "Gas"; measured by benches/contracts.py.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from icn_wasm import limits
from icn_wasm.instructions import Kind
from icn_wasm.module import I32
from icn_wasm.wire import signed, u32, vector

_ROUND_GAS: Final = 256
"""Fuel of one round of the loop that pays for pages, its own instructions included."""
_ROUND_INSTRUCTIONS: Final = 8
_BURN: Final = b"\x41\x00\x1a"
"""A constant, dropped: 1 unit of fuel, no machine code."""


class Price(NamedTuple):
    """A function that stands in for an instruction."""

    function: int
    type_index: int
    type: bytes
    body: bytes
    """With its size before it."""


def priced(kinds: Collection[Kind], *, first_type: int, first_function: int) -> Mapping[Kind, Price]:
    """The functions for those of the instructions that are used, in a fixed order behind the module's own."""
    found: dict[Kind, Price] = {}
    for kind, (parameters, results, body) in _FUNCTIONS.items():
        if kind in kinds:
            number = len(found)
            shape = b"\x60" + vector(parameters, bytes([I32] * parameters)) + vector(len(results), results)
            found[kind] = Price(first_function + number, first_type + number, shape, u32(len(body)) + body)
    return found


def _fill() -> bytes:
    arguments = b"\x20\x00\x20\x01\x20\x02"
    return b"\x00" + _BURN * limits.FILL_GAS + arguments + b"\xfc\x0b\x00\x0b"


def _grow() -> bytes:
    """More pages than a memory may have are refused at once; others are paid for in rounds, then asked
    for."""
    rounds = limits.PAGE_GAS // _ROUND_GAS
    pay = b"\x20\x00\x41" + signed(rounds) + b"\x6c\x21\x01"  # $left = $pages x rounds
    pay += b"\x02\x40\x03\x40\x20\x01\x45\x0d\x01"  # block, loop: out where $left is 0
    pay += _BURN * (_ROUND_GAS - _ROUND_INSTRUCTIONS)
    pay += b"\x20\x01\x41\x01\x6b\x21\x01\x0c\x00\x0b\x0b"  # $left -= 1, again
    fits = b"\x20\x00\x41" + signed(limits.MEMORY_PAGES_MAX) + b"\x4d"
    body = _BURN * limits.GROW_GAS + fits + b"\x04\x40" + pay + b"\x0b\x20\x00\x40\x00\x0b"
    return b"\x01\x01" + bytes([I32]) + body


_FUNCTIONS: Final = {Kind.GROW: (1, bytes([I32]), _grow()), Kind.FILL: (3, b"", _fill())}
