"""`icn account floor|freeze|pledge|write-off|close|limits`: what may be done with an account, who says so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from icn_machine.limits import FREEZE_AHEAD_MS_MAX, NO_FLOOR
from typer.core import TyperCommand

from icn_client.cli.common import (
    ActingOption,
    ActionOption,
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    amount_minor,
    identifier,
    moment_ms,
    open_identity,
    platform_directory,
    show_amount,
    show_time,
    with_connection,
)
from icn_client.cli.governing import Governed, perform_governed
from icn_client.cli.memos import Memo, MemoOption
from icn_client.cli.output import Refused, UsageError, print_json, table
from icn_client.cli.payments import positive_minor
from icn_client.cli.signing import perform_as, print_done

if TYPE_CHECKING:
    from icn_client.connection import Connection

UNLIMITED: Final = "none"
CHANGES_DEFAULT: Final = 20
CHANGES_MAX: Final = 500
_NEGATIVE: Final = re.compile(r"-[0-9][0-9.]*")

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")]

_FLOOR_EXAMPLES = """\b
Examples:
  icn account floor ACCOUNT -500 --as sunrise-bakery
  icn account floor ACCOUNT none --as sunrise-bakery       as far as the ledger counts
  icn account floor ACCOUNT -500 --action > actions.json   for a federation's members to decide
"""
_FREEZE_EXAMPLES = """\b
Examples:
  icn account freeze ACCOUNT --until 7d --as sunrise-bakery
  icn account freeze ACCOUNT --until 2026-04-01 --as sunrise-bakery
  icn account freeze ACCOUNT --lift --as sunrise-bakery
"""
_PLEDGE_EXAMPLES = """\b
Examples:
  icn account pledge ACCOUNT 250 --as sunrise-bakery
  icn account pledge ACCOUNT 0 --as sunrise-bakery       takes back what is not used
"""
_WRITE_OFF_EXAMPLES = """\b
Examples:
  icn account write-off ACCOUNT 120.50 --as sunrise-bakery --memo "moved away, see minutes"
  icn account write-off ACCOUNT 120.50 --action > actions.json
"""
_CLOSE_EXAMPLES = """\b
Examples:
  icn account close ACCOUNT --as anna
  icn account close ACCOUNT --remainder-to OTHER --as anna
"""
_LIMITS_EXAMPLES = """\b
Examples:
  icn account limits ACCOUNT
  icn account limits units/91c2… --json     of all accounts of a unit, and its policy
"""


class AmountCommand(TyperCommand):
    """A command that takes an amount below zero as an argument: ``-500`` is no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put amounts behind the options."""
        amounts = [one for one in args if _NEGATIVE.fullmatch(one)]
        if amounts and "--" not in args:
            args = [*(one for one in args if one not in amounts), "--", *amounts]
        return super().parse_args(ctx, args)


def add_to(group: typer.Typer) -> None:
    """Add the commands to `icn account`."""
    group.command("floor", epilog=_FLOOR_EXAMPLES, cls=AmountCommand)(set_floor)
    group.command("freeze", epilog=_FREEZE_EXAMPLES)(freeze)
    group.command("pledge", epilog=_PLEDGE_EXAMPLES)(pledge)
    group.command("write-off", epilog=_WRITE_OFF_EXAMPLES)(write_off)
    group.command("close", epilog=_CLOSE_EXAMPLES)(close)
    group.command("limits", epilog=_LIMITS_EXAMPLES)(limits)


def floor_text(floor_minor: int, scale: int) -> str:
    """A floor or a limit as people read it."""
    return UNLIMITED if floor_minor <= NO_FLOOR else show_amount(floor_minor, scale)


def set_floor(  # noqa: PLR0917 - one parameter per option
    account: AccountArgument,
    floor: Annotated[str, typer.Argument(metavar="FLOOR", help="Zero or negative, in whole units; or none.")],
    acting: ActingOption = None,
    as_action: ActionOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set an account's floor, as the unit's authority. Trade no longer lowers its limit from then on."""
    from icn_client import transactions

    wanted = identifier(account, "ACCOUNT", "accounts")

    async def prepare(connection: Connection) -> Governed:
        leaf, unit = await _open_account(connection, wanted)
        if floor == UNLIMITED:
            minor = NO_FLOOR
        else:
            minor = amount_minor(floor, unit.scale, "FLOOR", may_be_negative=True)
        if minor > 0:
            raise UsageError("FLOOR: must be zero or negative")
        before, after = (floor_text(one, unit.scale) for one in (leaf.floor_minor, minor))
        return Governed(
            transactions.set_floor(wanted, minor),
            unit.authority,
            "NOT_UNIT_AUTHORITY",
            {
                "account": wanted.hex(),
                "previous_floor_minor": str(leaf.floor_minor),
                "floor_minor": str(minor),
            },
            f"the floor of accounts/{wanted.hex()} is {after} {unit.code}, before {before}",
        )

    perform_governed(prepare, acting, as_action, keystore, data, as_json)


