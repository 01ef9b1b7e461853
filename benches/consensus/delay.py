"""A transport adapter: what one node sends another arrives so much later, in the order it was sent.

``python -m benches.consensus.delay MILLISECONDS LISTEN=TARGET …`` forwards TCP connections as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from icn_localnet import files, processes

CHUNK_BYTES: Final = 1 << 16
CHUNKS_UNDER_WAY_MAX: Final = 4_096
"""256 MiB at most; a sender that has more under way waits."""


def links(addresses: Sequence[str]) -> dict[tuple[int, int], str]:
    """An address to forward from, for what each node (first) sends each other (second)."""
    taken: set[int] = set()
    made = {}
    for source in range(len(addresses)):
        for target in range(len(addresses)):
            if source != target:
                port = files.free_port(taken=taken)
                taken.add(port)
                made[source, target] = f"127.0.0.1:{port}"
    return made


Links = Mapping[tuple[int, int], str]
STOP_SECONDS_MAX: Final = 5.0


@contextmanager
def delayed(addresses: Sequence[str], milliseconds: int, log: Path) -> Iterator[Links]:
    """Where each node finds each other one meanwhile; nothing where there is no delay."""
    if not milliseconds:
        yield {}
        return
    made = links(addresses)
    pairs = [f"{listen}={addresses[target]}" for (_, target), listen in made.items()]
    command = [sys.executable, "-m", "benches.consensus.delay", str(milliseconds), *pairs]
    process = processes.spawn(command, log=log, on_any_thread=True)
    try:
        yield made
    finally:
        processes.stop(process, first=signal.SIGTERM, seconds=STOP_SECONDS_MAX)


async def forward(
    target: str, delay_seconds: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Carry one connection both ways until it ends on either side."""
    host, _, port = target.rpartition(":")
    with contextlib.suppress(OSError):
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(carry(reader, back, delay_seconds), carry(there, writer, delay_seconds))
    writer.close()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_seconds: float) -> None:
    """One direction; the end of the connection is late as well."""
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_UNDER_WAY_MAX)
    clock = asyncio.get_running_loop().time

    async def deliver() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, chunk = await under_way.get()
                await asyncio.sleep(max(0.0, due - clock()))
                if not chunk:
                    break
                writer.write(chunk)
                await writer.drain()
        writer.close()

    delivering = asyncio.create_task(deliver())
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            await under_way.put((clock() + delay_seconds, chunk))
    await under_way.put((clock() + delay_seconds, b""))
    await delivering


async def main(milliseconds: str, *pairs: str) -> None:
    """Forward until a signal."""
    until = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, until.set)
    async with contextlib.AsyncExitStack() as servers:
        for pair in pairs:
            listen, _, target = pair.partition("=")
            host, _, port = listen.rpartition(":")

            async def accept(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str = target
            ) -> None:
                await forward(target, float(milliseconds) / 1_000, reader, writer)

            await servers.enter_async_context(await asyncio.start_server(accept, host, int(port)))
        await until.wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
