"""`icn import`: members and what they bring, from a bookkeeper's spreadsheet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    command_group,
    identifier,
    open_identity,
    platform_directory,
    show_amount,
    with_connection,
)
from icn_client.cli.import_answers import fault_text, print_comparison, print_members, print_sheet
from icn_client.cli.output import (
    EXIT_REFUSED,
    Refused,
    UsageError,
    progress,
    say,
)
from icn_client.cli.signing import DELAY_DEFAULT, NO_GUARDIAN, DelayOption, policy_of, read_public_part

if TYPE_CHECKING:
    from icn_client.connection import Connection
    from icn_client.spreadsheet import Member, Sheet, Standing
    from icn_client.submitter import Outcome

SAID_MAX = 20
"""Bad rows named one by one where something else was asked for; `icn import check` names more."""
KEYS_MAX = 16
"""Of a controller (docs/spec/transaction.md, "Bytes")."""

FileArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FILE.csv",
        help="Columns name, member (id, or file of the public part) and opening.",
        readable=False,
    ),
]
ChangedKeysOption = Annotated[
    bool,
    typer.Option(
        "--allow-changed-keys", help="Take members whose keys on the ledger are not those of their files."
    ),
]
UnitOption = Annotated[str, typer.Option("--unit", metavar="UNIT", help="Id of the unit.")]

_EXAMPLES = """\b
Examples:
  icn import check members.csv --scale 2                          offline
  icn import check members.csv --unit UNIT
  icn import members members.csv --unit UNIT --as sunrise-bakery  admits who is not there yet
  icn import confirm members.csv --unit UNIT --as sunrise-bakery  once all have opened what they bring
The sheet is CSV (UTF-8, comma or semicolon) with a header:
  name,member,opening
  Anna,anna.public.json,-120.50
"""
_CHECK_EXAMPLES = """\b
Examples:
  icn import check members.csv --scale 2
  icn import check members.csv --unit UNIT --json
"""
_MEMBERS_EXAMPLES = """\b
Examples:
  icn import members members.csv --unit UNIT --as sunrise-bakery
  icn import members members.csv --unit UNIT --as sunrise-bakery --guardian none
"""
_CONFIRM_EXAMPLES = """\b
Examples:
  icn import confirm members.csv --unit UNIT --as sunrise-bakery
  icn import confirm members.csv --unit UNIT --as sunrise-bakery --leave-others
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Members and their opening balances, from a spreadsheet.", _EXAMPLES)
    group.command("check", epilog=_CHECK_EXAMPLES)(check)
    group.command("members", epilog=_MEMBERS_EXAMPLES)(members)
    group.command("confirm", epilog=_CONFIRM_EXAMPLES)(confirm)
    app.add_typer(group, name="import")


