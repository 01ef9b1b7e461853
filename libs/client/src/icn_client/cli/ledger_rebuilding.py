"""`icn ledger rebuild`: a stopped validator's ledger made anew from the blocks that it keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from icn_client.cli.common import DataOption
from icn_client.cli.output import Refused, UsageError, print_json, progress, say

_EXAMPLES = """\b
Examples:
  icn ledger rebuild --validator 2
  icn ledger rebuild --validator 2 --replace --data /srv/icn
  icn ledger rebuild --validator 2 --archive archive.icn --replace
"""
_DOING: Final = {"verify": "blocks of the archive checked", "execute": "blocks executed"}


def register(group: typer.Typer) -> None:
    """Add the command to `icn ledger`."""
    group.command("rebuild", epilog=_EXAMPLES)(rebuild)


def rebuild(
    validator: Annotated[
        int, typer.Option("--validator", metavar="N", min=0, help="Which validator of the platform, from 0.")
    ],
    archive: Annotated[
        Path | None,
        typer.Option(
            "--archive",
            metavar="FILE",
            help="Begin with the blocks of what `icn audit export` wrote; it is checked first.",
            readable=False,
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also where the ledger has executed blocks.")
    ] = False,
    data: DataOption = None,
) -> None:
    """Execute all blocks again and put what comes of them in the place of a stopped validator's ledger.

    Blocks come from the validator's own store. The ledger that was there stays as it is unless every root
    that a block names is found again.
    """
    from icn_localnet.ledger_rebuild import RebuildRefused, rebuild_ledger
    from icn_localnet.network import Network, NetworkInvalid
    from icn_localnet.supervisor import AlreadyRunning, StartFailures

    from icn_client import platforms

    directory = (data if data is not None else platforms.data_directory()).absolute()
    try:
        network = Network.load(directory)
        if validator >= len(network.validators):
            raise UsageError(f"--validator: {validator}, the platform has {len(network.validators)}")
        with progress("") as shown:
            rebuilt = rebuild_ledger(
                network,
                validator,
                archive=archive,
                may_replace=replace,
                tell=lambda doing, height, last: shown.tell(_DOING[doing], height, last),
            )
    except AlreadyRunning:
        raise Refused(f"the platform in {directory} runs; stop it first", "ALREADY_RUNNING") from None
    except RebuildRefused as refusal:
        hint = "; --replace replaces it" if refusal.reason == "LEDGER_NOT_EMPTY" else ""
        raise Refused(f"{refusal.reason}: {refusal}{hint}", refusal.reason) from None
    except (NetworkInvalid, *StartFailures) as error:
        raise Refused(f"{directory}: {error}", "DIRECTORY_UNUSABLE") from None
    print_json({"validator": validator, **rebuilt})
    say(f"validator-{validator}: {rebuilt['height']} blocks executed, the roots are those that they name")
