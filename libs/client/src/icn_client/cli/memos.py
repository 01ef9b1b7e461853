"""Memos and references of payments: what goes on the chain of a text, and of a word."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Final

import typer
from icn_machine.limits import REFERENCE_BYTES_MAX

from icn_client.cli.output import UsageError

SALT_BYTES: Final = 16

MemoOption = Annotated[
    str | None, typer.Option("--memo", help="Stays with you; only a salted hash goes on the chain.")
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="HEX",
        help="Goes on the chain, at most 32 bytes: such as the transaction that this one gives back.",
    ),
]


def seal_memo(memo: str | None) -> tuple[bytes, dict[str, str]]:
    """Hash of a memo, and the salt to keep with it for whoever is shown the text; both empty without one."""
    if memo is None:
        return b"", {}
    salt = secrets.token_bytes(SALT_BYTES)
    return hashlib.sha256(salt + memo.encode()).digest(), {"memo_salt": salt.hex()}


def read_reference(text: str | None) -> bytes:
    """A reference from hexadecimal digits; empty without one. Raises UsageError."""
    if text is None:
        return b""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"--reference: {text[:80]!r} is not hexadecimal") from None
    if not 1 <= len(found) <= REFERENCE_BYTES_MAX:
        raise UsageError(f"--reference: {len(found)} bytes, allowed 1 to {REFERENCE_BYTES_MAX}")
    return found
