"""A block that consensus made final, and whether it can follow the one that was executed last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from icn.consensus.v1 import block_pb2
from icn_chain.epochs import closes_epoch
from icn_chain.protocols import unknown_protocol
from icn_chain.recovery import RecoveryCertificate
from icn_crypto.merkle_log import root_of
from icn_crypto.wire import MalformedBytes, NotCanonical, parse_canonical
from icn_kit.errors import FailedPrecondition, InvalidArgument
from icn_kit.genesis import Genesis

from icn_machine.blocks.ports import ExecutedBlock
from icn_machine.duty import CERTIFICATE_BYTES_MAX
from icn_machine.limits import QUANTITY_MAX

HEADER_BYTES_MAX = 1_024
"""Fifteen fields, seven of them hashes."""
DESCENDANTS_MAX = 10_000
"""As many as a proof may carry (docs/spec/proof.md)."""


class FinalBlock(NamedTuple):
    """A block that consensus made final."""

    header: bytes
    transactions: Sequence[bytes]
    finalization: bytes
    """Certificate of it or of a descendant."""
    descendant_headers: tuple[bytes, ...]
    parent_certificate: bytes = b""
    """As the block carries it; its digest is the header's. Empty where the parent is genesis."""
    recovery: bytes = b""
    """RecoveryCertificate that the block carries; its digest is the header's. Mostly empty."""
    traces: tuple[tuple[int, str], ...] = ()
    """Position and traceparent of transactions whose call was sampled; no part of the block."""


def parse_final(final: FinalBlock) -> block_pb2.BlockHeader:
    """Read the header.

    Raises:
        InvalidArgument: MALFORMED_HEADER, MALFORMED_FINALIZATION, TOO_MANY_HEADERS.
    """
    if len(final.finalization) > CERTIFICATE_BYTES_MAX or not final.finalization:
        raise InvalidArgument("MALFORMED_FINALIZATION", "the finalization is missing or too large")
    if len(final.descendant_headers) > DESCENDANTS_MAX:
        raise InvalidArgument("TOO_MANY_HEADERS", f"at most {DESCENDANTS_MAX} descendant headers")
    try:
        return parse_canonical(block_pb2.BlockHeader, final.header, HEADER_BYTES_MAX)
    except (MalformedBytes, NotCanonical) as error:
        raise InvalidArgument("MALFORMED_HEADER", str(error)) from error


def check_extends(header: block_pb2.BlockHeader, newest: ExecutedBlock) -> None:
    """Refuse a block that is not a child of the newest.

    Raises:
        FailedPrecondition: HEIGHT_GAP, BLOCK_CONFLICT.
    """
    if header.height != newest.height + 1:
        raise FailedPrecondition(
            "HEIGHT_GAP",
            f"height {header.height} does not follow {newest.height}, which was executed last",
            height=header.height,
            executed_height=newest.height,
        )
    if header.parent != newest.hash:
        raise FailedPrecondition(
            "BLOCK_CONFLICT",
            f"the block at height {header.height} does not extend the one that was executed",
            height=header.height,
        )


def check_position(
    header: block_pb2.BlockHeader,
    newest: ExecutedBlock,
    recovery: RecoveryCertificate | None,
    genesis: Genesis,
) -> None:
    """Refuse what no consensus makes final and no table could hold.

    Args:
        recovery: what begins the block's epoch, where no edge block does.

    Raises:
        InvalidArgument: MALFORMED_HEADER.
    """
    if not newest.time_ms < header.time_ms <= QUANTITY_MAX:
        raise InvalidArgument(
            "MALFORMED_HEADER", f"block time {header.time_ms} does not follow {newest.time_ms}"
        )
    # The block after an edge is the first of the epoch that the edge's time lies in (consensus.md, E3).
    epoch = newest.epoch_of_next(genesis)
    if recovery is None and header.epoch != epoch:
        raise InvalidArgument("MALFORMED_HEADER", f"epoch {header.epoch}, its parent leads to {epoch}")
    if header.executed_height >= header.height or (recovery and header.executed_height != newest.height):
        raise InvalidArgument(
            "MALFORMED_HEADER", f"executed_height {header.executed_height} of block {header.height}"
        )
    parent = block_pb2.BlockHeader.FromString(newest.header)
    expected = parent.next_validator_set_hash if recovery is None else recovery.validators.hash
    if header.validator_set_hash != expected:
        raise InvalidArgument(
            "MALFORMED_HEADER", "its validator set is not the one that its parent or its recovery names"
        )
    if not closes_epoch(header, genesis) and header.next_validator_set_hash != header.validator_set_hash:
        raise InvalidArgument("MALFORMED_HEADER", "another validator set is named before the epoch's edge")


def check_protocol(header: block_pb2.BlockHeader, in_force: int, newest: int) -> None:
    """Refuse a block of another protocol version than its validators decide by, or of one that is unknown.

    Args:
        in_force: that of the block's validator set.
        newest: the highest that is known.

    Raises:
        InvalidArgument: MALFORMED_HEADER.
        FailedPrecondition: PROTOCOL_VERSION_UNKNOWN {protocol_version, protocol_newest, height}.
    """
    if header.protocol_version != in_force:
        raise InvalidArgument(
            "MALFORMED_HEADER",
            f"protocol version {header.protocol_version}, the validators of its epoch decide by {in_force}",
        )
    if in_force > newest:
        raise protocol_unknown(
            unknown_protocol(in_force, header.height, newest), in_force, newest, header.height
        )


def protocol_unknown(told: str, version: int, newest: int, height: int) -> FailedPrecondition:
    """PROTOCOL_VERSION_UNKNOWN {protocol_version, protocol_newest, height}, in these words."""
    return FailedPrecondition(
        "PROTOCOL_VERSION_UNKNOWN", told, protocol_version=version, protocol_newest=newest, height=height
    )


def check_transactions_root(header: block_pb2.BlockHeader, transactions: Sequence[bytes]) -> None:
    """Refuse transactions that the header does not name.

    Raises:
        InvalidArgument: TRANSACTIONS_ROOT_MISMATCH.
    """
    if header.transactions_root != root_of(transactions):
        raise InvalidArgument(
            "TRANSACTIONS_ROOT_MISMATCH", "these are not the transactions that the header names"
        )
