"""`icn account`, `icn unit` and `icn pay`: what members and co-ops do on a running platform, signed here."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    amount_minor,
    command_group,
    identifier,
    open_identity,
    organization_identifier,
    parse_time_ms,
    platform_directory,
    show_amount,
    with_connection,
)
from icn_client.cli.output import UsageError, print_json, print_text, say, table
from icn_client.cli.signing import (
    DELAY_DEFAULT,
    NO_GUARDIAN,
    DelayOption,
    perform_and_print,
    perform_as,
    perform_on_principal,
    policy_of,
    print_done,
    read_public_part,
)

if TYPE_CHECKING:
    from icn_client.connection import Connection

PrincipalArgument = Annotated[str, typer.Argument(metavar="PRINCIPAL", help="Id of the member.")]
ENTRIES_DEFAULT = 20
ENTRIES_MAX = 500
MEMO_SALT_BYTES = 16
REFERENCE_BYTES_MAX = 32
HEIGHT_MAX = 2**62
OPENING_MINOR_MAX = 2**53

_EXAMPLES = """\b
Examples:
  icn account admit anna.public.json --as sunrise-bakery
  icn account open --unit UNIT --as anna
  icn account entries ACCOUNT
"""
_ADMIT_EXAMPLES = """\b
Examples:
  icn account admit anna.public.json --as sunrise-bakery
  icn account admit anna.public.json --as sunrise-bakery --guardian PRINCIPAL --delay 30d
"""
_SPONSOR_EXAMPLES = """\b
Examples:
  icn account sponsor PRINCIPAL --as harvest-farm
  icn account sponsor principals/7f3a… --as harvest-farm --json
"""
_RELEASE_EXAMPLES = """\b
Examples:
  icn account release PRINCIPAL --as sunrise-bakery
  icn account release principals/7f3a… --as anna    who is anna herself
"""
_OPEN_EXAMPLES = """\b
Examples:
  icn account open --unit UNIT --as anna
  icn account open --unit UNIT --brings -120.50 --as anna      a debt from the old books
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn account show ACCOUNT
  icn account show accounts/6d6f… --json
"""
_LIST_EXAMPLES = """\b
Examples:
  icn account list
  icn account list --owner PRINCIPAL --json
"""
_BALANCE_EXAMPLES = """\b
Examples:
  icn account balance ACCOUNT --at 2026-04-01
  icn account balance ACCOUNT --at 2026-03-31T23:59:59.999+02:00 --json
  icn account balance ACCOUNT --at-height 1200
"""
_ENTRIES_EXAMPLES = """\b
Examples:
  icn account entries ACCOUNT
  icn account entries ACCOUNT --limit 5 --json
"""
_UNIT_CREATE_EXAMPLES = """\b
Examples:
  icn unit create HOURS --as sunrise-bakery
  icn unit create HOURS --as sunrise-bakery --scale 2 --floor -40
  icn unit create HOURS --as sunrise-bakery --authority authorities/7f3a…
"""
_UNIT_LIST_EXAMPLES = """\b
Examples:
  icn unit list
  icn unit list --json
"""
_PAY_EXAMPLES = """\b
Examples:
  icn pay ACCOUNT 12.50 --as anna
  icn pay ACCOUNT 12.50 --as anna --from MY-ACCOUNT --memo "two loaves"
"""


def register(app: typer.Typer) -> None:
    """Add both groups and `pay`."""
    accounts = command_group("Members and their accounts.", _EXAMPLES)
    accounts.command("admit", epilog=_ADMIT_EXAMPLES)(admit)
    accounts.command("sponsor", epilog=_SPONSOR_EXAMPLES)(sponsor)
    accounts.command("release", epilog=_RELEASE_EXAMPLES)(release)
    accounts.command("open", epilog=_OPEN_EXAMPLES)(open_account)
    accounts.command("show", epilog=_SHOW_EXAMPLES)(show)
    accounts.command("balance", epilog=_BALANCE_EXAMPLES)(balance)
    accounts.command("list", epilog=_LIST_EXAMPLES)(list_accounts)
    accounts.command("entries", epilog=_ENTRIES_EXAMPLES)(entries)
    app.add_typer(accounts, name="account")
    units = command_group("Units of account.")
    units.command("create", epilog=_UNIT_CREATE_EXAMPLES)(create_unit)
    units.command("list", epilog=_UNIT_LIST_EXAMPLES)(list_units)
    app.add_typer(units, name="unit")
    app.command("pay", epilog=_PAY_EXAMPLES)(pay)


def admit(  # noqa: PLR0917 - one parameter per option
    public_part: Annotated[
        Path,
        typer.Argument(
            metavar="PUBLIC.json", help="What `icn keys export` printed for the member.", readable=False
        ),
    ],
    acting: AsOption,
    guardian: Annotated[
        str | None,
        typer.Option(
            "--guardian",
            metavar="PRINCIPAL|none",
            help="Who may give the member new keys when the old are lost; by default the acting co-op.",
        ),
    ] = None,
    delay: DelayOption = DELAY_DEFAULT,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Admit a member: the acting co-op becomes the sponsor whose allowance pays, and the guardian."""
    from icn_client import transactions

    principal, threshold, keys = read_public_part(public_part)
    named = policy_of(NO_GUARDIAN if guardian is None else guardian, delay, "--guardian")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    policy = policy_of(identity.principal.hex(), delay, "--guardian") if guardian is None else named
    message = transactions.open_controller(principal, threshold, keys, policy)
    outcome, _ = with_connection(directory, lambda connection: perform_as(connection, identity, [message]))
    print_done(outcome, as_json, {"principal": principal.hex()}, f"admitted principals/{principal.hex()}")


