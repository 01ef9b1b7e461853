"""Why another validator cannot be called: not reached, not trusted, or not trusting.

What gRPC says of a connection that fails does not tell these apart.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from icn_kit.tls import TlsFiles

PROBE_SECONDS: Final = 3.0
"""To connect, and again to be answered; a validator on the same continent needs a tenth."""
PROBES_AT_ONCE_MAX: Final = 16


class PeerAnswer(StrEnum):
    """How far a call came."""

    ACCEPTED = "accepted"
    UNREACHED = "unreached"
    """Nobody answers at the address."""
    UNTRUSTED = "untrusted"
    """Its certificate is not of our authorities, or not for that host."""
    REFUSED = "refused"
    """It does not accept our certificate, or speaks no TLS."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What became of one address."""

    address: str
    answer: PeerAnswer
    problem: str = ""
    """In the system's words."""


def probe_all(addresses: Sequence[str], tls: TlsFiles) -> list[Probe]:
    """Call every address (``host:port``) as gRPC would; takes at most twice PROBE_SECONDS per
    PROBES_AT_ONCE_MAX of them."""
    context = ssl.create_default_context(cafile=str(tls.authority))
    context.load_cert_chain(tls.certificate, tls.key)
    context.set_alpn_protocols(["h2"])
    with ThreadPoolExecutor(PROBES_AT_ONCE_MAX) as pool:
        return list(pool.map(lambda address: probe(address, context), addresses))


def probe(address: str, context: ssl.SSLContext) -> Probe:
    """Call one address."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        connection = socket.create_connection((host, int(port)), timeout=PROBE_SECONDS)
    except (OSError, OverflowError) as error:
        return Probe(address, PeerAnswer.UNREACHED, _words(error))
    with connection:
        try:
            with context.wrap_socket(connection, server_hostname=host) as channel:
                # TLS 1.3: a server refuses a certificate after the handshake; else its settings come first.
                is_accepted = bool(channel.recv(1))
        except ssl.SSLCertVerificationError as error:
            return Probe(address, PeerAnswer.UNTRUSTED, error.verify_message)
        except OSError as error:
            return Probe(address, PeerAnswer.REFUSED, _words(error))
    return Probe(address, PeerAnswer.ACCEPTED if is_accepted else PeerAnswer.REFUSED, "")


def _words(error: OSError | OverflowError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
