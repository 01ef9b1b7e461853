"""A certificate authority of our own: mutual TLS between processes that each have a key of their own."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
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
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Named in every certificate: who is on the same machine calls them so."""


class AuthorityInvalid(Exception):
    """The authority's key and certificate do not go together; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority of one network, in a private directory."""

    directory: Path

    @property
    def certificate(self) -> Path:
        """PEM file that every process trusts: this authority's certificate, and behind it those of the
        authorities that it came after, as long as they are trusted."""
        return self.directory / "authority.pem"

    @property
    def key(self) -> Path:
        """PEM file that signs; only its owner can read it."""
        return self.directory / "authority.key"

    def ensure(self, name: str) -> None:
        """Make the authority unless it is there; ``name`` is shown in its certificate."""
        if self.certificate.is_file() and self.key.is_file():
            return
        self._make(name, b"")

    def succeed(self, name: str) -> None:
        """Put a new authority in this one's place, which signs no more and is still trusted: its key is gone.

        Raises:
            OSError: this authority cannot be read or replaced; then it is as it was.
        """
        new = Authority(self.directory.with_name(f"{self.directory.name}.new"))
        old = self.directory.with_name(f"{self.directory.name}.old")
        for left in (new.directory, old):
            shutil.rmtree(left, ignore_errors=True)
        new._make(name, self.certificate.read_bytes())
        self.directory.rename(old)
        new.directory.rename(self.directory)
        shutil.rmtree(old)

    def forget_predecessors(self) -> int:
        """Trust this authority alone from now on; returns how many others were trusted."""
        newest, *others = x509.load_pem_x509_certificates(self.certificate.read_bytes())
        files.write_atomically(self.certificate, _pem(newest))
        return len(others)

    def has_signed(self, certificate: bytes) -> bool:
        """Whether this one, and none that it came after, has signed the first certificate in PEM form."""
        newest = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        try:
            x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(newest)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def _make(self, name: str, trusted: bytes) -> None:
        files.make_private_directory(self.directory)
        key = ec.generate_private_key(ec.SECP256R1())
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        # Each authority has a name of its own: whoever trusts two of one name may try the wrong one only.
        called = f"{name[:38]} authority {identifier.digest.hex()[:8]}"
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
        certificate = (
            _builder(subject, subject, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        files.write_private(self.key, _key_pem(key), may_replace=True)
        files.write_atomically(self.certificate, _pem(certificate) + trusted)

    def issue(
        self, name: str, directory: Path, hosts: Sequence[str] = (), *, renew_days: float = RENEW_DAYS
    ) -> TlsFiles:
        """Give the process ``name`` a certificate in ``directory``, unless one there is good for
        ``renew_days`` more.

        It is for serving and for calling, and names 127.0.0.1, ::1, localhost, ``name`` and ``hosts``, which
        are names of hosts or addresses; one that lacks any of them is replaced.

        Raises:
            AuthorityInvalid: the authority's files cannot sign.
            CertificateInvalid: a host cannot stand in a certificate.
        """
        issued = TlsFiles(directory / "certificate.pem", directory / "key.pem", directory / "authority.pem")
        authority_pem = self.certificate.read_bytes()
        alternatives = _alternatives((name, *LOCAL_HOSTS, *hosts))
        if _is_good(issued, authority_pem, alternatives, renew_days):
            return issued
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), alternatives)
        files.make_private_directory(directory)
        files.write_private(issued.key, _key_pem(key), may_replace=True)
        files.write_atomically(issued.authority, authority_pem)
        files.write_atomically(issued.certificate, certificate)
        return issued

    def certify(self, request: CertificateRequest) -> bytes:
        """A certificate for somebody else's key, PEM: for serving and for calling, under the names that the
        request asks for. Whoever calls this has looked at them.

        Raises:
            AuthorityInvalid: the authority's files cannot sign.
        """
        return self._sign(
            request.document.subject, request.public_key, x509.SubjectAlternativeName(request.alternatives)
        )

    def _sign(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, names: x509.SubjectAlternativeName
    ) -> bytes:
        authority = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        signer = serialization.load_pem_private_key(self.key.read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey), "we make no other kind"
        if signer.public_key() != authority.public_key():
            raise AuthorityInvalid(f"{self.key} is not the key of {self.certificate}: bring back the folder")
        certificate = (
            _builder(subject, authority.subject, public_key, LEAF_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(names, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .sign(signer, hashes.SHA256())
        )
        return _pem(certificate)


class CertificateInvalid(ValueError):
    """Bytes are no certificate or request that can be used; the message says why."""


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """A request (PKCS #10) whose signature holds, for an elliptic-curve key. Made by `read_request`."""

    document: x509.CertificateSigningRequest
    public_key: ec.EllipticCurvePublicKey
    alternatives: Sequence[x509.GeneralName]

    @property
    def names(self) -> tuple[str, ...]:
        """Hosts and addresses that it asks for."""
        return tuple(str(one.value) for one in self.alternatives)


def write_request(name: str, hosts: Sequence[str], directory: Path) -> bytes:
    """Make a TLS key in ``directory`` (``key.pem``) and return a request for its certificate, PEM, which
    names ``hosts`` and this machine; ``name`` is shown to people.

    Raises:
        FileExistsError: a key is there.
        CertificateInvalid: a host cannot stand in a certificate.
    """
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(_alternatives((*hosts, *LOCAL_HOSTS)), critical=False)
        .sign(key, hashes.SHA256())
    )
    files.make_private_directory(directory)
    files.write_private(directory / "key.pem", _key_pem(key))
    return request.public_bytes(serialization.Encoding.PEM)


def read_request(pem: bytes) -> CertificateRequest:
    """A request for a certificate.

    Raises:
        CertificateInvalid: see there.
    """
    try:
        document = x509.load_pem_x509_csr(pem)
        is_signed = document.is_signature_valid
        alternatives = tuple(document.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise CertificateInvalid(f"no request for a certificate: {error}") from None
    public_key = document.public_key()
    if not is_signed or not isinstance(public_key, ec.EllipticCurvePublicKey):
        raise CertificateInvalid("the request is not signed by an elliptic-curve key of its own")
    if not all(isinstance(one, (x509.DNSName, x509.IPAddress)) for one in alternatives):
        raise CertificateInvalid("the request asks for names that are neither hosts nor addresses")
    return CertificateRequest(document, public_key, alternatives)


def check_certificate(certificate: bytes, key: bytes, authorities: bytes) -> None:
    """Return if a certificate is of this key, in its time, and signed by one of the authorities; PEM each.

    Raises:
        CertificateInvalid: see there.
    """
    try:
        shown = x509.load_pem_x509_certificate(certificate)
        signers = x509.load_pem_x509_certificates(authorities)
        own = serialization.load_pem_private_key(key, password=None)
    except ValueError as error:
        raise CertificateInvalid(f"no certificate: {error}") from None
    if shown.public_key() != own.public_key():
        raise CertificateInvalid("the certificate is of another key")
    now = datetime.datetime.now(datetime.UTC)
    if not shown.not_valid_before_utc <= now <= shown.not_valid_after_utc:
        raise CertificateInvalid(
            f"the certificate is good from {shown.not_valid_before_utc} to {shown.not_valid_after_utc}, "
            f"and it is {now:%Y-%m-%d %H:%M:%S+00:00}"
        )
    for signer in signers:
        with contextlib.suppress(ValueError, TypeError, InvalidSignature):
            shown.verify_directly_issued_by(signer)
            return
    raise CertificateInvalid("no authority that came with the certificate has signed it")


def _alternatives(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(hosts)])


def _general_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise CertificateInvalid(f"{host[:80]!r} cannot stand in a certificate: {error}") from None


def certificate_name(certificate: bytes) -> str:
    """Of the process that the first certificate in PEM form was issued to."""
    (name,) = x509.load_pem_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value)


def hosts_of(certificate: bytes) -> tuple[str, ...]:
    """Names and addresses for which the first certificate in PEM form is good."""
    shown = x509.load_pem_x509_certificate(certificate)
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = map(str, names.get_values_for_type(x509.IPAddress))
    return (*names.get_values_for_type(x509.DNSName), *addresses)


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


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _is_good(
    issued: TlsFiles, authority_pem: bytes, names: x509.SubjectAlternativeName, renew_days: float
) -> bool:
    """Whether the files are there, of this authority, under these names, and good for a while."""
    if not (issued.certificate.is_file() and issued.key.is_file() and issued.authority.is_file()):
        return False
    if issued.authority.read_bytes() != authority_pem:
        return False
    certificate = x509.load_pem_x509_certificate(issued.certificate.read_bytes())
    shown = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    renew_at = certificate.not_valid_after_utc - datetime.timedelta(days=renew_days)
    return datetime.datetime.now(datetime.UTC) < renew_at and set(names) <= set(shown)
