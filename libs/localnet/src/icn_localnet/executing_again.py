"""The process that executes a stopped validator's blocks again: consensus's store read, a ledger written.

``python -m icn_localnet.executing_again CONFIGURATION.json``; the file is written by
`icn_localnet.ledger_rebuild`. It tells on stdout, a JSON object per line:

- ``{"doing": "verify"|"execute", "height": 17, "last": 4032}``, now and then;
- at the end ``{"rebuilt": {…}}``, or ``{"refused": {"reason", "message"}}`` with exit status 1.

Source: docs/spec/ledger-store.md, "Rebuilding".
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

from icn_audit.contracts import InProcessContracts
from icn_audit.divergence import Diverged
from icn_audit.final_blocks import final_blocks
from icn_audit.verify import seldom_collecting, verify_archive
from icn_consensus.main import find_newest, read_blocks
from icn_kit.errors import DomainError, FailedPrecondition
from icn_kit.genesis import Genesis, load_genesis
from icn_kit.telemetry import configure_logging
from icn_ledger.api.application_service import read_final_block
from icn_ledger.main import rebuild
from icn_machine.blocks.final_block import FinalBlock
from icn_machine.refusals import InvariantBroken

TELL_SECONDS: Final = 0.2
"""Between two lines of progress."""


class Teller:
    """Says how far the work is, not too often."""

    def __init__(self) -> None:
        self._told, self._told_at = "", 0.0

    def tell(self, doing: str, height: int, last: int) -> None:
        """Tell, unless of the same work that was done a moment ago."""
        now = time.monotonic()
        if doing != self._told or now - self._told_at >= TELL_SECONDS:
            self._told, self._told_at = doing, now
            say({"doing": doing, "height": height, "last": last})


def say(value: Any) -> None:
    """A line on stdout."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def execute_again(configuration: dict[str, Any]) -> dict[str, Any]:
    """Do what the configuration says; what came of it.

    Raises:
        DomainError: what is refused; the tables are then of no use.
    """
    genesis = load_genesis(Path(configuration["genesis"]))
    teller = Teller()
    with ExitStack() as stack:
        archive, last = None, 0
        if configuration["archive"]:
            archive = stack.enter_context(open_archive(configuration["archive"]))
            last = await check_archive(archive, genesis, teller)
        newest = max(last, await find_newest(configuration["consensus_url"], last + 1))
        rebuilt = await rebuild(
            genesis,
            configuration["ledger_url"],
            configuration["schema"],
            blocks_of(archive, last, configuration["consensus_url"]),
            InProcessContracts(genesis.hash),
            may_replace=configuration["may_replace"],
            on_block=lambda height: teller.tell("execute", height, newest),
        )
    return {
        "height": rebuilt.height,
        "transactions": rebuilt.transactions,
        "state_root": rebuilt.state_root.hex(),
        "named_height": rebuilt.named_height,
        "named_state_root": rebuilt.named_state_root.hex(),
    }


def open_archive(path: str) -> IO[bytes]:
    """The archive.

    Raises:
        FailedPrecondition: FILE_UNREADABLE.
    """
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise FailedPrecondition("FILE_UNREADABLE", f"{path}: {error.strerror}") from None


async def check_archive(file: IO[bytes], genesis: Genesis, teller: Teller) -> int:
    """Height of the last block of an archive that holds; the file is at its beginning again.

    Raises:
        FailedPrecondition: ARCHIVE_INVALID.
    """
    try:
        report = await verify_archive(
            file, genesis, on_block=lambda height, last: teller.tell("verify", height, last)
        )
    except Diverged as divergence:
        raise FailedPrecondition("ARCHIVE_INVALID", str(divergence)) from divergence
    file.seek(0)
    return report.heights


async def blocks_of(archive: IO[bytes] | None, last: int, consensus_url: str) -> AsyncIterator[FinalBlock]:
    """Those of the archive, whose last one is ``last``, then those that follow in the validator's own store.

    Raises:
        HistoryMissing: the store lacks blocks that are not in the archive either.
    """
    if archive is not None:
        for block in final_blocks(archive.read):
            yield block
    async for request in read_blocks(consensus_url, last + 1):
        yield read_final_block(request)


def main() -> None:
    """Execute everything; exits with 1 where something is refused."""
    configure_logging("ledger")
    configuration = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    try:
        with seldom_collecting():
            say({"rebuilt": asyncio.run(execute_again(configuration))})
    except DomainError as refusal:
        refused = {"reason": refusal.reason, "message": refusal.message}
    except InvariantBroken as fault:
        refused = {"reason": "INVARIANT_BROKEN", "message": str(fault)}
    else:
        return
    say({"refused": refused})
    sys.exit(1)


if __name__ == "__main__":
    main()
