"""`icn unit policy`: what a unit asks of payments, and how far its limits grow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from icn_machine.limits import PPM

from icn_client.cli.common import (
    ActingOption,
    ActionOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    UnitArgument,
    amount_minor,
    identifier,
    organization_identifier,
    show_amount,
)
from icn_client.cli.governing import Governed, perform_governed
from icn_client.cli.output import Refused, UsageError

if TYPE_CHECKING:
    from icn_client.connection import Connection

NOBODY: Final = "none"
_SHARE: Final = re.compile(r"([0-9]{1,7})(?:\.([0-9]{1,12}))?(%?)")
_PPM_DIGITS: Final = 6

_POLICY_EXAMPLES = """\b
Examples:
  icn unit policy UNIT --growth 50% --growth-max 400 --counterparty-max 60 --as sunrise-bakery
  icn unit policy UNIT --fee-share 0.25% --fund ACCOUNT --as sunrise-bakery    the rest stays as it is
  icn unit policy UNIT --demurrage 1% --demurrage-days 30 --action > actions.json
  icn proposal draft --organization FEDERATION --title "Demurrage" --question "Shall we?" \\
      --actions actions.json --as harvest-farm
"""


def add_to(group: typer.Typer) -> None:
    """Add the command to `icn unit`."""
    group.command("policy", epilog=_POLICY_EXAMPLES)(set_policy)


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
        "growth_ppm": (growth, "--growth", PPM),
        "soft_ppm": (soft, "--soft", PPM - 1),
        "fee_ppm": (fee_share, "--fee-share", PPM // 10),
        "demurrage_ppm": (demurrage_share, "--demurrage", PPM // 10),
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
