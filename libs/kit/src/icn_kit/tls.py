"""Mutual TLS from files that somebody else renews. Source: docs/operating/rotate-certificates.md."""

from __future__ import annotations

import datetime
import hashlib
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from prometheus_client import Gauge

WATCH_SECONDS = 1.0
"""Files are looked at no more than once in this time; a renewed certificate overlaps the old one by hours."""

CERTIFICATE_EXPIRY = Gauge(
    "icn_kit_certificate_expiry_time_seconds",
    "When the certificate in the files of this process runs out, unix seconds; 0 where it has none.",
)

_log = structlog.get_logger(__name__)


class CertificateInvalid(Exception):
    """The files are no certificate, key and authorities that go together, or it has ended; the message says
    what to replace."""


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
        self.files = files
        CERTIFICATE_EXPIRY.set_function(self._ends_at)
        self._paths = (files.certificate, files.key, files.authority)
        self._seen = self._stamp()
        self._looked_at = time.monotonic()

    def _ends_at(self) -> float:
        """Unix seconds; 0 where there is no certificate."""
        try:
            shown = x509.load_pem_x509_certificate(self.files.certificate.read_bytes())
        except (OSError, ValueError):
            return 0.0
        return shown.not_valid_after_utc.timestamp()

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
            CertificateInvalid: nobody would talk to a process with these.
        """
        material = TlsMaterial(*(path.read_bytes() for path in self._paths))
        _check(material, self.files)
        return material

    def read_if_changed(self) -> TlsMaterial | None:
        """The files if they differ from when they were last looked at and can be used; None to go on with
        what there is. Why changed files cannot be used is told in the log."""
        if not self.has_changed():
            return None
        try:
            return self.read()
        except (OSError, CertificateInvalid) as error:
            _log.error("new certificate files cannot be used, keeping the old ones", error=str(error))
            return None

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


def _check(material: TlsMaterial, files: TlsFiles) -> None:
    try:
        shown = x509.load_pem_x509_certificate(material.certificate)
    except ValueError:
        raise CertificateInvalid(f"{files.certificate} is no certificate in PEM form") from None
    try:
        own = serialization.load_pem_private_key(material.key, password=None)
    except (ValueError, TypeError):
        raise CertificateInvalid(f"{files.key} is no unencrypted private key in PEM form") from None
    try:
        x509.load_pem_x509_certificates(material.authority)
    except ValueError:
        raise CertificateInvalid(f"{files.authority} holds no certificate in PEM form") from None
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if own.public_key().public_bytes(*form) != shown.public_key().public_bytes(*form):
        raise CertificateInvalid(f"{files.key} is not the key of {files.certificate}: replace both together")
    ends_at = shown.not_valid_after_utc
    if ends_at <= datetime.datetime.now(datetime.UTC):
        raise CertificateInvalid(
            f"{files.certificate} ended at {ends_at:%Y-%m-%dT%H:%M:%SZ}, and others refuse it: renew it "
            "(docs/operating/rotate-certificates.md)"
        )
