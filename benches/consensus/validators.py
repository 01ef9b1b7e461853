"""Validators, their databases and NATS, and nothing else of a platform, hosted as `icn up` hosts them.

``python -m benches.consensus.validators DIR [PEERS.json]`` runs the network of a directory until SIGTERM; the
file says at which addresses each seat finds the others, where not at their own.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from icn_localnet import files
from icn_localnet.network import Network
from icn_localnet.parts import ValidatorProcess, stages
from icn_localnet.platform import run
from icn_localnet.supervisor import Stage

WANTED = re.compile(r"(postgres|validator)-\d+|nats")


def validators_only(network: Network, peers: Mapping[str, Mapping[str, str]]) -> list[Stage]:
    """The stages without what no transfer needs."""
    kept = [
        Stage(
            {name: part for name, part in stage.parts.items() if WANTED.fullmatch(name)},
            before=stage.before,
        )
        for stage in stages(network)
    ]
    for stage in kept:
        for name, part in stage.parts.items():
            seat = name.rpartition("-")[2]
            if isinstance(part, ValidatorProcess) and seat in peers:
                settings = network.validator_directory(int(seat)) / "validator.json"
                part.prepare = partial(prepare, part.prepare, settings, peers[seat])  # type: ignore[method-assign]
    return kept


def prepare(before: Callable[[], None], settings: Path, peers: Mapping[str, str]) -> None:
    """Write a validator's settings, then other addresses for its peers into them."""
    before()
    document = json.loads(settings.read_text("utf-8"))
    document["consensus"]["peers"] = list(peers.values())
    files.write_private(settings, json.dumps(document, indent=1).encode(), may_replace=True)


async def main(directory: Path, peers: Mapping[str, Mapping[str, str]]) -> None:
    """Run until a signal."""
    until = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, until.set)
    await run(Network.load(directory), until, parts=partial(validators_only, peers=peers))


if __name__ == "__main__":
    told = json.loads(Path(sys.argv[2]).read_text("utf-8")) if sys.argv[2:] else {}
    asyncio.run(main(Path(sys.argv[1]), told))
