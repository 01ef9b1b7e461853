"""When the certificates of NATS and Postgres run out, which tell no metrics of their own that we read."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from typing import Final
from urllib.parse import urlsplit

import structlog
from cryptography import x509
from prometheus_client import Gauge
from psycopg.conninfo import conninfo_to_dict

from icn_kit.tls import TlsFiles

LOOK_SECONDS: Final = 3600.0
"""Between two looks; the alert comes days before the end."""
SHOW_SECONDS_MAX: Final = 10.0
INFO_BYTES_MAX: Final = 64 * 1024
"""Of the line with which NATS greets."""
POSTGRES_PORT_DEFAULT: Final = 5432
_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)
"""Postgres' frontend protocol, "SSLRequest"."""

SERVER_CERTIFICATE_EXPIRY = Gauge(
    "icn_kit_server_certificate_expiry_time_seconds",
    "When the certificate that a server shows to new connections runs out, unix seconds.",
    ["server"],
)

_log = structlog.get_logger(__name__)


class ServerCertificates:
    """Looks at what the servers show that a service uses; a server without TLS is passed over.

    Args:
        tls: of the service, which it shows as in every connection.
        nats_url: see `icn_kit.bus.Bus.connect`.
        dsn: of its database.
    """

    def __init__(self, tls: TlsFiles, nats_url: str, dsn: str) -> None:
        self._tls = tls
        bus, database = urlsplit(nats_url), conninfo_to_dict(dsn)
        self._servers: dict[str, tuple[str, int]] = {}
        if bus.scheme == "tls" and bus.hostname:
            self._servers["nats"] = (bus.hostname, bus.port or 4222)
        host = str(database.get("host") or "")
        if host and not host.startswith("/") and database.get("sslmode") != "disable":
            self._servers["postgres"] = (host, int(database.get("port") or POSTGRES_PORT_DEFAULT))

    async def run(self) -> None:
        """Look, again and again."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Put what the servers show into the metrics; who does not answer keeps what was seen last."""
        for server, (host, port) in self._servers.items():
            try:
                async with asyncio.timeout(SHOW_SECONDS_MAX):
                    shown = await self._shown(server, host, port)
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
                _log.warning(
                    "certificate not seen", server=server, address=f"{host}:{port}", error=str(error)
                )
                continue
            SERVER_CERTIFICATE_EXPIRY.labels(server).set(shown.not_valid_after_utc.timestamp())

    async def _shown(self, server: str, host: str, port: int) -> x509.Certificate:
        reader, writer = await asyncio.open_connection(host, port, limit=INFO_BYTES_MAX)
        try:
            if server == "nats":
                await reader.readuntil(b"\r\n")
            else:
                writer.write(_SSL_REQUEST)
                if await reader.readexactly(1) != b"S":
                    raise ValueError("it speaks no TLS")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # looked at, not trusted: nothing is sent to who shows it
            context.verify_mode = ssl.CERT_NONE
            context.load_cert_chain(self._tls.certificate, self._tls.key)
            await writer.start_tls(context, server_hostname=host)
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            return x509.load_der_x509_certificate(shown)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