def freeze(  # noqa: PLR0917 - one parameter per option
    account: AccountArgument,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="TIME", help="How long, such as 7d, or a day or time (UTC); at most 30d."
        ),
    ] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Free it again, at once.")] = False,
    acting: ActingOption = None,
    as_action: ActionOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep an account from paying for a while, as who may in its unit; it still receives."""
    from icn_client.credit import freeze_account

    if (until is None) != lift:
        raise UsageError("say --until TIME or --lift, one of both")
    wanted = identifier(account, "ACCOUNT", "accounts")

    async def prepare(connection: Connection) -> Governed:
        leaf, _ = await _open_account(connection, wanted)
        found = await connection.unit_with_policy(leaf.unit)
        until_ms = 0
        if until is not None:
            now_ms = await connection.newest_block_time_ms()
            until_ms = moment_ms(until, "--until", now_ms)
            if not now_ms < until_ms <= now_ms + FREEZE_AHEAD_MS_MAX:
                raise UsageError(
                    f"--until: {show_time(until_ms)} is not within 30 days from {show_time(now_ms)}, the "
                    "newest block"
                )
        freezer = found.policy.policy.freezer or found.unit.authority
        before_ms = leaf.terms.frozen_until_ms
        text = f"froze accounts/{wanted.hex()} until {show_time(until_ms)}"
        return Governed(
            freeze_account(wanted, until_ms),
            freezer,
            "NOT_FREEZER",
            {
                "account": wanted.hex(),
                "previous_until_ms": str(before_ms),
                "frozen_until_ms": str(until_ms),
            },
            text if until_ms else f"accounts/{wanted.hex()} is free",
        )

    perform_governed(prepare, acting, as_action, keystore, data, as_json)


def pledge(  # noqa: PLR0917 - one parameter per option
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="In whole units; 0 takes it back.")],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what the unit's authority may take of an account for write-offs, instead of what held before."""
    from icn_client.credit import pledge_account

    wanted = identifier(account, "ACCOUNT", "accounts")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)

    async def work(connection: Connection) -> tuple[Any, Any, int, Any]:
        leaf, unit = await _open_account(connection, wanted)
        _check_owner(leaf, identity.principal)
        minor = amount_minor(amount, unit.scale)
        outcome, _ = await perform_as(connection, identity, [pledge_account(wanted, minor)])
        return leaf, unit, minor, outcome

    leaf, unit, minor, outcome = with_connection(directory, work)
    before_minor = leaf.terms.pledged_minor
    shown = {
        "account": wanted.hex(),
        "previous_pledged_minor": str(before_minor),
        "pledged_minor": str(minor),
    }
    now, before = (show_amount(one, unit.scale) for one in (minor, before_minor))
    print_done(
        outcome, as_json, shown, f"pledged {now} {unit.code} of accounts/{wanted.hex()}, before {before}"
    )


