from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from icn_kit.tls import TlsFiles
from icn_localnet.certificates import Authority, AuthorityInvalid, certificate_name, hosts_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "authority")
    made.ensure("test")
    return made


def context(files: TlsFiles, purpose: ssl.Purpose) -> ssl.SSLContext:
    made = ssl.create_default_context(purpose, cafile=str(files.authority))
    made.load_cert_chain(files.certificate, files.key)
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def shake_hands(server: TlsFiles, client: TlsFiles, name: str) -> str:
    """The common name the server sees after mutual TLS over a socket pair."""
    left, right = socket.socketpair()
    seen: list[object] = []

    def serve() -> None:
        try:
            with context(server, ssl.Purpose.CLIENT_AUTH).wrap_socket(left, server_side=True) as connection:
                seen.append(connection.getpeercert())
                connection.send(b"x")
        except (ssl.SSLError, OSError) as error:
            seen.append(error)
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with context(client, ssl.Purpose.SERVER_AUTH).wrap_socket(right, server_hostname=name) as connection:
            connection.recv(1)
    finally:
        right.close()
        thread.join()
    peer = seen[0]
    assert isinstance(peer, dict), peer
    return dict(pair[0] for pair in peer["subject"])["commonName"]


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "validator-0"])
def test_two_processes_of_one_authority_know_each_other_by_name(
    authority: Authority, tmp_path: Path, name: str
) -> None:
    server = authority.issue("validator-0", tmp_path / "server")
    client = authority.issue("gateway", tmp_path / "client")
    assert shake_hands(server, client, name) == "gateway"


def test_a_certificate_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    other.ensure("other")
    stranger = other.issue("gateway", tmp_path / "stranger")
    server = authority.issue("validator-0", tmp_path / "server")
    trusting = TlsFiles(stranger.certificate, stranger.key, server.authority)
    with pytest.raises((ssl.SSLError, OSError, AssertionError)):
        shake_hands(server, trusting, "localhost")


def test_another_name_than_the_issued_one_is_refused(authority: Authority, tmp_path: Path) -> None:
    server = authority.issue("validator-0", tmp_path / "server")
    with pytest.raises(ssl.SSLCertVerificationError, match="validator-1"):
        shake_hands(server, server, "validator-1")


def test_keys_are_readable_by_their_owner_only(authority: Authority, tmp_path: Path) -> None:
    issued = authority.issue("gateway", tmp_path / "gateway")
    assert authority.key.stat().st_mode & 0o777 == 0o600
    assert issued.key.stat().st_mode & 0o777 == 0o600


def test_a_good_certificate_is_kept_and_one_about_to_expire_is_renewed(
    authority: Authority, tmp_path: Path
) -> None:
    first = authority.issue("gateway", tmp_path / "gateway").certificate.read_bytes()
    assert authority.issue("gateway", tmp_path / "gateway").certificate.read_bytes() == first
    assert authority.issue("gateway", tmp_path / "gateway", renew_days=396).certificate.read_bytes() == first
    assert authority.issue("gateway", tmp_path / "gateway", renew_days=397).certificate.read_bytes() != first


def test_a_certificate_of_a_replaced_authority_is_issued_anew(authority: Authority, tmp_path: Path) -> None:
    first = authority.issue("gateway", tmp_path / "gateway").certificate.read_bytes()
    authority.certificate.unlink()
    authority.ensure("test")
    assert authority.issue("gateway", tmp_path / "gateway").certificate.read_bytes() != first


def test_the_authority_signs_certificates_and_the_others_do_not(authority: Authority, tmp_path: Path) -> None:
    root = x509.load_pem_x509_certificate(authority.certificate.read_bytes())
    leaf = x509.load_pem_x509_certificate(
        authority.issue("gateway", tmp_path / "leaf").certificate.read_bytes()
    )
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["gateway", "localhost"]
    assert ipaddress.ip_address("127.0.0.1") in names.get_values_for_type(x509.IPAddress)


def test_a_certificate_that_lacks_a_host_is_issued_anew_and_one_with_more_is_kept(
    authority: Authority, tmp_path: Path
) -> None:
    def issue(*hosts: str) -> bytes:
        return authority.issue("validator-0", tmp_path / "leaf", hosts).certificate.read_bytes()

    first = issue()
    with_address = issue("192.0.2.1")
    assert with_address != first
    assert issue() == issue("192.0.2.1") == with_address


def test_while_one_authority_follows_another_every_pair_talks(authority: Authority, tmp_path: Path) -> None:
    authority_before = authority.certificate.read_bytes()
    old = authority.issue("validator-0", tmp_path / "old")
    authority.succeed("test")
    assert authority.certificate.read_bytes().endswith(authority_before)
    new = authority.issue("gateway", tmp_path / "new")
    trusting = TlsFiles(old.certificate, old.key, authority.certificate)
    assert shake_hands(trusting, new, "localhost") == "gateway"
    assert shake_hands(new, trusting, "localhost") == "validator-0"
    assert shake_hands(trusting, trusting, "localhost") == "validator-0"


def test_of_an_authority_that_is_forgotten_nobody_is_trusted(authority: Authority, tmp_path: Path) -> None:
    old = authority.issue("validator-0", tmp_path / "old")
    authority.succeed("test")
    assert not authority.has_signed(old.certificate.read_bytes())
    assert authority.forget_predecessors() == 1
    new = authority.issue("gateway", tmp_path / "new")
    assert authority.has_signed(new.certificate.read_bytes())
    with pytest.raises((ssl.SSLError, OSError, AssertionError)):
        shake_hands(new, TlsFiles(old.certificate, old.key, authority.certificate), "localhost")
    assert authority.forget_predecessors() == 0


def test_the_key_of_an_authority_before_is_gone(authority: Authority, tmp_path: Path) -> None:
    before = authority.key.read_bytes()
    authority.succeed("test")
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert before not in kept
    assert authority.key.stat().st_mode & 0o777 == 0o600


def test_an_authority_with_the_key_of_another_signs_nothing(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    other.ensure("other")
    authority.key.write_bytes(other.key.read_bytes())
    with pytest.raises(AuthorityInvalid, match="is not the key of"):
        authority.issue("gateway", tmp_path / "gateway")
    assert not (tmp_path / "gateway" / "certificate.pem").exists()


def test_a_certificate_is_for_names_and_addresses(authority: Authority, tmp_path: Path) -> None:
    hosts = ("icn.mill.example", "192.0.2.7", "2001:db8::7")
    issued = authority.issue("validator-0", tmp_path / "server", hosts).certificate.read_bytes()
    assert set(hosts) < set(hosts_of(issued))
    assert certificate_name(issued) == "validator-0"
