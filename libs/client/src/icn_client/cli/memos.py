"""Memos and references of payments: what goes on the chain of a text, and of a word."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from icn_machine.limits import REFERENCE_BYTES_MAX

from icn_client.cli.common import (
    DataOption,
    JsonOption,
    command_group,
    identifier,
    platform_directory,
    with_connection,
)
from icn_client.cli.files import read_file
from icn_client.cli.output import Refused, UsageError, print_json, print_text, say

if TYPE_CHECKING:
    from icn_client.connection import Connection

SEALED_BYTES_MAX: Final = 8_192
"""Of base64; a sealed memo has half of it."""
_KEEP_EXAMPLES: Final = """\b
Examples:
  icn memo keep accounts/ID --height 4711 sealed.txt
  icn memo keep orders/ID -
"""

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

    def __init__(self, text: str | None, what: str = "--memo") -> None:
        """``what`` it is called by who made the command. Raises UsageError."""
        from icn_crypto.sealed_memo import MemoInvalid, encode_memo

        self.text = text
        self._what = what
        self.sealed = self.memo_hash = b""
        self.problem = ""
        """Why the host has not taken it."""
        try:
            if text is not None:
                encode_memo(text)
        except MemoInvalid as error:
            raise UsageError(f"{what}: {error}") from None

    async def seal(self, connection: Connection, source: bytes, destination: bytes, *others: bytes) -> bytes:
        """Seal it to who owns both accounts, and to other principals; its hash, empty without a memo.

        Raises:
            Refused: MEMO_UNREADABLE.
        """
        from hashlib import sha256

        from icn_crypto.sealed_memo import MemoInvalid, Payment
        from icn_kit.errors import FailedPrecondition

        from icn_client.memos import seal_for

        if self.text is None:
            return b""
        parties = [("accounts", account) for account in (source, destination)]
        parties += [("principals", principal) for principal in others]
        try:
            self.sealed = await seal_for(connection, self.text, Payment(source, destination), parties)
        except FailedPrecondition as error:
            raise Refused(f"{self._what}: {error.message}", error.reason) from None
        except MemoInvalid as error:
            raise Refused(f"{self._what}: {error}", "MEMO_UNREADABLE") from None
        self.memo_hash = sha256(self.sealed).digest()
        return self.memo_hash

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
            at = f" --height {height}" if height else ""
            say(
                f"icn: the payment is made, its memo is not kept ({self.problem}). Bring it later, with this "
                f"line on standard input:\n  icn memo keep {payment}{at} -\n{self._encoded()}"
            )

    @property
    def shown(self) -> dict[str, Any]:
        """For programs; what the host has not taken is there as it was sealed."""
        if not self.sealed:
            return {}
        found: dict[str, Any] = {"memo_hash": self.memo_hash.hex(), "memo_is_kept": not self.problem}
        if self.problem:
            found["memo_sealed"] = self._encoded()
        return found

    def _encoded(self) -> str:
        from base64 import b64encode

        return b64encode(self.sealed).decode()


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Memos of payments.", _KEEP_EXAMPLES)
    group.command("keep", epilog=_KEEP_EXAMPLES)(keep_sealed)
    app.add_typer(group, name="memo")


def keep_sealed(
    payment: Annotated[
        str, typer.Argument(metavar="PAYMENT", help="accounts/ID of the payer or payee, or orders/ID.")
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE|-", help="The sealed memo in base64.", readable=False)
    ],
    height: Annotated[
        int,
        typer.Option("--height", metavar="N", min=0, help="Block of the payment; of an order none."),
    ] = 0,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the host a sealed memo that it did not take when the payment was made."""
    from base64 import b64decode
    from hashlib import sha256

    from icn_client.memos import keep

    collection = "accounts" if height else "orders"
    named = f"{collection}/{identifier(payment, 'PAYMENT', collection).hex()}"
    try:
        sealed = b64decode(read_file(file, SEALED_BYTES_MAX).strip(), validate=True)
    except ValueError:
        raise Refused(f"{file}: not base64", "MEMO_MALFORMED") from None
    with_connection(platform_directory(data), lambda connection: keep(connection, named, height, sealed))
    memo_hash = sha256(sealed).hexdigest()
    if as_json:
        print_json({"memo_hash": memo_hash, "memo_is_kept": True})
    else:
        print_text(f"kept memos/{memo_hash}")


def say_broken(count: int) -> None:
    """Say how many memos are not those of their payments, if any."""
    if count:
        say(f"icn: {count} memos are broken, or were copied from other payments")


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
