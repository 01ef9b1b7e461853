"""`icn unit`: units of account, their policies, opening balances, periods."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from icn_client.cli.common import (
    ActingOption,
    ActionOption,
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    amount_minor,
    command_group,
    identifier,
    organization_identifier,
    parse_time_ms,
    platform_directory,
    show_amount,
    show_time,
    with_connection,
)
from icn_client.cli.governing import Governed, perform_governed
from icn_client.cli.output import Refused, UsageError, print_json, print_text, table
from icn_client.cli.signing import perform_and_print

if TYPE_CHECKING:
    from icn_client.connection import Connection

DIGEST_BYTES: Final = 32
NOBODY: Final = "none"
_SHARE: Final = re.compile(r"([0-9]{1,7})(?:\.([0-9]{1,12}))?(%?)")
_PPM_DIGITS: Final = 6

UnitArgument = Annotated[str, typer.Argument(metavar="UNIT", help="Id of the unit.")]

_CREATE_EXAMPLES = """\b
Examples:
  icn unit create HOURS --as sunrise-bakery
  icn unit create HOURS --as sunrise-bakery --scale 2 --floor -40
  icn unit create HOURS --as sunrise-bakery --authority authorities/7f3a…
"""
_LIST_EXAMPLES = """\b
Examples:
  icn unit list
  icn unit list --json
"""
_SHOW_EXAMPLES = """\b
Examples:
  icn unit show UNIT
  icn unit show units/91c2… --json
"""
_POLICY_EXAMPLES = """\b
Examples:
  icn unit policy UNIT --growth 50% --growth-max 400 --counterparty-max 60 --as sunrise-bakery
  icn unit policy UNIT --fee-share 0.25% --fund ACCOUNT --as sunrise-bakery    the rest stays as it is
  icn unit policy UNIT --demurrage 1% --demurrage-days 30 --action > actions.json
  icn proposal draft --organization FEDERATION --title "Demurrage" --question "Shall we?" \\
      --actions actions.json --as harvest-farm
"""
_OPENINGS_EXAMPLES = """\b
Examples:
  icn unit openings UNIT                                what members bring and nobody has confirmed
  icn unit openings UNIT ACCOUNT ACCOUNT ACCOUNT --as sunrise-bakery
"""
_CLOSE_EXAMPLES = """\b
Examples:
  icn unit close-period UNIT --end 2026-04-01 --as sunrise-bakery
  icn unit close-period UNIT --end 2026-04-01 --action > actions.json
"""
_DEMURRAGE_EXAMPLES = """\b
Examples:
  icn unit demurrage ACCOUNT ACCOUNT --as sunrise-bakery
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Units of account, their policies and books.")
    group.command("create", epilog=_CREATE_EXAMPLES)(create_unit)
    group.command("list", epilog=_LIST_EXAMPLES)(list_units)
    group.command("show", epilog=_SHOW_EXAMPLES)(show)
    group.command("policy", epilog=_POLICY_EXAMPLES)(set_policy)
    group.command("openings", epilog=_OPENINGS_EXAMPLES)(openings)
    group.command("close-period", epilog=_CLOSE_EXAMPLES)(close_period)
    group.command("demurrage", epilog=_DEMURRAGE_EXAMPLES)(demurrage)
    app.add_typer(group, name="unit")


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
            print_json(unit_document(unit))
        return
    table(
        ("unit", "code", "scale", "default floor"),
        [
            (unit.unit.hex(), unit.code, str(unit.scale), show_amount(unit.default_floor_minor, unit.scale))
            for unit in found
        ],
    )


def unit_document(unit: Any) -> dict[str, Any]:
    """A unit's leaf as JSON shows it."""
    return {
        "unit": unit.unit.hex(),
        "code": unit.code,
        "scale": unit.scale,
        "issuer": unit.issuer.hex(),
        "authority": unit.authority.hex(),
        "default_floor_minor": str(unit.default_floor_minor),
    }


