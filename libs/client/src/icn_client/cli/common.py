"""What several commands share: options, identities, a running platform, asynchronous work."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from icn_client.cli.output import CommandError, Refused, Unreachable, UsageError

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.keystore import Identity, Keystore

T = TypeVar("T")

AMOUNT_CHARACTERS_MAX: Final = 40
"""Twice what 2^62 minor units at nine decimal places take; bounds what is read and said again."""
_AMOUNT: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?")
"""What a decimal number is in a signed amount: ASCII digits, no exponent, no separators."""

_DURATION: Final = re.compile(r"([0-9]{1,10})([dhms])")
_UNITS_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
DURATION_MS_MAX: Final = 366 * 86_400_000

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Directory of the platform; by default the one that runs (ICN_DATA, .icn, the last started).",
        readable=False,
    ),
]
GenesisOption = Annotated[
    Path | None,
    typer.Option(
        "--genesis",
        metavar="GENESIS",
        help="The zone's genesis file; by default that of the platform.",
        readable=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
AsOption = Annotated[
    str, typer.Option("--as", metavar="NAME", help="Identity that acts; `icn keys list` shows them.")
]
KeystoreOption = Annotated[
    Path | None,
    typer.Option(
        "--keystore",
        metavar="DIR",
        help="Folder of identities; by default ICN_KEYSTORE or the user's data folder.",
        readable=False,
    ),
]


UnitArgument = Annotated[str, typer.Argument(metavar="UNIT", help="Id of the unit.")]
ActingOption = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Identity that acts, where it is the one who may."),
]
ActionOption = Annotated[
    bool,
    typer.Option(
        "--action",
        help="Sign nothing: print the action for `icn proposal draft --actions`, where members decide.",
    ),
]


def command_group(text: str, examples: str | None = None) -> typer.Typer:
    """Several commands under one word."""
    return typer.Typer(
        no_args_is_help=True, suggest_commands=False, rich_markup_mode=None, help=text, epilog=examples
    )


def ask_passphrase(text: str) -> str:
    """Ask the person at the terminal without showing what is typed."""
    import getpass

    return getpass.getpass(f"{text}: ", stream=sys.stderr)


def prompt() -> Callable[[str], str] | None:
    """How to ask for a passphrase; None where nobody sits at a terminal."""
    return ask_passphrase if sys.stdin is not None and sys.stdin.isatty() else None


def personal_keystore(folder: Path | None) -> Keystore:
    """The keystore named, or the person's own."""
    from icn_client.keystore import Keystore
    from icn_client.platforms import keystore_folder

    return Keystore(folder if folder is not None else keystore_folder())


def platform_directory(data: Path | None) -> Path:
    """Directory of the running platform. Raises Unreachable."""
    from icn_client.platforms import NoPlatform, find_running

    try:
        return find_running(data)
    except NoPlatform as error:
        raise Unreachable(str(error), "NO_PLATFORM") from None


def open_identity(name: str, keystore: Path | None, directory: Path | None) -> Identity:
    """An identity of the person's keystore, or of the founders of the platform in ``directory``.

    Raises:
        Refused: there is none of this name, or no passphrase opens it.
    """
    from icn_client.keystore import KeystoreError, find_passphrase
    from icn_client.platforms import founders_keystore

    stores = [personal_keystore(keystore)]
    if keystore is None and directory is not None:
        stores.append(founders_keystore(directory))
    try:
        for store in stores:
            if store.path(name).is_file():
                return store.open(name, find_passphrase(store.folder, prompt()))
    except KeystoreError as error:
        raise Refused(str(error), "KEYSTORE") from None
    folders = " or ".join(str(store.folder) for store in stores)
    raise Refused(f"no identity {name!r} in {folders}", "IDENTITY_UNKNOWN")


def load_network(directory: Path) -> Any:
    """``network.json`` of a directory. Raises Unreachable."""
    from icn_client.connection import NetworkFile, NetworkFileInvalid

    try:
        return NetworkFile.load(directory)
    except NetworkFileInvalid as error:
        raise Unreachable(str(error), "NO_PLATFORM") from None


