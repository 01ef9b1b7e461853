"""``python -m libs.audit.tests.verify_within BYTES FILE …``: verify archives of the test zone with so much
memory beside what this process has when it has read nothing yet; prints what became of each.

The limit is on what may be written (RLIMIT_DATA): a contract's engine reserves 4 GiB of addresses.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

from icn_audit.divergence import Diverged
from icn_audit.verify import verify_archive
from icn_kit.genesis import Genesis

from libs.machine.tests.zone import make_zone


def main(memory_bytes: int, paths: list[str]) -> None:
    """Each in a process of its own, which begins with nothing left over."""
    zone = make_zone()
    for path in paths:
        child = os.fork()
        if child == 0:
            limit_memory(memory_bytes)
            print(told(path, zone.genesis), flush=True)
            os._exit(0)
        os.waitpid(child, 0)


def limit_memory(more_bytes: int) -> None:
    """To so much more than this process has."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    limit_bytes = int(status["VmData"].split()[0]) * 1024 + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def told(path: str, genesis: Genesis) -> str:
    """Height of a valid archive, else the key of its divergence."""
    try:
        with Path(path).open("rb") as file:
            return str(asyncio.run(verify_archive(file, genesis)).heights)
    except Diverged as divergence:
        return divergence.key[:80]
    except MemoryError:
        return "MemoryError"


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
