"""`icn audit`: an archive of everything that was agreed, and its check with nothing but the genesis file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import DataOption, command_group, platform_directory, with_connection
from icn_client.cli.files import write_new_file
from icn_client.cli.output import EXIT_REFUSED, Progress, Refused, print_json, progress, say
from icn_client.cli.proofs import GenesisOption, read_genesis

if TYPE_CHECKING:
    from icn_audit.periods import WrongDigest

_EXAMPLES = """\b
Examples:
  icn audit export --out archive.icn
  icn audit verify archive.icn --genesis genesis.json
"""
_EXPORT_EXAMPLES = """\b
Examples:
  icn audit export --out archive.icn
"""
_VERIFY_EXAMPLES = """\b
Examples:
  icn audit verify archive.icn --genesis genesis.json
"""


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = command_group("Archives of all blocks, and their check offline.", _EXAMPLES)
    group.command("export", epilog=_EXPORT_EXAMPLES)(export)
    group.command("verify", epilog=_VERIFY_EXAMPLES)(verify)
    app.add_typer(group, name="audit")


def export(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where to write it.", readable=False)],
    data: DataOption = None,
) -> None:
    """Write every block that one validator has executed by now, and the state, into one file.

    Validators are asked themselves, so this needs the platform's own directory and not a gateway.
    """
    from icn_client.archiving import write_archive

    directory = platform_directory(data)
    made = write_new_file(
        out,
        lambda file, shown: with_connection(
            directory, lambda connection: write_archive(connection, file, telling(shown))
        ),
        "blocks",
    )
    say(f"{out}: {made.heights} blocks, {made.leaves} leaves, {made.size_bytes} bytes")
    say(f"check it with: icn audit verify {out} --genesis GENESIS")


def verify(
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", help="As `icn audit export` writes it.", readable=False)
    ],
    genesis: GenesisOption,
) -> None:
    """Execute all blocks again, offline, and compare. Exit 0 when everything is as it says, 1 when not.

    A period that was closed with a wrong digest is told as a finding: no rule of the chain forbids it.
    """
    import asyncio

    from icn_audit.divergence import Diverged
    from icn_audit.verify import seldom_collecting, verify_archive
    from icn_kit.errors import FailedPrecondition

    zone = read_genesis(genesis)
    found: dict[str, Any]
    try:
        with archive.open("rb") as file, progress("blocks") as shown, seldom_collecting():
            report = asyncio.run(verify_archive(file, zone, on_block=telling(shown)))
    except OSError as error:
        raise Refused(f"{archive}: {error.strerror}", "FILE_UNREADABLE") from None
    except FailedPrecondition as error:
        raise Refused(
            f"{archive} holds as far as this release can tell: {error.message}", error.reason
        ) from None
    except Diverged as divergence:
        found = {
            "valid": False,
            "divergence": {
                "height": divergence.height,
                "key": divergence.key,
                "expected": divergence.expected,
                "found": divergence.found,
            },
        }
        print_json(found)
        say(f"icn: not valid: {divergence}")
        raise SystemExit(EXIT_REFUSED) from None
    found = {
        "valid": True,
        "heights": report.heights,
        "transfers": report.transfers,
        "state_root": report.state_root.hex(),
        "periods": {
            "closed": report.periods.closed,
            "not_recomputed": report.periods.not_recomputed,
            "wrong": report.periods.wrong,
        },
        "findings": [_finding(wrong) for wrong in report.periods.kept],
    }
    print_json(found)
    if report.periods.wrong:
        say(
            f"icn: {report.periods.wrong} of {report.periods.closed} periods were closed with another digest "
            "than that of the books: the chain is valid, what its authority said of it is not"
        )
    if report.periods.not_recomputed:
        say(f"icn: {report.periods.not_recomputed} digests of periods were not recomputed")
    say(f"icn: {report.heights} blocks and {report.transfers} transfers are as they say")


def _finding(wrong: WrongDigest) -> dict[str, Any]:
    """A period that was closed with a wrong digest, as a document."""
    return {
        "kind": "period_digest",
        "height": wrong.height,
        "key": f"period/{wrong.unit.hex()}",
        "end_time_ms": wrong.end_time_ms,
        "expected": wrong.expected.hex(),
        "found": wrong.found.hex(),
        "corrected_at": wrong.corrected_at or None,
    }


def telling(shown: Progress) -> Callable[[int, int], None]:
    """What tells the progress of the blocks that are verified."""

    def tell(height: int, last: int) -> None:
        shown.tell("blocks", height, last)

    return tell
