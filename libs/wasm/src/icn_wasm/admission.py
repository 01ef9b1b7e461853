"""Decides whether bytes are a contract that this engine runs.

Source: docs/spec/vm.md, "Code".
"""

import re
from typing import Final, NamedTuple

from icn_wasm import limits
from icn_wasm.depth import STACK_EXPORT, prepared
from icn_wasm.module import I32, I64, KIND_FUNCTION, KIND_MEMORY, FunctionType, Structure, read_module
from icn_wasm.refusals import CodeReason, CodeRefused

INTERFACE: Final = "interface_version_8"
_ANY_INTERFACE: Final = re.compile(r"interface_version_\d+|cosmwasm_vm_version_\d+")


def _takes(parameters: int, *results: int) -> FunctionType:
    return FunctionType(bytes([I32] * parameters), bytes(results))


IMPORTS: Final = {
    "abort": _takes(1),
    "addr_canonicalize": _takes(2, I32),
    "addr_humanize": _takes(2, I32),
    "addr_validate": _takes(1, I32),
    "db_next": _takes(1, I32),
    "db_next_key": _takes(1, I32),
    "db_next_value": _takes(1, I32),
    "db_read": _takes(1, I32),
    "db_remove": _takes(1),
    "db_scan": _takes(3, I32),
    "db_write": _takes(2),
    "debug": _takes(1),
    "ed25519_batch_verify": _takes(3, I32),
    "ed25519_verify": _takes(3, I32),
    "query_chain": _takes(1, I32),
    "secp256k1_recover_pubkey": _takes(3, I64),
    "secp256k1_verify": _takes(3, I32),
}
"""What a contract may import from ``env``."""

REQUIRED: Final = {
    INTERFACE: _takes(0),
    "allocate": _takes(1, I32),
    "deallocate": _takes(1),
    "instantiate": _takes(3, I32),
}
OPTIONAL: Final = {"execute": _takes(3, I32), "query": _takes(2, I32)}

CAPABILITIES: Final = frozenset({"requires_iterator"})


class Admitted(NamedTuple):
    """A module that wasmtime may compile."""

    content: bytes
    """As it is compiled: its call depth counted, some of its instructions priced."""
    store_gas: int
    """Of checking and compiling it."""
    call_gas: int
    """Of each call of it, for its memory and for being compiled again where a cache has lost it."""


def admit(code: bytes) -> Admitted:
    """Take code in. Raises CodeRefused.

    What only wasmtime can tell (operand types, indexes) is still to be checked.
    """
    module = read_module(code)
    _check_imports(module)
    _check_exports(module)
    _check_segments(module)
    content, merges = prepared(code, module)
    assert module.memory_pages is not None, "checked with the exports"
    compile_gas = len(module.functions) * limits.FUNCTION_GAS + merges * limits.MERGE_GAS
    compile_gas += (len(module.data) + len(module.elements)) * limits.SEGMENT_GAS
    return Admitted(
        content,
        limits.CALL_GAS + len(code) * limits.CODE_GAS_PER_BYTE + compile_gas,
        module.memory_pages * limits.PAGE_GAS + compile_gas // limits.COMPILED_AGAIN_SHARE,
    )


def _check_imports(module: Structure) -> None:
    for wanted in module.imports:
        offered = IMPORTS.get(wanted.name) if wanted.module == "env" else None
        if offered is None:
            raise CodeRefused(CodeReason.IMPORT_UNKNOWN, f"{wanted.module}.{wanted.name} is not offered")
        if module.type(wanted.type_index) != offered:
            raise CodeRefused(CodeReason.IMPORT_UNKNOWN, f"env.{wanted.name} has another type")


def _check_exports(module: Structure) -> None:
    for name in module.exports:
        if name == STACK_EXPORT:
            raise CodeRefused(CodeReason.EXPORT_RESERVED, f"{name!r} is the engine's")
        if _ANY_INTERFACE.fullmatch(name) and name != INTERFACE:
            raise CodeRefused(CodeReason.INTERFACE_VERSION, f"{name}, only {INTERFACE} is supported")
        if name.startswith("requires_") and name not in CAPABILITIES:
            raise CodeRefused(CodeReason.CAPABILITY_UNSUPPORTED, f"{name} is not offered")
    if INTERFACE not in module.exports:
        raise CodeRefused(CodeReason.INTERFACE_VERSION, f"{INTERFACE} is not exported")
    for name, expected in {**REQUIRED, **OPTIONAL}.items():
        kind, index = module.exports.get(name, (None, 0))
        if kind is None and name in OPTIONAL:
            continue
        if kind != KIND_FUNCTION or module.type_of(index) != expected:
            raise CodeRefused(CodeReason.EXPORT_MISSING, f"{name} is not a function of its type")
    if module.memory_pages is None:
        raise CodeRefused(CodeReason.MEMORY_INVALID, "0 memories, exactly 1 is needed")
    if module.exports.get("memory") != (KIND_MEMORY, 0):
        raise CodeRefused(CodeReason.EXPORT_MISSING, "memory is not exported")


def _check_segments(module: Structure) -> None:
    assert module.memory_pages is not None, "checked with the exports"
    size_bytes = module.memory_pages * limits.PAGE_BYTES
    for offset, length in module.data:
        if offset + length > size_bytes:
            raise CodeRefused(
                CodeReason.SEGMENT_OUT_OF_BOUNDS, f"data ends at {offset + length}, memory at {size_bytes}"
            )
    for offset, count in module.elements:
        if offset + count > (module.table_elements or 0):
            raise CodeRefused(
                CodeReason.SEGMENT_OUT_OF_BOUNDS,
                f"elements end at {offset + count}, the table at {module.table_elements or 0}",
            )
