"""Bounds and prices of contracts. All are protocol: a change is a new protocol version.

Source: docs/spec/vm.md. Prices are fuel, and one unit of fuel is at most about a nanosecond of one core on
every path that benches/contracts.py measures, so that gas bounds the time of a block.
"""

from typing import Final

CODE_BYTES_MAX: Final = 800 * 1024
TYPES_MAX: Final = 1_000
PARAMETERS_MAX: Final = 64
IMPORTS_MAX: Final = 64
FUNCTIONS_MAX: Final = 10_000
GLOBALS_MAX: Final = 256
EXPORTS_MAX: Final = 256
NAME_BYTES_MAX: Final = 256
ELEMENT_SEGMENTS_MAX: Final = 1_000
DATA_SEGMENTS_MAX: Final = 1_000
TABLE_ELEMENTS_MAX: Final = 10_000
LOCALS_MAX: Final = 2_048
BODY_BYTES_MAX: Final = 256 * 1024
BLOCK_DEPTH_MAX: Final = 512
BRANCH_TARGETS_MAX: Final = 1_024
"""Of one br_table: joining few values over its targets takes their square, 0.7 s for 9,000 of 8 values."""
MERGES_MAX: Final = 1_000_000
"""Values times branches, over all functions: what a compiler may have to join."""
LOOPS_PER_MERGE: Final = 16
"""The square of a function's loops, divided by this, counts as well: finding loops inside loops takes 46 ns
for each pair, 12 s for the 16,000 loops that 60 KB can hold."""

PAGE_BYTES: Final = 65_536
MEMORY_PAGES_MAX: Final = 512

STACK_VALUES_MAX: Final = 65_536
"""Values of 8 bytes on the call stack: half a mebibyte by our count."""
FRAME_VALUES: Final = 16
"""Counted for a call besides its parameters, locals and operands."""
FRAME_VALUES_MAX: Final = 8_192
"""Of one function."""
NATIVE_STACK_BYTES: Final = 2 * 1024 * 1024
"""Four times what is counted, so that the count is what ends a recursion. Threads have 8 MiB on Linux."""

MESSAGE_BYTES_MAX: Final = 64 * 1024
RESULT_BYTES_MAX: Final = 256 * 1024
JSON_DEPTH_MAX: Final = 64
KEY_BYTES_MAX: Final = 1_024
VALUE_BYTES_MAX: Final = 64 * 1024
WRITE_SET_BYTES_MAX: Final = 1024 * 1024
ITERATORS_MAX: Final = 64
HOST_CALLS_MAX: Final = 10_000
TEXT_BYTES_MAX: Final = 2 * 1024
"""An error, an abort's or a debug text; CosmWasm cuts longer ones too."""
ADDRESS_BYTES_MAX: Final = 64
SIGNED_MESSAGE_BYTES_MAX: Final = 128 * 1024
BATCH_SIGNATURES_MAX: Final = 256
QUERY_BYTES_MAX: Final = 64 * 1024
EVENTS_MAX: Final = 64
ATTRIBUTES_MAX: Final = 64
MESSAGES_MAX: Final = 64

GAS_MAX: Final = 1_000_000_000
"""Of one call: about a second at the slowest."""

CALL_GAS: Final = 500_000
"""A store and an instance are made for each call."""
CODE_GAS_PER_BYTE: Final = 2_000
"""Checking and compiling, once, when code is stored."""
FUNCTION_GAS: Final = 50_000
MERGE_GAS: Final = 1_000
SEGMENT_GAS: Final = 60_000
"""Of each data or element segment: the code that copies one of a thousand takes 55 microseconds to
compile."""
COMPILED_AGAIN_SHARE: Final = 10
"""A call pays a tenth of compiling: a node may have to compile for it, and what it keeps is its own
affair."""
PAGE_GAS: Final = 25_600
"""Of each page of memory, at the start or by memory.grow: 28 microseconds when all of it is written."""
GROW_GAS: Final = 64
"""Of each memory.grow: one that fails takes 45 ns."""
FILL_GAS: Final = 160
"""Of each memory.fill: one of no bytes takes 150 ns."""
INPUT_GAS_PER_BYTE: Final = 10
"""Of environment and caller, which the host wrote itself."""
JSON_GAS_PER_BYTE: Final = 200
"""Of JSON that others wrote: messages and requests. The dearest takes 140 ns a byte to read and check."""
OUTPUT_GAS_PER_BYTE: Final = 400
"""The answer is JSON; a query's has JSON inside, another's becomes events and messages."""
COPY_GAS_PER_BYTE: Final = 10
WRITE_GAS_PER_BYTE: Final = 100
SCAN_GAS_PER_PENDING_WRITE: Final = 1_000
"""An iterator takes the writes of the same call along, sorted."""

BASE_GAS: Final = {
    "db_read": 30_000,
    "db_write": 30_000,
    "db_remove": 30_000,
    "db_scan": 50_000,
    "db_next": 40_000,
    "db_next_key": 40_000,
    "db_next_value": 40_000,
    "addr_validate": 50_000,
    "addr_canonicalize": 50_000,
    "addr_humanize": 50_000,
    "secp256k1_verify": 500_000,
    "secp256k1_recover_pubkey": 4_000_000,
    "ed25519_verify": 3_000_000,
    "ed25519_batch_verify": 100_000,
    "debug": 20_000,
    "abort": 20_000,
    "query_chain": 60_000,
}
"""What a host call costs whatever its arguments."""
SIGNATURE_GAS: Final = 3_000_000
"""Of each Ed25519 signature: deciding a hostile one takes 2 ms without the native accelerator."""
