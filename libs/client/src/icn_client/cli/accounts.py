"""`icn account`: members and their accounts on a running platform, signed here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from icn_machine.limits import QUANTITY_MAX

from icn_client.cli import account_holds, account_terms, account_watching
from icn_client.cli.account_documents import account_document, credit_document, entry_document
from icn_client.cli.account_terms import floor_text
from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    amount_minor,
    command_group,
    identifier,
    open_identity,
    parse_time_ms,
    platform_directory,
    show_amount,
    show_time,
    with_connection,
)
from icn_client.cli.memos import say_broken
from icn_client.cli.output import UsageError, print_json, print_text, say, table
from icn_client.cli.signing import (
    DELAY_DEFAULT,
    NO_GUARDIAN,
    DelayOption,
    perform_as,
    perform_on_principal,
    policy_of,
    print_done,
    read_public_part,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from icn_client.connection import Connection
    from icn_client.keystore import Identity

PrincipalArgument = Annotated[str, typer.Argument(metavar="PRINCIPAL", help="Id of the member.")]
ENTRIES_DEFAULT = 20
ENTRIES_MAX = 500

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
  icn account open --unit UNIT --parent ACCOUNT --as anna      a sub-account
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
  icn account list --parent ACCOUNT
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
  icn account entries ACCOUNT --as anna              with the memos that she can open
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    accounts = command_group("Members and their accounts.", _EXAMPLES)
    accounts.command("admit", epilog=_ADMIT_EXAMPLES)(admit)
    accounts.command("sponsor", epilog=_SPONSOR_EXAMPLES)(sponsor)
    accounts.command("release", epilog=_RELEASE_EXAMPLES)(release)
    accounts.command("open", epilog=_OPEN_EXAMPLES)(open_account)
    accounts.command("show", epilog=_SHOW_EXAMPLES)(show)
    accounts.command("balance", epilog=_BALANCE_EXAMPLES)(balance)
    accounts.command("list", epilog=_LIST_EXAMPLES)(list_accounts)
    accounts.command("entries", epilog=_ENTRIES_EXAMPLES)(entries)
    account_watching.add_to(accounts)
    account_holds.add_to(accounts)
    account_terms.add_to(accounts)
    app.add_typer(accounts, name="account")


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
    parent: Annotated[
        str | None,
        typer.Option("--parent", metavar="ACCOUNT", help="Of the same owner and unit: a sub-account of it."),
    ] = None,
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
    """Open an account of the acting identity. The first in a unit may go down to the unit's default floor,
    further ones to 0."""
    from icn_machine.limits import OPENING_MINOR_MAX

    from icn_client import transactions

    wanted = identifier(unit, "--unit", "units")
    above = b"" if parent is None else identifier(parent, "--parent", "accounts")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    account = transactions.new_identifier()

    shown = {"account": account.hex()}

    async def work(connection: Connection) -> tuple[str, Any]:
        minor, waits = None, ""
        if brings is not None:
            leaf = await connection.unit(wanted)
            minor = amount_minor(brings, leaf.scale, "--brings", may_be_negative=True)
            if abs(minor) > OPENING_MINOR_MAX:
                raise UsageError(f"--brings: {minor} minor units, at most {OPENING_MINOR_MAX} either way")
            shown["opening_minor"] = str(minor)
            waits = f"; it waits until {show_amount(minor, leaf.scale)} {leaf.code} are confirmed"
        message = transactions.open_account(account, wanted, parent=above, opening_minor=minor)
        outcome, _ = await perform_as(connection, identity, [message])
        return waits, outcome

    waits, outcome = with_connection(directory, work)
    print_done(outcome, as_json, shown, f"opened accounts/{account.hex()}{waits}")


def show(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an account: balance, what is held, how far it may go, and what keeps it from paying."""
    wanted = identifier(account, "ACCOUNT", "accounts")

    async def read(connection: Connection) -> tuple[Any, Any, int]:
        found = await connection.account_with_credit(wanted)
        newest_ms = await connection.newest_block_time_ms()
        return found, await connection.unit(found.account.leaf.unit), newest_ms

    found, unit, newest_ms = with_connection(platform_directory(data), read)
    if as_json:
        print_json({**account_document(found.account, unit), **credit_document(found.credit)})
        return
    leaf, credit = found.account.leaf, found.credit

    def amount(minor: int) -> str:
        return f"{show_amount(minor, unit.scale)} {unit.code}"

    print_text(f"account    {leaf.account.hex()}{'' if credit.is_main else '  (not the main account)'}")
    print_text(f"owner      {leaf.owner.hex()}")
    print_text(f"balance    {amount(leaf.balance_minor)}")
    print_text(f"held       {amount(leaf.held_minor)}")
    print_text(f"floor      {floor_text(leaf.floor_minor, unit.scale)}")
    if credit.growth_minor:
        print_text(f"limit      {floor_text(credit.limit_minor, unit.scale)}")
        print_text(f"growth     {amount(credit.growth_minor)} by trade that was paid both ways")
    if credit.soft_limit_minor != credit.limit_minor:
        print_text(f"soft limit {floor_text(credit.soft_limit_minor, unit.scale)}")
    print_text(f"spendable  {amount(credit.spendable_minor)}")
    print_text(f"given      {amount(leaf.given_minor)}")
    for line in _terms_lines(leaf.terms, amount, newest_ms):
        print_text(line)
    print_text(f"height     {found.account.height}")