def check(  # noqa: PLR0917 - one parameter per option
    file: FileArgument,
    unit: Annotated[
        str | None, typer.Option("--unit", metavar="UNIT", help="Ask the platform for scale and principals.")
    ] = None,
    scale: Annotated[
        int | None, typer.Option("--scale", min=0, max=9, help="Decimal places, to check offline.")
    ] = None,
    allow_changed_keys: ChangedKeysOption = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name every bad row of a sheet with line, column and reason, and sum what members bring. Sends nothing.
    Exit 1 with bad rows.
    """
    if (unit is None) == (scale is None):
        raise UsageError("give either --unit UNIT or --scale N")
    if scale is not None:
        sheet = _read(file, scale)
        print_sheet(file, sheet, scale, as_json)
    else:
        directory = platform_directory(data)
        leaf = _unit_of(directory, unit or "")
        sheet = _read(file, leaf.scale)
        absent = _look_up(directory, file, sheet, allow_changed_keys)
        print_sheet(file, sheet, leaf.scale, as_json, leaf.code, absent)
    if sheet.fault_count:
        raise SystemExit(EXIT_REFUSED)


def members(  # noqa: PLR0917 - one parameter per option
    file: FileArgument,
    unit: UnitOption,
    acting: AsOption,
    guardian: Annotated[
        str | None,
        typer.Option(
            "--guardian",
            metavar="PRINCIPAL|none",
            help="Who may give members new keys when the old are lost; by default the acting co-op.",
        ),
    ] = None,
    delay: DelayOption = DELAY_DEFAULT,
    allow_changed_keys: ChangedKeysOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Admit the sheet's members that are not there yet, and say what each has still to do. Only with no bad
    row; run again, it does what is missing.
    """
    from icn_client import importing

    named = policy_of(NO_GUARDIAN if guardian is None else guardian, delay, "--guardian")
    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    policy = policy_of(identity.principal.hex(), delay, "--guardian") if guardian is None else named
    leaf = _unit_of(directory, unit)
    sheet = _read(file, leaf.scale)
    absent = _look_up(directory, file, sheet, allow_changed_keys)
    _refuse_faults(file, sheet)
    new = [member for member in sheet.members if member.principal in absent]
    there = [member.principal for member in sheet.members if member.principal not in absent]

    def place(sent: int, count: int) -> str:
        return f"lines {new[sent].line} to {new[sent + count - 1].line}, with {sent} admitted before them"

    async def work(connection: Connection) -> dict[bytes, Standing]:
        with progress("looked at") as shown:
            found = await importing.standings(connection, leaf.unit, there, tell=shown.update)
        opened = (_open_controller(file, member, policy) for member in new)
        with progress("members admitted", len(new)) as shown:
            await importing.perform_all(connection, identity, opened, place, shown.update)
        return found

    print_members(sheet, leaf, absent, with_connection(directory, work), as_json)


def confirm(  # noqa: PLR0917 - one parameter per option
    file: FileArgument,
    unit: UnitOption,
    acting: AsOption,
    leave_others: Annotated[
        bool, typer.Option("--leave-others", help="Whoever else waits in the unit goes on waiting.")
    ] = False,
    allow_changed_keys: ChangedKeysOption = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold what members opened against the sheet, and confirm it all, as the unit's authority. Names every
    difference, and confirms nothing where there is one. Exit 1 then.
    """
    from icn_client import credit, importing
    from icn_client.spreadsheet import compare

    directory = platform_directory(data)
    identity = open_identity(acting, keystore, directory)
    leaf = _unit_of(directory, unit)
    sheet = _read(file, leaf.scale)
    if not allow_changed_keys:
        _check_keys(file, sheet, _controllers(directory, [one for one in sheet.members if one.public_part]))
    _refuse_faults(file, sheet)
    listed = [member.principal for member in sheet.members]

    async def look(connection: Connection) -> dict[bytes, Standing]:
        with progress("looked at") as shown:
            return await importing.standings(
                connection, leaf.unit, listed, with_others=not leave_others, tell=shown.update
            )

    compared = compare(sheet.members, with_connection(directory, look))
    if compared.differences:
        print_comparison(file, leaf, compared, [], [], as_json)
        raise SystemExit(EXIT_REFUSED)
    groups = _groups(compared.claims, leaf) if compared.claims else []
    if leaf.authority != identity.principal:
        print_comparison(file, leaf, compared, groups, [], as_json)
        raise Refused(
            f"NOT_UNIT_AUTHORITY: all agree; {leaf.code} is confirmed by {leaf.authority.hex()}, "
            f"and {identity.name} is {identity.principal.hex()}",
            "NOT_UNIT_AUTHORITY",
        )

    def place(sent: int, count: int) -> str:
        return f"groups {sent + 1} to {sent + count}, with {sent} confirmed before them"

    async def work(connection: Connection) -> list[Outcome]:
        messages = (credit.confirm_openings(leaf.unit, group) for group in groups)
        with progress("groups confirmed", len(groups)) as shown:
            return await importing.perform_all(connection, identity, messages, place, shown.update)

    outcomes = with_connection(directory, work) if groups else []
    print_comparison(file, leaf, compared, groups, outcomes, as_json)


def _unit_of(directory: Path, unit: str) -> Any:
    wanted = identifier(unit, "--unit", "units")
    return with_connection(directory, lambda connection: connection.unit(wanted))


def _look_up(directory: Path, file: Path, sheet: Sheet, allow_changed_keys: bool) -> set[bytes]:
    """Principals of the sheet that the ledger does not know; those without a public part become bad rows, and
    unless they are allowed those that it knows with other keys."""
    from icn_client.spreadsheet import Fault

    known = _controllers(directory, sheet.members)
    absent = {member.principal for member in sheet.members} - known.keys()
    for member in sheet.members:
        if member.principal in absent and not member.public_part:
            shown = f"principals/{member.principal.hex()}"
            text = f"the ledger does not know {shown}: name the file of the public part, to admit it"
            sheet.add_fault(Fault(member.line, "member", "PRINCIPAL_UNKNOWN", text))
    sheet.members = [one for one in sheet.members if one.principal not in absent or one.public_part]
    if not allow_changed_keys:
        _check_keys(file, sheet, known)
    return absent


def _controllers(directory: Path, members: Sequence[Member]) -> dict[bytes, Any]:
    """Leaves of those members' principals that the ledger knows."""
    from icn_client import importing

    async def work(connection: Connection) -> dict[bytes, Any]:
        with progress("members looked up", len(members)) as shown:
            listed = [member.principal for member in members]
            return await importing.controllers(connection, listed, shown.update)

    return with_connection(directory, work)


def _check_keys(file: Path, sheet: Sheet, known: Mapping[bytes, Any]) -> None:
    """Make bad rows of those whose file has other keys than the ledger: whoever saw an id first could have
    opened it, with keys of its own."""
    from icn_client.spreadsheet import CellFault, Fault

    taken = []
    for member in sheet.members:
        controller = known.get(member.principal)
        try:
            if controller is not None and member.public_part:
                _compare_keys(*_keys_of(file, member), controller)
        except CellFault as error:
            sheet.add_fault(Fault(member.line, "member", error.reason, str(error)))
        else:
            taken.append(member)
    sheet.members = taken


def _compare_keys(threshold: int, keys: Sequence[Any], controller: Any) -> None:
    """Raises CellFault. A scoped key beside the file's is another one too: it may be somebody else's."""
    from icn_client.spreadsheet import CellFault
    from icn_client.transactions import controller_key_id

    wanted = {controller_key_id(key) for key in keys}
    found = {controller_key_id(key) for key in controller.keys}
    is_scoped = any(key.HasField("scope") for key in controller.keys)
    if (threshold, wanted) != (controller.threshold, found) or is_scoped:
        raise CellFault(
            "KEYS_DIFFER",
            f"principals/{controller.principal.hex()} is on the ledger with {len(found)} keys, "
            f"{len(found & wanted)} of them among the file's {len(wanted)}, and threshold "
            f"{controller.threshold}, in the file {threshold}: ask the member; --allow-changed-keys takes "
            "keys that it changed itself",
        )


def _read(file: Path, scale: int) -> Sheet:
    """The sheet, checked as far as that goes without a platform. Raises Refused."""
    from icn_client.spreadsheet import read_sheet

    try:
        return read_sheet(_lines(file), scale, lambda name: _public_part(file, name)[0])
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}", "FILE_UNREADABLE") from None


def _lines(file: Path) -> Iterator[bytes]:
    from icn_client.spreadsheet import LINE_BYTES_MAX

    with file.open("rb") as content:
        while line := content.readline(LINE_BYTES_MAX + 1):
            yield line


def _public_part(sheet: Path, name: str) -> tuple[bytes, int, list[Any]]:
    """As `read_public_part`, of a file named from the sheet's folder, with keys that can be registered.

    Raises:
        CellFault: it is none.
    """
    from icn_crypto.suites import InvalidPublicKey, check_public_key

    from icn_client.spreadsheet import CellFault

    path = (sheet.parent / name).absolute()  # so that "-" is no standard input
    try:
        if not path.is_file():
            raise CellFault("FILE_UNREADABLE", f"{name[:80]!r} is no id of 32 hex digits, and no file")
        principal, threshold, keys = read_public_part(path)
        publics = [public for key in keys for public in key.public_keys]
        for public in publics:
            check_public_key(public.suite, public.public_key)
    except OSError as error:
        raise CellFault("FILE_UNREADABLE", f"{name[:80]!r}: {error.strerror}") from None
    except Refused as error:
        raise CellFault(error.reason, str(error)) from None
    except InvalidPublicKey as error:
        raise CellFault("PUBLIC_PART_INVALID", f"{path}: a public key: {error}") from None
    if len(keys) > KEYS_MAX or len({public.public_key for public in publics}) < len(publics):
        raise CellFault("PUBLIC_PART_INVALID", f"{path}: {len(keys)} keys, at most {KEYS_MAX}, none twice")
    return principal, threshold, keys


def _open_controller(sheet: Path, member: Member, policy: Any) -> Any:
    """The message that admits a member. Raises Refused: its file is not as it was when it was checked."""
    from icn_client.spreadsheet import CellFault
    from icn_client.transactions import open_controller

    try:
        threshold, keys = _keys_of(sheet, member)
    except CellFault as error:
        raise Refused(f"{sheet}: line {member.line}, member: {error}", error.reason) from None
    return open_controller(member.principal, threshold, keys, policy)


def _keys_of(sheet: Path, member: Member) -> tuple[int, list[Any]]:
    """Threshold and keys of a member's file. Raises CellFault: it is not as it was when it was checked."""
    from icn_client.spreadsheet import CellFault

    principal, threshold, keys = _public_part(sheet, member.public_part)
    if principal != member.principal:
        raise CellFault("PUBLIC_PART_INVALID", f"it is of principals/{principal.hex()} now")
    return threshold, keys


def _groups(claims: Mapping[bytes, int], unit: Any) -> list[list[bytes]]:
    """Groups that can be confirmed. Raises Refused."""
    from icn_client.balanced_groups import NoGroups, balanced_groups

    credits_minor = sum(claim for claim in claims.values() if claim > 0)
    debts_minor = credits_minor - sum(claims.values())
    if debts_minor != credits_minor:
        raise Refused(
            f"OPENINGS_UNBALANCED: debts of {show_amount(debts_minor, unit.scale)}, credits of "
            f"{show_amount(credits_minor, unit.scale)} {unit.code}",
            "OPENINGS_UNBALANCED",
        )
    try:
        return balanced_groups(claims)
    except NoGroups as error:
        raise Refused(f"NO_GROUPS: {error}", "NO_GROUPS") from None


def _refuse_faults(file: Path, sheet: Sheet) -> None:
    """Raises Refused."""
    if not sheet.fault_count:
        return
    for fault in sheet.faults[:SAID_MAX]:
        say(f"icn: {file}: {fault_text(fault)}")
    raise Refused(
        f"{file}: {sheet.fault_count} faults, nothing was sent; `icn import check` names them",
        "SHEET_INVALID",
    )