def show(unit: UnitArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Show a unit: who governs it, its policy, the newest period that was closed."""
    from icn_tally.polls.credit_actions import write_policy

    wanted = identifier(unit, "UNIT", "units")
    found = with_connection(platform_directory(data), lambda connection: connection.unit_with_policy(wanted))
    leaf, policy, period = found.unit, found.policy, found.period
    has_policy, has_period = found.HasField("policy"), found.HasField("period")
    if as_json:
        print_json(
            {
                **unit_document(leaf),
                "policy": write_policy(policy.policy) if has_policy else None,
                "policy_set_time_ms": str(policy.set_time_ms) if has_policy else None,
                "period": {
                    "end_time_ms": str(period.end_time_ms),
                    "digest": period.digest.hex(),
                    "height": str(period.height),
                    "closed_by": period.closed_by.hex(),
                }
                if has_period
                else None,
            }
        )
        return
    print_text(f"unit           {leaf.unit.hex()}")
    print_text(f"code           {leaf.code}, {leaf.scale} decimal places")
    print_text(f"issuer         {leaf.issuer.hex()}")
    print_text(f"authority      {leaf.authority.hex()}")
    print_text(f"default floor  {show_amount(leaf.default_floor_minor, leaf.scale)} {leaf.code}")
    if has_policy:
        print_text(f"policy         since {show_time(policy.set_time_ms)}")
        for what, value in policy_lines(policy.policy, leaf.scale):
            print_text(f"  {what:<22} {value}")
    else:
        print_text("policy         none: limits do not grow, nothing is taken")
    if has_period:
        print_text(f"books closed   up to {show_time(period.end_time_ms)}, digest {period.digest.hex()}")


def set_policy(  # noqa: PLR0917 - one parameter per option
    unit: UnitArgument,
    growth: Annotated[
        str | None,
        typer.Option("--growth", metavar="SHARE", help="Of cleared trade, by which limits grow: 50% or 0.5."),
    ] = None,
    growth_max: Annotated[
        str | None, typer.Option("--growth-max", metavar="AMOUNT", help="The most by which a limit grows.")
    ] = None,
    counterparty_max: Annotated[
        str | None,
        typer.Option(
            "--counterparty-max", metavar="AMOUNT", help="The most that counts of what one pays another."
        ),
    ] = None,
    soft: Annotated[
        str | None,
        typer.Option("--soft", metavar="SHARE", help="Soft limit as a share of the limit; 0 for none."),
    ] = None,
    fee: Annotated[
        str | None, typer.Option("--fee", metavar="AMOUNT", help="What each payment costs who receives it.")
    ] = None,
    fee_share: Annotated[
        str | None,
        typer.Option("--fee-share", metavar="SHARE", help="Beside that, of the amount; up to 10%."),
    ] = None,
    fee_max: Annotated[
        str | None,
        typer.Option("--fee-max", metavar="AMOUNT", help="The most a payment costs; 0 for no such bound."),
    ] = None,
    demurrage_share: Annotated[
        str | None,
        typer.Option("--demurrage", metavar="SHARE", help="Of balances above zero, regularly; up to 10%."),
    ] = None,
    demurrage_days: Annotated[
        int | None,
        typer.Option("--demurrage-days", metavar="DAYS", min=0, max=366, help="Days between two times."),
    ] = None,
    demurrage_free: Annotated[
        str | None,
        typer.Option("--demurrage-free", metavar="AMOUNT", help="What stays free on main accounts."),
    ] = None,
    fund: Annotated[
        str | None,
        typer.Option("--fund", metavar="ACCOUNT|none", help="Takes fees and demurrage, bears write-offs."),
    ] = None,
    freezer: Annotated[
        str | None,
        typer.Option("--freezer", metavar="ID|none", help="Who may freeze accounts; none: the authority."),
    ] = None,
    acting: ActingOption = None,
    as_action: ActionOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a unit's policy, from the next block on. What is not named stays as it is in force."""
    from icn_tally.polls.credit_actions import write_policy

    from icn_client import credit

    wanted = identifier(unit, "UNIT", "units")
    shares = {
        "growth_ppm": (growth, "--growth", credit.PPM),
        "soft_ppm": (soft, "--soft", credit.PPM - 1),
        "fee_ppm": (fee_share, "--fee-share", credit.PPM // 10),
        "demurrage_ppm": (demurrage_share, "--demurrage", credit.PPM // 10),
    }
    changes: dict[str, Any] = {
        name: share_ppm(text, option, highest)
        for name, (text, option, highest) in shares.items()
        if text is not None
    }
    if demurrage_days is not None:
        changes["demurrage_days"] = demurrage_days
    if fund is not None:
        changes["fund"] = b"" if fund == NOBODY else identifier(fund, "--fund", "accounts")
    if freezer is not None:
        changes["freezer"] = b"" if freezer == NOBODY else organization_identifier(freezer, "--freezer")
    amounts = {
        "growth_max_minor": (growth_max, "--growth-max"),
        "counterparty_max_minor": (counterparty_max, "--counterparty-max"),
        "fee_fixed_minor": (fee, "--fee"),
        "fee_max_minor": (fee_max, "--fee-max"),
        "demurrage_free_minor": (demurrage_free, "--demurrage-free"),
    }

    async def prepare(connection: Connection) -> Governed:
        found = await connection.unit_with_policy(wanted)
        leaf, before = found.unit, found.policy.policy
        for name, (text, option) in amounts.items():
            if text is not None:
                changes[name] = amount_minor(text, leaf.scale, option)
        after = type(before)()
        after.CopyFrom(before)
        for name, value in changes.items():
            setattr(after, name, value)
        if after == before and found.HasField("policy"):
            raise UsageError("the policy would stay as it is: name what to change")
        _check_policy(after)
        if after.fund:
            await _check_fund(connection, after.fund, leaf)
        has_before = found.HasField("policy")
        rows = zip(policy_lines(before, leaf.scale), policy_lines(after, leaf.scale), strict=True)
        return Governed(
            credit.set_unit_policy(wanted, after),
            leaf.authority,
            "NOT_UNIT_AUTHORITY",
            {
                "unit": wanted.hex(),
                "previous": write_policy(before) if has_before else None,
                "policy": write_policy(after),
            },
            f"set the policy of units/{wanted.hex()}",
            [
                f"{what:<22} {old if has_before else '-':>14}  {'->' if old != new else '  '} {new}"
                for (what, old), (_, new) in rows
            ],
        )

    perform_governed(prepare, acting, as_action, keystore, data, as_json)


def _check_policy(policy: Any) -> None:
    """The rules of the ledger that bind several options. Raises UsageError."""
    if policy.growth_ppm and not (policy.growth_max_minor and policy.counterparty_max_minor):
        raise UsageError("--growth: growth asks for --growth-max and --counterparty-max above 0")
    if bool(policy.demurrage_ppm) != bool(policy.demurrage_days):
        raise UsageError("--demurrage and --demurrage-days go together: both above 0, or both 0")
    if (policy.fee_fixed_minor or policy.fee_ppm or policy.demurrage_ppm) and not policy.fund:
        raise UsageError("--fund: fees and demurrage need an account that takes them")


async def _check_fund(connection: Connection, fund: bytes, unit: Any) -> None:
    leaf = (await connection.account(fund)).leaf
    if leaf.unit != unit.unit:
        raise Refused(f"FUND_UNKNOWN: accounts/{fund.hex()} is of units/{leaf.unit.hex()}", "FUND_UNKNOWN")
    if leaf.owner != unit.authority and not leaf.terms.pledged_minor:
        raise Refused(
            f"FUND_UNPLEDGED: accounts/{fund.hex()} is not the authority's, and its owner has "
            "pledged nothing (icn account pledge)",
            "FUND_UNPLEDGED",
        )


def policy_lines(policy: Any, scale: int) -> list[tuple[str, str]]:
    """Everything a policy says, name and value, for people."""
    from icn_tally.polls.credit_actions import percent

    def amount(minor: int) -> str:
        return show_amount(minor, scale)

    return [
        ("growth", percent(policy.growth_ppm)),
        ("growth, at most", amount(policy.growth_max_minor)),
        ("counts per other owner", amount(policy.counterparty_max_minor)),
        ("soft limit", percent(policy.soft_ppm) if policy.soft_ppm else NOBODY),
        ("fee", f"{amount(policy.fee_fixed_minor)} + {percent(policy.fee_ppm)}"),
        ("fee, at most", amount(policy.fee_max_minor) if policy.fee_max_minor else NOBODY),
        ("demurrage", percent(policy.demurrage_ppm)),
        ("demurrage, each", f"{policy.demurrage_days} days"),
        ("demurrage, free", amount(policy.demurrage_free_minor)),
        ("fund", policy.fund.hex() or NOBODY),
        ("freezer", policy.freezer.hex() or "authority"),
    ]


def share_ppm(text: str, what: str, highest: int) -> int:
    """A share such as ``50%``, ``0.25%`` or ``0.5`` in millionths, exactly.

    Raises:
        UsageError: it is none, is finer than a millionth, or above ``highest``.
    """
    matched = _SHARE.fullmatch(text) if text.isascii() else None
    if matched is None:
        raise UsageError(f"{what}: {text[:40]!r} is not a share such as 50%, 0.25% or 0.5")
    places = _PPM_DIGITS - (2 if matched[3] else 0)
    fraction = (matched[2] or "").rstrip("0")
    if len(fraction) > places:
        raise UsageError(f"{what}: {text} is finer than a millionth")
    found = int(matched[1] + fraction.ljust(places, "0"))
    if found > highest:
        raise UsageError(f"{what}: {text} is {found} millionths, at most {highest} are allowed")
    return found


def openings(  # noqa: PLR0917 - one parameter per option
    unit: UnitArgument,
    accounts: Annotated[
        list[str] | None,
        typer.Argument(metavar="ACCOUNT…", help="Confirmed together; without any: list what waits."),
    ] = None,
    acting: ActingOption = None,
    as_action: ActionOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Confirm the balances that members bring (icn account open --brings), together 0; or list them."""
    from icn_client import credit

    wanted = identifier(unit, "UNIT", "units")
    named = [identifier(one, "ACCOUNT", "accounts") for one in accounts or ()]
    if not named:
        if acting is not None or as_action:
            raise UsageError("ACCOUNT: name the accounts to confirm")
        _list_openings(wanted, platform_directory(data), as_json)
        return
    if len(set(named)) != len(named):
        raise UsageError("ACCOUNT: one is named twice")
    if not 2 <= len(named) <= credit.OPENINGS_MAX:
        raise UsageError(f"ACCOUNT: {len(named)} named, 2 to {credit.OPENINGS_MAX} are confirmed together")

    async def prepare(connection: Connection) -> Governed:
        leaf = await connection.unit(wanted)
        claims = [await _claim(connection, account, leaf) for account in named]
        debts_minor = -sum(claim for claim in claims if claim < 0)
        credits_minor = sum(claim for claim in claims if claim > 0)
        if debts_minor != credits_minor:
            raise Refused(
                f"OPENINGS_UNBALANCED: debts of {show_amount(debts_minor, leaf.scale)}, credits of "
                f"{show_amount(credits_minor, leaf.scale)} {leaf.code}",
                "OPENINGS_UNBALANCED",
            )
        return Governed(
            credit.confirm_openings(wanted, named),
            leaf.authority,
            "NOT_UNIT_AUTHORITY",
            {"unit": wanted.hex(), "accounts": len(named), "credits_minor": str(credits_minor)},
            f"confirmed {len(named)} accounts: {show_amount(credits_minor, leaf.scale)} {leaf.code} owed",
        )

    perform_governed(prepare, acting, as_action, keystore, data, as_json)


async def _claim(connection: Connection, account: bytes, unit: Any) -> int:
    """What an account waits to bring, minor units. Raises Refused."""
    leaf = (await connection.account(account)).leaf
    if leaf.unit != unit.unit:
        raise Refused(
            f"UNIT_MISMATCH: accounts/{account.hex()} is of units/{leaf.unit.hex()}", "UNIT_MISMATCH"
        )
    if not leaf.terms.is_opening:
        raise Refused(
            f"OPENING_UNKNOWN: accounts/{account.hex()} waits for no confirmation", "OPENING_UNKNOWN"
        )
    return int(leaf.terms.opening_minor)


def _list_openings(unit: bytes, directory: Path, as_json: bool) -> None:
    async def read(connection: Connection) -> tuple[Any, list[Any]]:
        leaf = await connection.unit(unit)
        return leaf, [
            account.leaf
            async for account in connection.accounts()
            if account.leaf.unit == unit and account.leaf.terms.is_opening
        ]

    leaf, waiting = with_connection(directory, read)
    total_minor = sum(account.terms.opening_minor for account in waiting)
    if as_json:
        print_json(
            {
                "unit": unit.hex(),
                "sum_minor": str(total_minor),
                "waiting": [
                    {
                        "account": account.account.hex(),
                        "owner": account.owner.hex(),
                        "opening_minor": str(account.terms.opening_minor),
                    }
                    for account in waiting
                ],
            }
        )
        return
    table(
        ("account", "owner", "brings"),
        [
            (
                account.account.hex(),
                account.owner.hex(),
                show_amount(account.terms.opening_minor, leaf.scale),
            )
            for account in waiting
        ],
    )
    print_text(f"together {show_amount(total_minor, leaf.scale)} {leaf.code}; 0 can be confirmed")


def close_period(  # noqa: PLR0917 - one parameter per option
    unit: UnitArgument,
    end: Annotated[
        str, typer.Option("--end", metavar="TIME", help="First day or time (UTC) behind the period.")
    ],
    digest: Annotated[
        str | None,
        typer.Option("--digest", metavar="HEX", help="Of the trial balance, where it was made elsewhere."),
    ] = None,
    acting: ActingOption = None,
    as_action: ActionOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a unit's books up to a time: the authority's word that it looked at the balances of then.

    The trial balance is made of what the ledger shows, which takes a read of every account; anybody who has
    the archive can compare its digest.
    """
    from icn_chain.trial_balance import trial_balance_digest

    from icn_client import credit
    from icn_client.trial_balance import trial_balance

    wanted = identifier(unit, "UNIT", "units")
    end_ms = parse_time_ms(end, "--end")
    given = None if digest is None else identifier(digest, "--digest", "digests", DIGEST_BYTES)

    async def prepare(connection: Connection) -> Governed:
        found = await connection.unit_with_policy(wanted)
        if end_ms < found.period.end_time_ms:
            raise Refused(
                f"PERIOD_CLOSED: closed up to {show_time(found.period.end_time_ms)} already, "
                f"{show_time(end_ms)} is earlier",
                "PERIOD_CLOSED",
            )
        balances = {} if given else await trial_balance(connection, wanted, end_ms)
        made = given or trial_balance_digest(connection.genesis.hash, balances)
        scale, code = found.unit.scale, found.unit.code
        return Governed(
            credit.close_period(wanted, end_ms, made),
            found.unit.authority,
            "NOT_UNIT_AUTHORITY",
            {
                "unit": wanted.hex(),
                "end_time_ms": str(end_ms),
                "digest": made.hex(),
                "balances": {account.hex(): str(minor) for account, minor in sorted(balances.items())},
            },
            f"closed the books of units/{wanted.hex()} up to {show_time(end_ms)}, digest {made.hex()}",
            [
                f"{account.hex()}  {show_amount(minor, scale):>20} {code}"
                for account, minor in sorted(balances.items())
            ],
        )

    perform_governed(prepare, acting, as_action, keystore, data, as_json)


def demurrage(
    accounts: Annotated[list[str], typer.Argument(metavar="ACCOUNT…", help="1 to 64 of one unit.")],
    acting: AsOption,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take the demurrage that is due of accounts; whoever pays for the transaction may."""
    from icn_client import credit

    named = [identifier(one, "ACCOUNT", "accounts") for one in accounts]
    if len(set(named)) != len(named):
        raise UsageError("ACCOUNT: one is named twice")
    if len(named) > credit.DEMURRAGE_ACCOUNTS_MAX:
        raise UsageError(
            f"ACCOUNT: {len(named)} named, at most {credit.DEMURRAGE_ACCOUNTS_MAX} are charged together"
        )
    shown = {"accounts": [account.hex() for account in named]}
    text = f"took what was due of {len(named)} accounts"
    perform_and_print(credit.charge_demurrage(named), shown, text, acting, keystore, data, as_json)