def with_connection(directory: Path, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Run work on a connection to the platform in a directory; refusals become command errors."""
    from icn_client.connection import connect

    network = load_network(directory)

    async def run() -> T:
        async with connect(network) as connection:
            return await work(connection)

    return run_async(run())


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run asynchronous work to its end; what it is refused becomes a command error."""
    import uvloop
    from icn_kit.errors import DomainError

    from icn_client.acting import TransactionRefused
    from icn_client.submitter import NobodyAnswers, TransactionMalformed

    try:
        return uvloop.run(work)
    except DomainError as error:
        raise command_error(error) from None
    except NobodyAnswers as error:
        raise Unreachable(str(error), "NOBODY_ANSWERS") from None
    except TransactionRefused as error:
        raise Refused(str(error), error.reason) from None
    except TransactionMalformed as error:
        raise Refused(f"the validator finds it malformed: {error}", "MALFORMED_TRANSACTION") from None


def command_error(error: Any) -> CommandError:
    """A service's refusal as the command's: unreachable when nobody answered, else refused."""
    kind = Unreachable if error.kind.name in ("UNAVAILABLE", "DEADLINE_EXCEEDED") else Refused
    return kind(f"{error.reason}: {error.message}", error.reason)


def identifier(text: str, what: str, folder: str, length_bytes: int = 16) -> bytes:
    """An id in hex, with or without its resource name's folder.

    Raises:
        UsageError: it is none, or it names a thing of another folder.
    """
    named, separator, digits = text.rpartition("/")
    if separator and named != folder:
        raise UsageError(f"{what}: {text[:80]!r} is not of {folder}/…")
    try:
        found = bytes.fromhex(digits)
    except ValueError:
        found = b""
    if len(found) != length_bytes or len(digits) != 2 * length_bytes:
        raise UsageError(f"{what}: {text[:80]!r} is not an id of {2 * length_bytes} hex digits")
    return found


def organization_identifier(text: str, what: str) -> bytes:
    """The id of a principal or of an authority, with or without its folder.

    Raises:
        UsageError: it is none.
    """
    folder = text.partition("/")[0]
    return identifier(text, what, folder if folder in ("authorities", "organizations") else "principals")


def amount_minor(text: str, scale: int, what: str = "AMOUNT", *, may_be_negative: bool = False) -> int:
    """A decimal amount in the unit's smallest division, exactly.

    Raises:
        UsageError: not a plain decimal number, more than ``scale`` decimal places, or further from zero than
            the ledger holds.
    """
    from icn_machine.limits import QUANTITY_MAX

    matched = _AMOUNT.fullmatch(text) if len(text) <= AMOUNT_CHARACTERS_MAX else None
    if matched is None:
        raise UsageError(f"{what}: {text[:AMOUNT_CHARACTERS_MAX]!r} is not a decimal number such as 12.50")
    sign, whole, fraction = matched.group(1), matched.group(2), (matched.group(3) or "").rstrip("0")
    if sign and not may_be_negative:
        raise UsageError(f"{what}: {text!r} is negative")
    if len(fraction) > scale:
        raise UsageError(f"{what}: {text!r} has more than {scale} decimal places")
    minor = int(whole + fraction.ljust(scale, "0"))
    if minor > QUANTITY_MAX:
        raise UsageError(f"{what}: {text} is {sign}{minor} minor units; the ledger ends at {QUANTITY_MAX}")
    return -minor if sign else minor


def duration_ms(text: str, what: str) -> int:
    """A time such as ``14d``, ``36h``, ``90m`` or ``30s`` in milliseconds, exactly.

    Raises:
        UsageError: it is none, or not from one second to 366 days.
    """
    matched = _DURATION.fullmatch(text) if text.isascii() else None
    found = 0 if matched is None else int(matched.group(1)) * _UNITS_MS[matched.group(2)]
    if not 1 <= found <= DURATION_MS_MAX:
        raise UsageError(f"{what}: {text[:40]!r} is not a time such as 14d, 36h, 90m or 30s, up to 366d")
    return found


def moment_ms(text: str, what: str, now_ms: int) -> int:
    """A time from ``now_ms`` on, such as ``7d``, or a day or time, in unix milliseconds. Raises
    UsageError."""
    if _DURATION.fullmatch(text) and text.isascii():
        return now_ms + duration_ms(text, what)
    return parse_time_ms(text, what)


def future_ms(text: str, what: str) -> int:
    """`moment_ms` from now on, within 366 days. Raises UsageError."""
    now_ms = time.time_ns() // 1_000_000
    found = moment_ms(text, what, now_ms)
    if not now_ms < found <= now_ms + DURATION_MS_MAX:
        raise UsageError(f"{what}: {show_time(found)} is not within 366 days from now")
    return found


def show_duration(duration: int) -> str:
    """Milliseconds as people write them, in the largest unit that says them exactly."""
    for name, unit_ms in _UNITS_MS.items():
        if duration % unit_ms == 0:
            return f"{duration // unit_ms}{name}"
    return f"{duration} ms"


def show_time(time_ms: int) -> str:
    """Unix milliseconds as people read them, in UTC."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).isoformat(" ", "seconds")


def show_amount(minor: int, scale: int) -> str:
    """Minor units as people write them."""
    return f"{Decimal(minor).scaleb(-scale):,.{scale}f}"


def parse_time_ms(text: str, option: str) -> int:
    """Unix milliseconds of a day or a time, UTC where it names no zone. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: {text[:40]!r} is no day or time, such as 2026-04-01") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    milliseconds = (found - _EPOCH) // _MILLISECOND
    if milliseconds < 0:
        raise UsageError(f"{option}: before 1970")
    return milliseconds
