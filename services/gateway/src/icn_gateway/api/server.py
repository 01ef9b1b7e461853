"""The HTTP server: granian, embedded in this process' event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server

from icn_gateway.api.edge import Edge

BACKLOG = 256
"""Connections that wait while a block's worth of clients arrives at once."""
HEADER_READ_SECONDS_MAX = 10
"""A client that dribbles its headers is cut off."""
READ_BUFFER_BYTES_MAX = 64 * 1024
STREAMS_PER_CONNECTION_MAX = 64
START_SECONDS_MAX = 10.0
DRAIN_SECONDS_MAX = 12.0
"""Requests that wait for a block are done in this time; `icn_kit.lifecycle` allows 25 s for the whole
process."""
PROBE_INTERVAL_SECONDS = 0.01


class HttpServer:
    """Serves ``edge`` at ``host:port``."""

    def __init__(self, edge: Edge, host: str, port: int) -> None:
        self._edge = edge
        self._host = host
        self._port = port
        self._server = Server(
            edge,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto,
            http1_settings=HTTP1Settings(
                header_read_timeout=HEADER_READ_SECONDS_MAX * 1_000, max_buffer_size=READ_BUFFER_BYTES_MAX
            ),
            http2_settings=HTTP2Settings(
                max_concurrent_streams=STREAMS_PER_CONNECTION_MAX, max_headers_size=READ_BUFFER_BYTES_MAX
            ),
            websockets=False,
            backlog=BACKLOG,
            log_enabled=False,
        )
        self._serving: asyncio.Task[Any] | None = None
        self._is_draining = False

    async def start(self) -> None:
        """Return once connections are accepted.

        Raises:
            OSError: the address cannot be bound.
        """
        # granian would only end its task; a socket of our own says at once, and why.
        await asyncio.to_thread(_check_bindable, self._host, self._port)
        logging.getLogger("_granian").setLevel(logging.ERROR)
        self._serving = asyncio.create_task(self._server.serve(), name="http server")
        async with asyncio.timeout(START_SECONDS_MAX):
            while not await self._accepts():
                if self._serving.done():
                    await self._serving
                    raise OSError(f"the HTTP server at {self._host}:{self._port} ended")
                await asyncio.sleep(PROBE_INTERVAL_SECONDS)

    async def wait(self) -> None:
        """Return after a drain.

        Raises:
            RuntimeError: the server has ended by itself, which it never should.
        """
        assert self._serving is not None, "started before"
        await asyncio.shield(self._serving)
        if not self._is_draining:
            raise RuntimeError("the HTTP server ended by itself")

    async def drain(self) -> None:
        """Turn new requests away, let those under way finish, close."""
        self._is_draining = True
        self._edge.drain()
        await self._edge.wait_until_idle(DRAIN_SECONDS_MAX)
        if self._serving is not None:
            self._server.stop()  # type: ignore[no-untyped-call]
            await asyncio.wait({self._serving}, timeout=1.0)

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            return False
        writer.close()
        return True


def _check_bindable(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