def write_off(  # noqa: PLR0917 - one parameter per option
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="Of its debt, in whole units.")],
    memo: MemoOption = None,
    acting: ActingOption = None,
    as_action: ActionOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pay part or all of an account's debt from the unit's fund; the account's floor is 0 from then on."""
    from icn_client import credit

    wanted = identifier(account, "ACCOUNT", "accounts")
    if memo is not None and as_action:
        raise UsageError("--memo: of a decision the reason stands in the proposal; leave it out")
    told = Memo(memo)

    async def prepare(connection: Connection) -> Governed:
        leaf, unit = await _open_account(connection, wanted)
        minor = positive_minor(amount, unit.scale)
        if leaf.balance_minor + minor > 0:
            raise Refused(
                f"WRITE_OFF_ABOVE_DEBT: the balance is {show_amount(leaf.balance_minor, unit.scale)}, "
                f"{show_amount(minor, unit.scale)} {unit.code} are more than is owed",
                "WRITE_OFF_ABOVE_DEBT",
            )
        fund = (await connection.unit_with_policy(leaf.unit)).policy.policy.fund
        if not fund:
            raise Refused(
                f"FUND_UNKNOWN: the policy of units/{leaf.unit.hex()} names no fund (icn unit policy --fund)",
                "FUND_UNKNOWN",
            )
        pledged_minor = (await connection.account(fund)).leaf.terms.pledged_minor
        if minor > pledged_minor:
            raise Refused(
                f"PLEDGE_EXCEEDED: {show_amount(pledged_minor, unit.scale)} of the fund are pledged, "
                f"{show_amount(minor, unit.scale)} {unit.code} are asked for (icn account pledge)",
                "PLEDGE_EXCEEDED",
            )
        memo_hash = await told.seal(connection, fund, wanted, unit.authority)
        return Governed(
            credit.write_off(wanted, minor, memo_hash),
            unit.authority,
            "NOT_UNIT_AUTHORITY",
            {"account": wanted.hex(), "amount_minor": str(minor), "fund": fund.hex()},
            f"wrote off {show_amount(minor, unit.scale)} {unit.code} of accounts/{wanted.hex()}",
            memo=told,
            memo_of=f"accounts/{wanted.hex()}",
        )

    perform_governed(prepare, acting, as_action, keystore, data, as_json)


