"""Field rules that several kinds of message share. Each refusal is validity rule 1.

Source: docs/spec/transaction.md, "Bytes".
"""

from __future__ import annotations

from icn_crypto.suites import SIGNATURE_BYTES

from icn_machine import limits
from icn_machine.refusals import Malformed

_SIGNATURE_BYTES: dict[int, int] = {int(suite): length for suite, length in SIGNATURE_BYTES.items()}


def check_identifier(value: bytes, name: str) -> bytes:
    """An id has 16 bytes."""
    if len(value) != limits.IDENTIFIER_BYTES:
        raise Malformed(f"{name} has {len(value)} bytes, must have {limits.IDENTIFIER_BYTES}")
    return value


def check_digest(value: bytes, name: str) -> bytes:
    """A digest has 32 bytes."""
    if len(value) != limits.DIGEST_BYTES:
        raise Malformed(f"{name} has {len(value)} bytes, must have {limits.DIGEST_BYTES}")
    return value


def check_signature(suite: int, signature: bytes) -> None:
    """A signature is of a known suite and of its length."""
    length = _SIGNATURE_BYTES.get(suite)
    if length is None:
        raise Malformed(f"suite {suite} is not known")
    if len(signature) != length:
        raise Malformed(f"a signature of suite {suite} has {length} bytes")


def check_time(value: int, name: str) -> int:
    """A time fits signed 64 bits."""
    if value > limits.QUANTITY_MAX:
        raise Malformed(f"{name} {value} is above 2^62")
    return value


def check_quantity(value: int, name: str) -> int:
    """What may be nothing is 0 to 2^62."""
    if not 0 <= value <= limits.QUANTITY_MAX:
        raise Malformed(f"{name} {value}, allowed 0 to 2^62")
    return value


def check_amount(value: int, name: str = "amount_minor") -> int:
    """An amount is 1 to 2^62."""
    if not 1 <= value <= limits.QUANTITY_MAX:
        raise Malformed(f"{name} {value}, allowed 1 to 2^62")
    return value


def check_memo_hash(value: bytes) -> bytes:
    """A memo's hash is none or a digest."""
    if value and len(value) != limits.DIGEST_BYTES:
        raise Malformed(f"memo_hash has {len(value)} bytes, must have none or 32")
    return value


def check_reference(value: bytes) -> bytes:
    """A reference has at most 32 bytes."""
    if len(value) > limits.REFERENCE_BYTES_MAX:
        raise Malformed(f"reference has {len(value)} bytes, at most {limits.REFERENCE_BYTES_MAX}")
    return value


def check_floor(value: int, name: str) -> int:
    """A floor is -2^62 to 0."""
    if not limits.NO_FLOOR <= value <= 0:
        raise Malformed(f"{name} {value}, allowed -2^62 to 0")
    return value


def check_two_accounts(
    source: bytes, destination: bytes, names: tuple[str, str] = ("source", "destination")
) -> None:
    """A debit has two accounts."""
    check_identifier(source, names[0])
    check_identifier(destination, names[1])
    if source == destination:
        raise Malformed(f"{names[0]} and {names[1]} are the same account")