def _terms_lines(terms: Any, amount: Callable[[int], str], newest_ms: int) -> Iterator[str]:
    if terms.parent:
        yield f"parent     {terms.parent.hex()}"
    if terms.is_opening:
        yield f"waits      brings {amount(terms.opening_minor)}, not confirmed yet"
    if terms.frozen_until_ms > newest_ms:
        yield f"frozen     until {show_time(terms.frozen_until_ms)}"
    if terms.pledged_minor:
        yield f"pledged    {amount(terms.pledged_minor)} for write-offs"
    if terms.is_closed:
        yield "closed     for ever"


def balance(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="A day's beginning or a time (UTC).")
    ] = None,
    at_height: Annotated[
        int | None, typer.Option("--at-height", metavar="N", min=0, max=QUANTITY_MAX, help="After block N.")
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
    parent: Annotated[
        str | None, typer.Option("--parent", metavar="ACCOUNT", help="Its sub-accounts, as they were opened.")
    ] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List accounts by id; with --json one object per line."""
    wanted = None if owner is None else identifier(owner, "--owner", "principals")
    above = None if parent is None else identifier(parent, "--parent", "accounts")
    if wanted is not None and above is not None:
        raise UsageError("give --owner or --parent, and not both")

    async def read(connection: Connection) -> None:
        units: dict[bytes, Any] = {}
        rows = []
        listed = connection.accounts(wanted) if above is None else connection.sub_accounts(above)
        async for account in listed:
            leaf = account.leaf
            if leaf.unit not in units:
                units[leaf.unit] = await connection.unit(leaf.unit)
            unit = units[leaf.unit]
            if as_json:
                print_json(account_document(account, unit))
                continue
            rows.append(
                (
                    leaf.account.hex(),
                    show_amount(leaf.balance_minor, unit.scale),
                    floor_text(leaf.floor_minor, unit.scale),
                    unit.code,
                )
            )
        if not as_json:
            table(("account", "balance", "floor", "unit"), rows)

    with_connection(platform_directory(data), read)


def entries(  # noqa: PLR0917 - one parameter per option
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=ENTRIES_MAX, help="How many, the newest first.")
    ] = ENTRIES_DEFAULT,
    acting: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Show the memos that this identity can open.")
    ] = None,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an account's entries, newest first; with --json one object per line."""
    from icn_client.light.statement import kind_name
    from icn_client.statement_texts import one_line

    wanted = identifier(account, "ACCOUNT", "accounts")
    directory = platform_directory(data)
    identity = None if acting is None else open_identity(acting, keystore, directory)

    async def read(connection: Connection) -> tuple[Any, Any, Any]:
        unit = await connection.unit_of(wanted)
        entries = await connection.entries(wanted, limit)
        if identity is None:
            return unit, entries, {}
        return unit, entries, await _memos(connection, identity, wanted, entries)

    unit, found, memos = with_connection(directory, read)
    if as_json:
        for entry in found:
            told = {} if identity is None else {"memo": memos.get(entry.number)}
            print_json({**entry_document(entry), **told})
        return
    table(
        ("number", "height", "kind", "amount", "balance", "with", *(() if identity is None else ("memo",))),
        [
            (
                str(entry.number),
                str(entry.height),
                kind_name(entry.posting.kind),
                show_amount(entry.posting.amount_minor, unit.scale),
                show_amount(entry.posting.balance_minor, unit.scale),
                entry.posting.counter_account.hex(),
                *(() if identity is None else (one_line(memos.get(entry.number, "")),)),
            )
            for entry in found
        ],
    )


async def _memos(connection: Connection, identity: Identity, account: bytes, entries: Any) -> dict[int, str]:
    """Texts of the entries' memos that the identity can open, by number; says what is wrong with others."""
    from icn_kit.errors import DomainError

    from icn_client.memos import open_memos
    from icn_client.opened_memos import MemoKey, payment_of

    keys = {
        entry.number: MemoKey(
            entry.memo_hash,
            payment_of(account, entry.posting.counter_account, entry.posting.amount_minor),
        )
        for entry in entries
        if entry.memo_hash
    }
    try:
        opening = await open_memos(connection, identity, keys.values())
    except DomainError as error:
        say(f"icn: no memos are shown: {error.reason}: {error.message}")
        return {}
    say_broken(opening.broken)
    return {number: opening.texts[key].text for number, key in keys.items() if key in opening.texts}