def sponsor(
    principal: PrincipalArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take on a member whom nobody pays for any more: the acting co-op's allowance pays from now on."""
    from icn_client import transactions

    taken = identifier(principal, "PRINCIPAL", "principals")
    message = transactions.start_sponsorship(taken)
    perform_on_principal(message, taken, "sponsors", acting, keystore, data, as_json)


def release(
    principal: PrincipalArgument,
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """End paying for a member, as the sponsor or the member; a recovery of the member under way ends, too."""
    from icn_client import transactions

    released = identifier(principal, "PRINCIPAL", "principals")
    message = transactions.end_sponsorship(released)
    perform_on_principal(message, released, "released", acting, keystore, data, as_json)


def open_account(  # noqa: PLR0917 - one parameter per option
    unit: Annotated[str, typer.Option("--unit", metavar="UNIT", help="Id of the unit it is kept in.")],
    acting: AsOption,
    brings: Annotated[
        str | None,
        typer.Option(
            "--brings",
            metavar="AMOUNT",
            help="Balance from before, a debt below 0; it waits until the unit's authority confirms.",
        ),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open an account of the acting identity; its floor is the unit's default."""
    from icn.ledger.v1.transaction_pb2 import Message, OpenAccount

    from icn_client import transactions

    account, wanted = transactions.new_identifier(), identifier(unit, "--unit", "units")
    shown, text = {"account": account.hex()}, f"opened accounts/{account.hex()}"
    message = transactions.open_account(account, wanted)
    if brings is not None:
        directory = platform_directory(data)
        leaf = with_connection(directory, lambda connection: connection.unit(wanted))
        minor = amount_minor(brings, leaf.scale, "--brings", may_be_negative=True)
        if abs(minor) > OPENING_MINOR_MAX:
            raise UsageError(f"--brings: {minor} minor units, at most {OPENING_MINOR_MAX} either way")
        message = Message(
            open_account=OpenAccount(account=account, unit=wanted, opening_minor=minor, is_opening=True)
        )
        shown["opening_minor"] = str(minor)
        text += f"; it waits until {show_amount(minor, leaf.scale)} {leaf.code} are confirmed"
    perform_and_print(message, shown, text, acting, keystore, data, as_json)


def _account_document(account: Any, unit: Any) -> dict[str, Any]:
    leaf = account.leaf
    return {
        "account": leaf.account.hex(),
        "owner": leaf.owner.hex(),
        "unit": leaf.unit.hex(),
        "code": unit.code,
        "scale": unit.scale,
        "balance_minor": str(leaf.balance_minor),
        "held_minor": str(leaf.held_minor),
        "floor_minor": str(leaf.floor_minor),
        "given_minor": str(leaf.given_minor),
        "height": account.height,
    }


def _floor_text(leaf: Any, scale: int) -> str:
    from icn_client.transactions import FLOOR_NONE_MINOR

    return "none" if leaf.floor_minor <= FLOOR_NONE_MINOR else show_amount(leaf.floor_minor, scale)


def show(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an account: balance, what is held, floor."""
    wanted = identifier(account, "ACCOUNT", "accounts")

    async def read(connection: Connection) -> tuple[Any, Any]:
        found = await connection.account(wanted)
        return found, await connection.unit(found.leaf.unit)

    found, unit = with_connection(platform_directory(data), read)
    if as_json:
        print_json(_account_document(found, unit))
        return
    leaf = found.leaf
    print_text(f"account  {leaf.account.hex()}")
    print_text(f"owner    {leaf.owner.hex()}")
    print_text(f"balance  {show_amount(leaf.balance_minor, unit.scale)} {unit.code}")
    print_text(f"held     {show_amount(leaf.held_minor, unit.scale)} {unit.code}")
    print_text(f"floor    {_floor_text(leaf, unit.scale)}")
    print_text(f"given    {show_amount(leaf.given_minor, unit.scale)} {unit.code}")
    print_text(f"height   {found.height}")


def balance(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="A day's beginning or a time (UTC).")
    ] = None,
    at_height: Annotated[
        int | None, typer.Option("--at-height", metavar="N", min=0, max=HEIGHT_MAX, help="After block N.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an account had at a past time or height: the balance after its newest entry until then."""
    wanted = identifier(account, "ACCOUNT", "accounts")
    if (at is None) == (at_height is None):
        raise UsageError("give either --at TIME or --at-height N; `icn account show` tells what it has now")
    at_ms = None if at is None else parse_time_ms(at, "--at")

    async def read(connection: Connection) -> tuple[Any, Any]:
        leaf = (await connection.account(wanted)).leaf
        unit = await connection.unit(leaf.unit)
        return unit, await connection.balance(wanted, height=at_height, time_ms=at_ms)

    unit, found = with_connection(platform_directory(data), read)
    is_final = at_ms is None or at_ms <= found.executed_time_ms
    entry = found.entry if found.HasField("entry") else None
    if as_json:
        print_json(
            {
                "account": wanted.hex(),
                "code": unit.code,
                "scale": unit.scale,
                "balance_minor": str(found.balance_minor),
                "height": found.height,
                "entry": None if entry is None else str(entry.number),
                "entry_time_ms": None if entry is None else str(entry.block_time_ms),
                "is_final": is_final,
            }
        )
    else:
        print_text(f"{show_amount(found.balance_minor, unit.scale)} {unit.code}")
    if not is_final:
        say(f"icn: block {found.executed_height} is the newest known and before that time: it may change")


def list_accounts(
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="PRINCIPAL", help="Only those of one principal.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List accounts by id; with --json one object per line."""
    wanted = None if owner is None else identifier(owner, "--owner", "principals")

    async def read(connection: Connection) -> None:
        units: dict[bytes, Any] = {}
        rows = []
        async for account in connection.accounts(wanted):
            leaf = account.leaf
            if leaf.unit not in units:
                units[leaf.unit] = await connection.unit(leaf.unit)
            unit = units[leaf.unit]
            if as_json:
                print_json(_account_document(account, unit))
                continue
            rows.append(
                (
                    leaf.account.hex(),
                    show_amount(leaf.balance_minor, unit.scale),
                    _floor_text(leaf, unit.scale),
                    unit.code,
                )
            )
        if not as_json:
            table(("account", "balance", "floor", "unit"), rows)

    with_connection(platform_directory(data), read)


def entries(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=ENTRIES_MAX, help="How many, the newest first.")
    ] = ENTRIES_DEFAULT,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an account's entries, newest first; with --json one object per line."""
    from icn_client.light.statement import kind_name

    wanted = identifier(account, "ACCOUNT", "accounts")

    async def read(connection: Connection) -> tuple[Any, Any]:
        found = await connection.account(wanted)
        unit = await connection.unit(found.leaf.unit)
        return unit, await connection.entries(wanted, limit)

    unit, found = with_connection(platform_directory(data), read)
    if as_json:
        for entry in found:
            print_json(
                {
                    "height": entry.height,
                    "index": entry.index,
                    "transaction": entry.transaction_id.hex(),
                    "counter_account": entry.posting.counter_account.hex(),
                    "amount_minor": str(entry.posting.amount_minor),
                    "balance_minor": str(entry.posting.balance_minor),
                    "memo_hash": entry.memo_hash.hex(),
                    "block_time_ms": str(entry.block_time_ms),
                    "number": str(entry.number),
                    "kind": kind_name(entry.posting.kind),
                    "reference": entry.reference.hex(),
                    "hold": entry.hold.hex(),
                }
            )
        return
    table(
        ("number", "height", "kind", "amount", "balance", "with"),
        [
            (
                str(entry.number),
                str(entry.height),
                kind_name(entry.posting.kind),
                show_amount(entry.posting.amount_minor, unit.scale),
                show_amount(entry.posting.balance_minor, unit.scale),
                entry.posting.counter_account.hex(),
            )
            for entry in found
        ],
    )


def create_unit(  # noqa: PLR0917 - one parameter per option
    code: Annotated[str, typer.Argument(metavar="CODE", help="2 to 12 characters A–Z, 0–9 or hyphen.")],
    acting: AsOption,
    scale: Annotated[int, typer.Option("--scale", min=0, max=9, help="Decimal places.")] = 2,
    floor: Annotated[
        str, typer.Option("--floor", help="Floor of new accounts, zero or negative, in whole units.")
    ] = "0",
    authority: Annotated[
        str | None,
        typer.Option(
            "--authority",
            metavar="ID",
            help="Who sets floors: a principal, or a federation as authorities/ID; by default the co-op.",
        ),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create a unit of account; the acting co-op issues it, and sets floors unless another is named."""
    from icn_client import transactions

    unit = transactions.new_identifier()
    floor_minor = amount_minor(floor, scale, "--floor", may_be_negative=True)
    if floor_minor > 0:
        raise UsageError("--floor: must be zero or negative")
    governing = b"" if authority is None else organization_identifier(authority, "--authority")
    message = transactions.create_unit(unit, code, scale, floor_minor, governing)
    shown, text = {"unit": unit.hex()}, f"created units/{unit.hex()}"
    perform_and_print(message, shown, text, acting, keystore, data, as_json)


def list_units(data: DataOption = None, as_json: JsonOption = False) -> None:
    """List units by id; with --json one object per line."""

    async def read(connection: Connection) -> list[Any]:
        return [unit async for unit in connection.units()]

    found = with_connection(platform_directory(data), read)
    if as_json:
        for unit in found:
            print_json(
                {
                    "unit": unit.unit.hex(),
                    "code": unit.code,
                    "scale": unit.scale,
                    "issuer": unit.issuer.hex(),
                    "authority": unit.authority.hex(),
                    "default_floor_minor": str(unit.default_floor_minor),
                }
            )
        return
    table(
        ("unit", "code", "scale", "default floor"),
        [
            (unit.unit.hex(), unit.code, str(unit.scale), show_amount(unit.default_floor_minor, unit.scale))
            for unit in found
        ],
    )


def pay(  # noqa: PLR0917 - one parameter per option
    to: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Account that receives.")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In whole units, such as 12.50.")],
    acting: AsOption,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="ACCOUNT", help="Account that pays; by default the only one in the unit."
        ),
    ] = None,
    memo: Annotated[
        str | None, typer.Option("--memo", help="Stays with you; only a salted hash goes on the chain.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="HEX",
            help="Goes on the chain, at most 32 bytes: such as the transaction that this one gives back.",
        ),
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay: a transfer signed by the acting identity."""
    from icn_client import transactions

    destination = identifier(to, "ACCOUNT", "accounts")
    payer = None if source is None else identifier(source, "--from", "accounts")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    salt = secrets.token_bytes(MEMO_SALT_BYTES)
    memo_hash = b"" if memo is None else hashlib.sha256(salt + memo.encode()).digest()
    word = b"" if reference is None else _reference(reference)

    async def work(connection: Connection) -> tuple[Any, Any, Any]:
        target = await connection.account(destination)
        unit = await connection.unit(target.leaf.unit)
        minor = amount_minor(amount, unit.scale)
        if minor < 1:
            raise UsageError("AMOUNT: must be more than zero")
        paying = payer or await _only_account(connection, identity.principal, target.leaf.unit)
        message = transactions.transfer(paying, destination, minor, memo_hash, word)
        outcome, receipt = await perform_as(connection, identity, [message])
        return unit, outcome, receipt

    unit, outcome, receipt = with_connection(directory, work)
    posting = receipt.postings[0]
    shown = {
        "source": posting.account.hex(),
        "destination": destination.hex(),
        "amount_minor": str(-posting.amount_minor),
        "balance_minor": str(posting.balance_minor),
    }
    if memo is not None:
        shown["memo_salt"] = salt.hex()
    text = f"paid {show_amount(-posting.amount_minor, unit.scale)} {unit.code}, balance now "
    print_done(outcome, as_json, shown, text + show_amount(posting.balance_minor, unit.scale))


def _reference(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"--reference: {text[:80]!r} is not hexadecimal") from None
    if not 1 <= len(found) <= REFERENCE_BYTES_MAX:
        raise UsageError(f"--reference: {len(found)} bytes, allowed 1 to {REFERENCE_BYTES_MAX}")
    return found


async def _only_account(connection: Connection, owner: bytes, unit: bytes) -> bytes:
    found = [
        account.leaf.account async for account in connection.accounts(owner) if account.leaf.unit == unit
    ]
    if len(found) != 1:
        raise UsageError(f"--from: the identity has {len(found)} accounts in the unit, name one")
    return bytes(found[0])
