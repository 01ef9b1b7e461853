"""A process that takes figures when it is told to, so that configurations take turns and are set up once.

    python -m benches.ledger.worker PART

answers each line that it reads with a line of JSON, from the ``measuring`` of the module of that name.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benches.checkout import ROOT
from benches.wheels import has_native, without_native

WHEELS, NATIVE = "wheels only", "native"

Figures = dict[str, float]
Measure = Callable[[], Awaitable[Figures]]
"""Takes one set of figures."""


class WorkerFailed(RuntimeError):
    """The process ended before it answered; what it said stands above."""


def configurations() -> list[str]:
    """What can be measured in this environment."""
    return [WHEELS, NATIVE] if has_native() else [WHEELS]


@contextmanager
def worker(part: str, configuration: str) -> Iterator[Callable[[], Figures]]:
    """A process of one configuration; call for a set of figures.

    The call raises WorkerFailed when it ended.
    """
    with tempfile.TemporaryDirectory(prefix="icn-bench-") as folder:
        environment = dict(os.environ)
        if configuration == WHEELS:
            environment["PYTHONPATH"] = str(without_native(Path(folder)))
        process = subprocess.Popen(
            [sys.executable, "-m", "benches.ledger.worker", part],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None, "they are pipes"
        asked, told = process.stdin, process.stdout

        def measure() -> Figures:
            asked.write("\n")
            asked.flush()
            line = told.readline()
            if not line:
                raise WorkerFailed(f"{part}, {configuration}: it ended with {process.wait()}")
            figures: Figures = json.loads(line)
            return figures

        try:
            yield measure
        finally:
            asked.close()  # which ends it
            process.wait()


async def serve(part: str) -> None:
    """Answer until there is nothing more to read."""
    module = importlib.import_module(f"benches.ledger.{part}")
    async with module.measuring() as measure:
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await measure()), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
