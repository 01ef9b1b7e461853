"""Builds the contracts of this folder from WebAssembly text.

A text is the inside of a module. ``'text'`` stands for the address and length of that text in memory; the
prelude gives allocation, an output buffer, storage and a reader of messages.
"""

import re
from importlib.resources import files
from typing import Final

import wasmtime

LITERALS_START: Final = 1_024
LITERALS_END: Final = 4_096
"""What the prelude leaves for them."""

_LITERAL: Final = re.compile(r"'([^'\n]*)'")
_COMMENT: Final = re.compile(r";;.*")


def assemble(text: str, *, imports: str = "", with_prelude: bool = True) -> bytes:
    """The module of a contract's text; ``imports`` are those that the prelude lacks.

    Raises wasmtime.WasmtimeError where it is none.
    """
    body = _COMMENT.sub("", imports + (_read("prelude") if with_prelude else "") + text)
    places: dict[str, int] = {}
    end = LITERALS_START

    def place(found: re.Match[str]) -> str:
        nonlocal end
        literal = found.group(1)
        if literal not in places:
            places[literal] = end
            end += len(literal.encode())
        return f"(i32.const {places[literal]}) (i32.const {len(literal.encode())})"

    body = _LITERAL.sub(place, body)
    assert end <= LITERALS_END, "a contract's texts are short"
    for literal, address in places.items():
        escaped = literal.replace("\\", "\\\\").replace('"', '\\"')
        body += f'\n(data (i32.const {address}) "{escaped}")'
    return bytes(wasmtime.wat2wasm(f"(module {body})"))


def contract(name: str) -> bytes:
    """A contract of the folder ``contracts``."""
    return assemble(_read(name))


def _read(name: str) -> str:
    return files("icn_wasm").joinpath("contracts", f"{name}.wat").read_text("utf-8")
