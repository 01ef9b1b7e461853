"""What it costs that payers take turns: transfers a second by how many organizations pay for them.

    .venv/bin/python -m benches.consensus.payers [--payers 1 2 4] [--transfers 12000] [--rounds 2]

Four validators on loopback, a network of its own per number. Members, evenly of so many organizations,
hand in transfers as fast as they are settled; of each organization a proposal holds 64 turns where others pay
(T8 of docs/spec/consensus.md), and all of it where none does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path
from typing import Final

from benches.checkout import commit
from benches.consensus import icn, load
from benches.consensus.side import SEATS

WARM_UP: Final = 4_000
WINDOW: Final = 2_000


async def measure(directory: Path, label: str, payers: int, transfers: int, rounds: int) -> None:
    """Print each round."""
    async with icn.icn_side(label, directory, payers=payers) as side:
        await load.burst(side, WARM_UP, WINDOW)
        for _ in range(rounds):
            figures = await load.burst(side, transfers, WINDOW)
            print(
                f"{payers} payers: {figures['rate']:,.0f} transfers/s, {figures['nodes_cpu_us']:,.0f} CPU-µs "
                "each on four nodes with their databases",
                flush=True,
            )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--payers", type=int, nargs="+", default=[1, 2, 4], choices=range(1, SEATS + 1))
    parser.add_argument("--transfers", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    for label in icn.configurations():
        print(f"commit {commit()}, {os.cpu_count()} cores, {label}", flush=True)
        for payers in options.payers:
            with tempfile.TemporaryDirectory(prefix="icn-bench-") as folder:
                Path(folder).chmod(0o711)  # Postgres may run as nobody where this is root
                asyncio.run(measure(Path(folder), label, payers, options.transfers, options.rounds))


if __name__ == "__main__":
    main()
