"""What a flood of one organization costs the others: their latency beside it and without it.

    .venv/bin/python -m benches.consensus.flood [--pairs 5] [--rate 100] [--seconds 5]

Four validators on loopback. Members of one organization pay each other at a fixed rate, and how long each
transfer takes until it is applied everywhere is measured: alone, and while members of another organization
hand in valid transfers as fast as they are taken, with so many under way that the pools refuse more of that
payer. Both turns of a pair are of one network, in turn first. Bar (issue 6): p99 beside it ≤ 2 × alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

from icn_client.connection import Connection, NetworkFile
from icn_client.submitter import Submitter

from benches.checkout import commit
from benches.consensus import icn, load
from benches.consensus.figures import percentile

OTHERS: Final = 100
FLOODERS: Final = 1_000
FLOODING_FOUNDER: Final = 3
UNDER_WAY: Final = 9_500
"""More than a pool takes of one payer (10,000), so that it refuses."""
SIGNED_AHEAD: Final = 25_000
"""So that signing takes nothing of the machine meanwhile, while it lasts."""
BUILD_UP_SECONDS: Final = 3.0
SILENT_SECONDS: Final = 3.0
"""Without a word about any of the flood: no block takes the rest."""
WARM_UP: Final = 500
BAR: Final = 2.0
FLOODER: Final = "flooder"
"""First argument of the process that floods."""


async def flood(data: Path) -> None:
    """Flood between the lines ``go`` and ``stop`` of the standard input, again and again until it ends; say
    when ready, and after each turn how many a second were settled in it."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with Connection(NetworkFile.load(data)) as connection:
        side = icn.IcnSide(None, connection)
        await side.open_accounts(data, (FLOODING_FOUNDER,), FLOODERS)
        for lane in count(1):
            side.begin_lane(lane)
            signed, expire_time_ms = side.sign(SIGNED_AHEAD)
            signed.reverse()
            print("ready", flush=True)
            if not await lines.readline():
                return
            begun, settled = time.perf_counter(), 0
            stopping = asyncio.create_task(lines.readline())
            async with Submitter(side.doors(), UNDER_WAY) as submitter:
                while not stopping.done():
                    while signed and submitter.room > 0:
                        submitter.put(signed.pop(), expire_time_ms)
                    assert submitter.outstanding, "more is signed than a turn settles"
                    settled += len(await submitter.take())
                print(settled / (time.perf_counter() - begun), flush=True)
                # What a pool refused leaves others behind a gap, where they stay until they expire.
                with contextlib.suppress(TimeoutError):
                    while submitter.outstanding:
                        async with asyncio.timeout(SILENT_SECONDS):
                            await submitter.take()


class Flooder:
    """The process that floods; use `flooding_process`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None, "both are pipes"
        self._input, self._output = process.stdin, process.stdout

    async def hear(self) -> str:
        line = (await self._output.readline()).decode().strip()
        assert line, "the flooder has ended"
        return line

    @asynccontextmanager
    async def flooding(self) -> AsyncIterator[list[float]]:
        """Flood meanwhile; what is yielded holds in the end how many a second were settled."""
        rates: list[float] = []
        self._input.write(b"go\n")
        await asyncio.sleep(BUILD_UP_SECONDS)
        yield rates
        self._input.write(b"stop\n")
        rates.append(float(await self.hear()))
        assert await self.hear() == "ready", "what was under way has ended"


@asynccontextmanager
async def flooding_process(data: Path) -> AsyncIterator[Flooder]:
    """A process of its own, so that the flood costs the loader that measures nothing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benches.consensus.flood", FLOODER, str(data)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        flooder = Flooder(process)
        assert await flooder.hear() == "ready"
        yield flooder
    finally:
        process.kill()
        await process.wait()


async def measure(directory: Path, label: str, pairs: int, rate: int, seconds: float) -> int:
    """Print each pair and the median; 1 where the bar is missed."""
    ratios = []
    data = directory / "data"
    async with icn.icn_side(label, directory, parties=OTHERS) as side, flooding_process(data) as flooder:
        await load.burst(side, WARM_UP, WARM_UP)
        for number in range(pairs):
            found: dict[bool, list[float]] = {}
            for is_flooded in (False, True) if number % 2 == 0 else (True, False):
                if is_flooded:
                    async with flooder.flooding() as rates:
                        found[True] = await load.steady(side, rate, seconds)
                else:
                    found[False] = await load.steady(side, rate, seconds)
            quiet, flooded = (
                {share: percentile(found[is_flooded], share) for share in (0.5, 0.99)}
                for is_flooded in (False, True)
            )
            ratios.append(flooded[0.99] / quiet[0.99])
            print(
                f"pair {number + 1}: p50 {quiet[0.5]:.0f} and {flooded[0.5]:.0f} ms,"
                f" p99 {quiet[0.99]:.0f} and {flooded[0.99]:.0f} ms beside {rates[0]:,.0f} of the flood a"
                f" second: {ratios[-1]:.2f} ×",
                flush=True,
            )
    median = statistics.median(ratios)
    print(f"p99 beside the flood to p99 alone: {median:.2f} × (bar: at most {BAR:.0f} ×)")
    return int(median > BAR)


def main() -> int:
    """Measure, or flood in the process that does."""
    if sys.argv[1:2] == [FLOODER]:
        asyncio.run(flood(Path(sys.argv[2])))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rate", type=int, default=100, help="transfers of the others, a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn")
    options = parser.parse_args()
    status = 0
    for label in icn.configurations():
        print(
            f"commit {commit()}, {os.cpu_count()} cores, {label}: {options.rate} transfers/s of others",
            flush=True,
        )
        with tempfile.TemporaryDirectory(prefix="icn-bench-") as folder:
            Path(folder).chmod(0o711)  # Postgres may run as nobody where this is root
            status |= asyncio.run(measure(Path(folder), label, options.pairs, options.rate, options.seconds))
    return status


if __name__ == "__main__":
    sys.exit(main())
