from __future__ import annotations

import asyncio
import socket

from icn_kit.probed import Probed


class Slow:
    """A part that takes its time to start."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name
        self.fault = ""
        self.may_start = asyncio.Event()

    async def start(self) -> None:
        await self.may_start.wait()
        self.log.append(f"start {self.name}")

    async def drain(self) -> None:
        self.log.append(f"drain {self.name}")


async def probe(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer.rpartition(b"\r\n\r\n")[2].strip()


async def test_the_door_is_open_while_parts_start_and_says_what_they_do() -> None:
    log: list[str] = []
    first, second = Slow(log, "first"), Slow(log, "second")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    probed = Probed((first, second), "127.0.0.1", port)
    starting = asyncio.create_task(probed.start())
    await asyncio.sleep(0)
    first.may_start.set()
    while log != ["start first"]:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)
    assert await probe(port) == b"starting"
    second.may_start.set()
    await starting
    assert await probe(port) == b"ok"
    second.fault = "halted"
    assert await probe(port) == b"halted"
    await probed.drain()
    assert log == ["start first", "start second", "drain second", "drain first"]
