"""Mutual TLS from files that somebody else renews."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from prometheus_client import Gauge

WATCH_SECONDS = 1.0
"""Files are looked at no more than once in this time; a renewed certificate overlaps the old one by hours."""

CERTIFICATE_EXPIRY = Gauge(
    "icn_kit_certificate_expiry_time_seconds",
    "When the certificate that this process shows runs out, unix seconds; 0 where it shows none.",
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of one process: its certificate chain, its key, and the authorities whose peers it
    accepts."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """The bytes of the files at one moment."""

    certificate: bytes
    key: bytes
    authority: bytes


def certificate_hash(chain: bytes) -> bytes:
    """SHA-256 of the first certificate of a PEM chain: of the one that its process shows."""
    end = "-----END CERTIFICATE-----"
    first = chain.decode("ascii").partition(end)[0] + end
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first.strip())).digest()


class TlsWatch:
    """Says when the files have changed, by modification time and size."""

    def __init__(self, files: TlsFiles) -> None:
        self._paths = (files.certificate, files.key, files.authority)
        self._seen = self._stamp()
        self._looked_at = time.monotonic()

    def _stamp(self) -> tuple[tuple[int, int, int], ...] | None:
        try:
            states = [path.stat() for path in self._paths]
        except FileNotFoundError:
            return None
        return tuple((state.st_mtime_ns, state.st_size, state.st_ino) for state in states)

    def read(self) -> TlsMaterial:
        """The files as they are now.

        Raises:
            OSError: a file is missing or unreadable.
        """
        material = TlsMaterial(*(path.read_bytes() for path in self._paths))
        with contextlib.suppress(ValueError):  # gRPC refuses what is no certificate, and says so
            shown = x509.load_pem_x509_certificate(material.certificate)
            CERTIFICATE_EXPIRY.set(shown.not_valid_after_utc.timestamp())
        return material

    def has_changed(self) -> bool:
        """Whether the files differ from when this last said so; looks at most once in WATCH_SECONDS.

        A missing file counts as unchanged: somebody is in the middle of replacing it.
        """
        now = time.monotonic()
        if now - self._looked_at < WATCH_SECONDS:
            return False
        self._looked_at = now
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return False
        self._seen = stamp
        return True
