"""What `icn import` says of a sheet, of its members, and of where it and the ledger differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from icn_client.cli.common import show_amount
from icn_client.cli.output import print_json, print_text, say, table

if TYPE_CHECKING:
    from icn_client.spreadsheet import Comparison, Difference, Fault, Member, Sheet, Standing
    from icn_client.submitter import Outcome

DIFFERENCES_MAX = 1_000
"""So many are named; nobody mends more at once."""


def fault_text(fault: Fault) -> str:
    """A fault for people."""
    column = f", {fault.column}" if fault.column else ""
    return f"line {fault.line}{column}: {fault.reason}: {fault.message}"


def print_sheet(  # noqa: PLR0917 - what is known of it
    file: Path, sheet: Sheet, scale: int, as_json: bool, code: str = "", absent: set[bytes] | None = None
) -> None:
    """Say what a sheet holds. ``absent``: whom the ledger does not know, None offline."""
    faults = sorted(sheet.faults)
    to_admit = None if absent is None else sum(member.principal in absent for member in sheet.members)
    sum_minor = sheet.credits_minor - sheet.debts_minor
    if as_json:
        print_json(
            {
                "valid": sheet.fault_count == 0,
                "rows": sheet.row_count,
                "members": len(sheet.members),
                "to_admit": to_admit,
                "scale": scale,
                "credits_minor": str(sheet.credits_minor),
                "debts_minor": str(sheet.debts_minor),
                "sum_minor": str(sum_minor),
                "is_balanced": sum_minor == 0,
                "fault_count": sheet.fault_count,
                "faults": [fault._asdict() for fault in faults],
            }
        )
    else:
        for fault in faults:
            print_text(fault_text(fault))
        if sheet.fault_count > len(faults):
            print_text(f"and {sheet.fault_count - len(faults)} more faults")
        unit = f" {code}" if code else ""
        print_text(f"rows      {sheet.row_count}, of which {len(sheet.members)} can be taken")
        if to_admit is not None:
            print_text(f"to admit  {to_admit}")
        print_text(f"credits   {show_amount(sheet.credits_minor, scale)}{unit}")
        print_text(f"debts     {show_amount(sheet.debts_minor, scale)}{unit}")
        print_text(f"together  {show_amount(sum_minor, scale)}{unit}{'' if sum_minor else ': balanced'}")
    if sum_minor:
        more = (
            "more is owed to members than they owe"
            if sum_minor > 0
            else "members owe more than is owed to them"
        )
        say(f"icn: {file}: {more}, by {show_amount(abs(sum_minor), scale)}: that cannot be confirmed")


def print_members(
    sheet: Sheet, unit: Any, new: set[bytes], standings: Mapping[bytes, Standing], as_json: bool
) -> None:
    """Say of each member what became of it, and what it has still to do."""
    from icn_client.spreadsheet import Standing

    rows = [
        {
            "line": member.line,
            "name": member.name,
            "principal": member.principal.hex(),
            "is_new": member.principal in new,
            "opening_minor": str(member.opening_minor),
            **_left_to_do(member, standings.get(member.principal, Standing()), unit),
        }
        for member in sheet.members
    ]
    if as_json:
        print_json({"unit": unit.unit.hex(), "admitted": len(new), "members": rows})
    else:
        table(
            ("name", "brings", "state", "has to do, with its own name for itself"),
            [
                (
                    row["name"],
                    show_amount(int(row["opening_minor"]), unit.scale),
                    row["state"],
                    " ; ".join(row["to_do"]),
                )
                for row in rows
            ],
        )
    say(f"icn: {len(new)} of {len(rows)} members admitted, the others were there")


def _left_to_do(member: Member, standing: Standing, unit: Any) -> dict[str, Any]:
    """How a member stands, and the commands that it has left, with its sheet's name where that can be one."""
    from icn_client.keystore import is_name
    from icn_client.spreadsheet import difference

    acting = f"--as {member.name if is_name(member.name) else 'NAME'}"
    opening = f"icn account open --unit {unit.unit.hex()} {acting}"
    rest_minor = member.opening_minor - (standing.confirmed_minor or 0)
    if rest_minor:
        opening += f" --brings {Decimal(rest_minor).scaleb(-unit.scale):f}"
    reason = difference(member.opening_minor, standing)
    if not reason:
        if standing.waiting:
            return {"state": "waiting", "to_do": []}
        if standing.is_open or standing.confirmed_minor is not None:
            return {"state": "done", "to_do": []}
        return {"state": "missing", "to_do": [opening]}
    kept = next((account for account, claim in standing.waiting.items() if claim == rest_minor), None)
    to_do = [f"icn account close {one.hex()} {acting}" for one in standing.waiting if one != kept]
    if kept is None and rest_minor * member.opening_minor > 0:
        to_do.append(opening)
    return {"state": reason.lower(), "to_do": to_do}


def print_comparison(  # noqa: PLR0917 - what came of it
    file: Path,
    unit: Any,
    compared: Comparison,
    groups: Sequence[Sequence[bytes]],
    outcomes: Sequence[Outcome],
    as_json: bool,
) -> None:
    """Say where sheet and ledger differ, or which groups of accounts were confirmed, or could be."""
    count = len(compared.differences)
    differences = compared.differences[:DIFFERENCES_MAX]
    confirmed = len(compared.claims) if outcomes else 0
    if as_json:
        print_json(
            {
                "unit": unit.unit.hex(),
                "confirmed": confirmed,
                "done_before": compared.done,
                "groups": [[account.hex() for account in group] for group in groups],
                "transactions": [
                    {"transaction": one.signed.transaction_id.hex(), "height": one.height} for one in outcomes
                ],
                "difference_count": count,
                "differences": [_difference_document(one) for one in differences],
            }
        )
    else:
        for one in differences:
            print_text(_difference_text(one, unit.scale))
        print_text(f"confirmed {confirmed} accounts; {compared.done} members had nothing left to confirm")
    if count:
        say(f"icn: {file}: {count} differences from the ledger, nothing was confirmed")


def _difference_document(one: Difference) -> dict[str, Any]:
    return {
        "line": one.line,
        "name": one.name,
        "principal": one.principal.hex(),
        "reason": one.reason,
        "expected_minor": None if one.expected_minor is None else str(one.expected_minor),
        "confirmed_minor": str(one.standing.confirmed_minor or 0),
        "waiting": [
            {"account": account.hex(), "opening_minor": str(claim)}
            for account, claim in one.standing.waiting.items()
        ],
    }


def _difference_text(one: Difference, scale: int) -> str:
    place = "not on the sheet" if one.line is None else f"line {one.line}, {one.name}"
    told = [f"{place}: {one.reason}: principals/{one.principal.hex()}"]
    if one.expected_minor is not None:
        told.append(f"brings {show_amount(one.expected_minor, scale)}")
    if one.standing.confirmed_minor is not None:
        told.append(f"{show_amount(one.standing.confirmed_minor, scale)} were confirmed")
    told += (
        f"accounts/{account.hex()} waits with {show_amount(claim, scale)}"
        for account, claim in one.standing.waiting.items()
    )
    return ", ".join(told)
