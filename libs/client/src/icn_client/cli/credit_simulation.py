"""`icn credit simulate`: history under another policy of a unit, offline, from an archive."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from icn_client.cli.audits import telling
from icn_client.cli.common import command_group, identifier
from icn_client.cli.files import read_file, write_new_file
from icn_client.cli.output import Progress, Refused, print_json, progress, say
from icn_client.cli.proofs import GenesisOption, read_genesis

if TYPE_CHECKING:
    from icn_audit.simulate import Difference, Simulation, Supposition

POLICY_BYTES_MAX = 65_536
MEMBERS_SHOWN = 1_000
"""Those with the most differences; all of them are in the file of --out."""

_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}")
"""ASCII digits, as many as 64 bits take."""
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")

_EXAMPLES = """\b
Examples:
  icn credit simulate archive.icn --genesis genesis.json --unit UNIT --policy policy.json
"""
_SIMULATE_EXAMPLES = """\b
Examples:
  icn credit simulate archive.icn --genesis genesis.json --unit UNIT --policy policy.json
  icn credit simulate archive.icn --genesis genesis.json --unit UNIT --policy policy.json --out changed.jsonl

policy.json, amounts in minor units as decimal strings, what is left out is 0 or none:
  {"growth_ppm": 250000, "growth_max_minor": "50000", "counterparty_max_minor": "10000",
   "default_floor_minor": "-20000"}
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Limits of credit, tried on history.", _EXAMPLES)
    group.command("simulate", epilog=_SIMULATE_EXAMPLES)(simulate)
    app.add_typer(group, name="credit")


def simulate(
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", help="As `icn audit export` writes it.", readable=False)
    ],
    genesis: GenesisOption,
    unit: Annotated[str, typer.Option("--unit", metavar="UNIT", help="Id of the unit.")],
    policy: Annotated[
        Path, typer.Option("--policy", metavar="FILE", help="The policy to try, JSON.", readable=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Every difference, one JSON object per line.", readable=False
        ),
    ] = None,
) -> None:
    """Execute an archive again under another policy, and say who would have been refused, and who not.

    The archive is verified on the way. Later payments are those of the simulation: who was refused a loan
    cannot spend it. Of each member it counts what would be refused, what would be accepted, and what was
    refused and would be for another reason.
    """
    import asyncio

    from icn_audit.divergence import Diverged
    from icn_audit.simulate import SuppositionImpossible, simulate_archive
    from icn_audit.verify import seldom_collecting

    zone = read_genesis(genesis)
    supposed = _read_supposition(identifier(unit, "--unit", "units"), policy)
    members: dict[bytes, dict[str, Any]] = {}

    def work(lines: IO[bytes] | None, shown: Progress) -> Simulation:
        def note(difference: Difference) -> None:
            _count(members, difference)
            if lines is not None:
                lines.write(json.dumps(_document(difference)).encode() + b"\n")

        with seldom_collecting():
            return asyncio.run(
                simulate_archive(file, zone, supposed, on_difference=note, on_block=telling(shown))
            )

    try:
        file = archive.open("rb")
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}", "FILE_UNREADABLE") from None
    with file:
        try:
            if out is None:
                with progress("blocks") as shown:
                    simulation = work(None, shown)
            else:
                simulation = write_new_file(out, work, "blocks")
        except Diverged as divergence:
            raise Refused(f"{archive} is not what it says: {divergence}", "ARCHIVE_DIVERGED") from None
        except SuppositionImpossible as impossible:
            raise Refused(f"{policy}: {impossible.reason}: {impossible}", impossible.reason) from None
    ranked = sorted(members.values(), key=lambda one: (-one["would_be_refused"], one["principal"]))
    print_json(
        {
            "unit": supposed.unit.hex(),
            "since_height": simulation.since_height,
            "transactions": simulation.transactions,
            "refused": simulation.refused,
            "would_be_refused": simulation.would_be_refused,
            "members": ranked[:MEMBERS_SHOWN],
            "members_not_shown": max(len(ranked) - MEMBERS_SHOWN, 0),
        }
    )
    say(
        f"icn: {simulation.refused} of {simulation.transactions} transactions were refused, "
        f"{simulation.would_be_refused} would have been"
    )


def _read_supposition(unit: bytes, file: Path) -> Supposition:
    from icn.ledger.v1.transaction_pb2 import SetUnitPolicy
    from icn_audit.simulate import Supposition
    from icn_machine.parsing_credit import read_set_unit_policy
    from icn_machine.refusals import Malformed

    try:
        document = json.loads(read_file(file, POLICY_BYTES_MAX))
    except (ValueError, RecursionError) as error:
        raise Refused(f"{file}: not JSON: {error}", "POLICY_MALFORMED") from None
    if not isinstance(document, dict):
        raise Refused(f"{file}: not a JSON object", "POLICY_MALFORMED")
    floor = document.pop("default_floor_minor", None)
    message = SetUnitPolicy(unit=unit)
    message.policy.SetInParent()
    try:
        for name, value in document.items():
            if name not in message.policy.DESCRIPTOR.fields_by_name:
                raise ValueError(f"{name[:40]!r} is no field of a policy")
            read = _identifier if name in ("fund", "freezer") else _whole
            setattr(message.policy, name, read(name, value))
        floor_minor = None if floor is None else _whole("default_floor_minor", floor)
        policy = read_set_unit_policy(message).policy
    except (TypeError, ValueError, Malformed) as error:
        raise Refused(f"{file}: {error}", "POLICY_MALFORMED") from None
    if floor_minor is not None and not -(2**62) <= floor_minor <= 0:
        raise Refused(f"{file}: default_floor_minor {floor_minor}, allowed -2^62 to 0", "POLICY_MALFORMED")
    return Supposition(unit, policy, floor_minor)


def _whole(name: str, value: Any) -> int:
    """A number of minor units, days or millionths, exactly as it is written. Raises ValueError."""
    if type(value) is int:
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    raise ValueError(f'{name}: {str(value)[:40]!r} is no whole number such as 250 or "-250"')


def _identifier(name: str, value: Any) -> bytes:
    """An id in hex. Raises ValueError."""
    if isinstance(value, str) and _HEX.fullmatch(value):
        return bytes.fromhex(value)
    raise ValueError(f"{name}: {str(value)[:40]!r} is not hexadecimal")


def _count(members: dict[bytes, dict[str, Any]], difference: Difference) -> None:
    member = members.setdefault(
        difference.principal,
        {
            "principal": difference.principal.hex(),
            "would_be_refused": 0,
            "would_be_accepted": 0,
            "refused_otherwise": 0,
            "first_height": difference.height,
            "reasons": {},
        },
    )
    if not difference.would_be:
        member["would_be_accepted"] += 1
        return
    member["refused_otherwise" if difference.was else "would_be_refused"] += 1
    reasons = member["reasons"]
    reasons[difference.would_be] = reasons.get(difference.would_be, 0) + 1


def _document(difference: Difference) -> dict[str, Any]:
    return {
        "height": difference.height,
        "transaction": difference.transaction_id.hex(),
        "principal": difference.principal.hex(),
        "was": difference.was,
        "would_be": difference.would_be,
        "figures": {name: str(value) for name, value in difference.figures},
    }
