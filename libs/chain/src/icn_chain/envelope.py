"""The envelope of a transaction: what its bytes show whatever its messages say and whatever the state is.

Source: docs/spec/transaction.md, "Bytes".
"""

from __future__ import annotations

from typing import Final

from icn.ledger.v1 import transaction_pb2

from icn_chain.malformed import MalformedMessage, parse

TRANSACTION_BYTES_MAX: Final = 65_536
MESSAGES_MAX: Final = 16
SIGNATURES_MAX: Final = 16
LANES_MAX: Final = 16
SEQUENCE_MAX: Final = 2**62


def read_envelope(data: bytes) -> tuple[transaction_pb2.Transaction, transaction_pb2.TransactionBody]:
    """Read a transaction's envelope and body.

    Raises:
        MalformedMessage: not canonical, too large, lane or sequence out of range, no message or signature or
            too many.
    """
    envelope = parse(transaction_pb2.Transaction, data, TRANSACTION_BYTES_MAX)
    body = parse(transaction_pb2.TransactionBody, envelope.body, TRANSACTION_BYTES_MAX)
    lane, sequence = body.lane, body.sequence
    if lane >= LANES_MAX:
        raise MalformedMessage(f"lane {lane}, the highest is {LANES_MAX - 1}")
    if not 1 <= sequence <= SEQUENCE_MAX:
        raise MalformedMessage(f"sequence {sequence}, allowed 1 to 2^62")
    if not 1 <= len(body.messages) <= MESSAGES_MAX:
        raise MalformedMessage(f"{len(body.messages)} messages, allowed 1 to {MESSAGES_MAX}")
    if not 1 <= len(envelope.signatures) <= SIGNATURES_MAX:
        raise MalformedMessage(f"{len(envelope.signatures)} signatures, allowed 1 to {SIGNATURES_MAX}")
    return envelope, body
