"""Memos and references of payments: what goes on the chain of a text, and of a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from icn_machine.limits import REFERENCE_BYTES_MAX

from icn_client.cli.output import Refused, UsageError, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from icn_client.connection import Connection

MemoOption = Annotated[
    str | None,
    typer.Option(
        "--memo",
        help="For both parties: sealed to their keys and kept by the host; its hash goes on the chain.",
    ),
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="HEX",
        help="Goes on the chain, at most 32 bytes: such as the transaction that this one gives back.",
    ),
]


class Memo:
    """The memo of a payment that a command makes, or none."""

    def __init__(self, text: str | None) -> None:
        """Raises UsageError."""
        from icn_crypto.sealed_memo import MemoInvalid, encode_memo

        self.text = text
        self.sealed = b""
        self.problem = ""
        """Why the host has not taken it."""
        try:
            if text is not None:
                encode_memo(text)
        except MemoInvalid as error:
            raise UsageError(f"--memo: {error}") from None

    async def seal(self, connection: Connection, principals: Iterable[bytes]) -> bytes:
        """Seal it to the keys of the principals; its hash, empty without a memo. Raises Refused."""
        from hashlib import sha256

        from icn_kit.errors import FailedPrecondition

        from icn_client.memos import seal_for

        if self.text is None:
            return b""
        try:
            self.sealed = await seal_for(connection, self.text, principals)
        except FailedPrecondition as error:
            raise Refused(f"--memo: {error.message}", error.reason) from None
        return sha256(self.sealed).digest()

    async def keep(self, connection: Connection, payment: str, height: int = 0) -> None:
        """Give it to the host. The payment stands, whether that takes it or not."""
        from icn_kit.errors import DomainError

        from icn_client.memos import keep

        if not self.sealed:
            return
        try:
            await keep(connection, payment, height, self.sealed)
        except DomainError as error:
            self.problem = f"{error.reason}: {error.message}"
            say(f"icn: the memo is not kept: {self.problem}; with --json the command prints it sealed")

    @property
    def shown(self) -> dict[str, Any]:
        """For programs; what the host has not taken is there as it was sealed."""
        from base64 import b64encode
        from hashlib import sha256

        if not self.sealed:
            return {}
        found: dict[str, Any] = {
            "memo_hash": sha256(self.sealed).hexdigest(),
            "memo_is_kept": not self.problem,
        }
        if self.problem:
            found["memo_sealed"] = b64encode(self.sealed).decode()
        return found


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