def close(  # noqa: PLR0917 - one parameter per option
    account: AccountArgument,
    remainder_to: Annotated[
        str | None,
        typer.Option("--remainder-to", metavar="ACCOUNT", help="Gets what is left; only the owner may."),
    ] = None,
    acting: ActingOption = None,
    as_action: ActionOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close an account for ever; an opening balance that waits is withdrawn. Its place is free again."""
    from icn_client.credit import close_account

    wanted = identifier(account, "ACCOUNT", "accounts")
    rest = b"" if remainder_to is None else identifier(remainder_to, "--remainder-to", "accounts")
    if rest and as_action:
        raise UsageError("--remainder-to: only the owner passes on what is left, no decision does")
    if rest == wanted:
        raise UsageError("--remainder-to: is the account itself")

    async def prepare(connection: Connection) -> Governed:
        leaf, unit = await _open_account(connection, wanted)
        passes_on = bool(rest) and leaf.balance_minor > 0
        if leaf.held_minor or leaf.terms.bonds or (leaf.balance_minor and not passes_on):
            raise Refused(
                f"ACCOUNT_IN_USE: balance {show_amount(leaf.balance_minor, unit.scale)}, held "
                f"{show_amount(leaf.held_minor, unit.scale)} {unit.code}, {leaf.terms.bonds} orders, "
                "sub-accounts or policies rest on it; what is left above zero can go to another account "
                "(--remainder-to)",
                "ACCOUNT_IN_USE",
            )
        return Governed(
            close_account(wanted, rest),
            leaf.owner if rest else unit.authority,
            "NOT_ACCOUNT_OWNER",
            {
                "account": wanted.hex(),
                "remainder_minor": str(leaf.balance_minor),
                "remainder_to": rest.hex(),
            },
            f"closed accounts/{wanted.hex()}",
            or_owner=leaf.owner,
        )

    perform_governed(prepare, acting, as_action, keystore, data, as_json)


def limits(
    name: Annotated[
        str, typer.Argument(metavar="ACCOUNT|units/ID", help="An account, or a unit with units/ before.")
    ],
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=CHANGES_MAX, help="How many, the newest first.")
    ] = CHANGES_DEFAULT,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was changed of limits, and by whom, newest first; with --json one object per line."""
    folder = "units" if name.startswith("units/") else "accounts"
    wanted = identifier(name, "ACCOUNT|units/ID", folder)

    async def read(connection: Connection) -> tuple[Any, list[Any]]:
        unit = wanted if folder == "units" else (await connection.account(wanted)).leaf.unit
        found = await connection.limit_changes(f"{folder}/{wanted.hex()}", limit)
        return await connection.unit(unit), found

    unit, found = with_connection(platform_directory(data), read)
    if as_json:
        for change in found:
            print_json(_change_document(change))
        return
    table(
        ("height", "time", "by", "what", "before", "after"),
        [
            (str(change.height), show_time(change.block_time_ms), change.set_by.hex(), *words)
            for change in found
            for words in _change_words(change, unit.scale)
        ],
    )


def _change_document(change: Any) -> dict[str, Any]:
    from icn_tally.polls.credit_actions import write_policy

    shown: dict[str, Any] = {
        "height": change.height,
        "index": change.index,
        "block_time_ms": str(change.block_time_ms),
        "transaction": change.transaction_id.hex(),
        "set_by": change.set_by.hex(),
        "unit": change.unit.hex(),
        "kind": change.WhichOneof("kind"),
    }
    if change.HasField("floor"):
        return {
            **shown,
            "account": change.floor.account.hex(),
            "previous_floor_minor": str(change.floor.previous_floor_minor),
            "floor_minor": str(change.floor.floor_minor),
        }
    before = change.policy.previous if change.policy.HasField("previous") else None
    return {
        **shown,
        "previous": None if before is None else write_policy(before),
        "policy": write_policy(change.policy.policy),
    }


def _change_words(change: Any, scale: int) -> list[tuple[str, str, str]]:
    """What, before and after, of a floor or of everything that a policy changed."""
    from icn_client.cli.unit_policies import policy_lines

    if change.HasField("floor"):
        floor = change.floor
        before, after = (floor_text(one, scale) for one in (floor.previous_floor_minor, floor.floor_minor))
        return [(f"floor of {floor.account.hex()}", before, after)]
    lines = zip(
        policy_lines(change.policy.previous, scale), policy_lines(change.policy.policy, scale), strict=True
    )
    return [(f"policy: {what}", before, after) for (what, before), (_, after) in lines if before != after]


async def _open_account(connection: Connection, account: bytes) -> tuple[Any, Any]:
    """Leaf of an account that is not closed, and of its unit. Raises Refused, DomainError."""
    leaf = (await connection.account(account)).leaf
    if leaf.terms.is_closed:
        raise Refused(f"ACCOUNT_CLOSED: accounts/{account.hex()} is closed", "ACCOUNT_CLOSED")
    return leaf, await connection.unit(leaf.unit)


def _check_owner(leaf: Any, principal: bytes) -> None:
    if leaf.owner != principal:
        raise Refused(
            f"NOT_ACCOUNT_OWNER: accounts/{leaf.account.hex()} is of principals/{leaf.owner.hex()}, the "
            f"identity is {principal.hex()}",
            "NOT_ACCOUNT_OWNER",
        )
