"""Validators, their databases and NATS, and nothing else of a platform, hosted as `icn up` hosts them.

``python -m benches.consensus.validators DIR`` runs the network of a directory until SIGTERM.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path

from icn_localnet.network import Network
from icn_localnet.parts import stages
from icn_localnet.platform import run
from icn_localnet.supervisor import Stage

WANTED = re.compile(r"(postgres|validator)-\d+|nats")


def validators_only(network: Network) -> list[Stage]:
    """The stages without what no transfer needs."""
    return [
        Stage(
            {name: part for name, part in stage.parts.items() if WANTED.fullmatch(name)},
            before=stage.before,
        )
        for stage in stages(network)
    ]


async def main() -> None:
    """Run until a signal."""
    until = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, until.set)
    await run(Network.load(Path(sys.argv[1])), until, parts=validators_only)


if __name__ == "__main__":
    asyncio.run(main())
