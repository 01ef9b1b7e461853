"""A certificate authority for one machine: mutual TLS between processes that each have a key of their own."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from icn_kit.tls import TlsFiles

from icn_localnet import files

AUTHORITY_DAYS = 3650
LEAF_DAYS = 397
"""The longest that TLS clients accept today (CA/Browser Forum baseline requirements 6.3.2)."""
RENEW_DAYS = 30
CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority of one local network, in a private directory."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """PEM file that every process trusts."""
        return self.directory / "authority.pem"

    @property
    def key(self) -> Path:
        """PEM file that signs; only its owner can read it."""
        return self.directory / "authority.key"

    def ensure(self, name: str) -> None:
        """Make the authority unless it is there; ``name`` is shown in its certificate."""
        if self.certificate.is_file() and self.key.is_file():
            return
        files.make_private_directory(self.directory)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} local authority"[:64])])
        certificate = (
            _builder(subject, subject, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        files.write_private(self.key, _key_pem(key), may_replace=True)
        files.write_atomically(self.certificate, certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, directory: Path, hosts: Sequence[str] = ()) -> TlsFiles:
        """Give the process ``name`` a certificate in ``directory``, unless one there is good for RENEW_DAYS.

        It is for serving and for calling, and names 127.0.0.1, ::1, localhost, ``name`` and ``hosts``.
        """
        issued = TlsFiles(directory / "certificate.pem", directory / "key.pem", directory / "authority.pem")
        authority_pem = self.certificate.read_bytes()
        if _is_good(issued, authority_pem):
            return issued
        files.make_private_directory(directory)
        authority = x509.load_pem_x509_certificate(authority_pem)
        signer = serialization.load_pem_private_key(self.key.read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey), "ensure() makes no other kind"
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternatives = x509.SubjectAlternativeName(
            [
                *(x509.DNSName(host) for host in dict.fromkeys((name, "localhost", *hosts))),
                x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
                x509.IPAddress(ipaddress.ip_address("::1")),
            ]
        )
        certificate = (
            _builder(subject, authority.subject, key.public_key(), LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(alternatives, critical=False)
            .sign(signer, hashes.SHA256())
        )
        files.write_private(issued.key, _key_pem(key), may_replace=True)
        files.write_atomically(issued.authority, authority_pem)
        files.write_atomically(issued.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        return issued


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _is_good(issued: TlsFiles, authority_pem: bytes) -> bool:
    """Whether the files are there, of this authority, and good for a while."""
    if not (issued.certificate.is_file() and issued.key.is_file() and issued.authority.is_file()):
        return False
    if issued.authority.read_bytes() != authority_pem:
        return False
    certificate = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    renew_at = certificate.not_valid_after_utc - datetime.timedelta(days=RENEW_DAYS)
    return datetime.datetime.now(datetime.UTC) < renew_at
