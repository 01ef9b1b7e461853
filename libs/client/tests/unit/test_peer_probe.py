from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from icn_client.peer_probe import PeerAnswer, probe_all
from icn_kit.tls import TlsFiles
from icn_localnet.certificates import Authority


def authority(folder: Path) -> Authority:
    made = Authority(folder)
    made.ensure(folder.name)
    return made


@contextmanager
def serving(tls: TlsFiles | None, host: str = "127.0.0.1") -> Iterator[str]:
    """A server that shows a certificate and asks for one; in plain text without."""
    with socket.create_server((host, 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection, suppress(OSError):
                        if tls is None:
                            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                            continue
                        context = ssl.create_default_context(
                            ssl.Purpose.CLIENT_AUTH, cafile=str(tls.authority)
                        )
                        context.load_cert_chain(tls.certificate, tls.key)
                        context.verify_mode = ssl.CERT_REQUIRED
                        with context.wrap_socket(connection, server_side=True) as channel:
                            channel.sendall(b"settings")
                            channel.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"{host}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def own(tmp_path: Path) -> TlsFiles:
    return authority(tmp_path / "ours").issue("validator-4", tmp_path / "own")


def answer_of(tls: TlsFiles, address: str) -> tuple[PeerAnswer, str]:
    (probe,) = probe_all([address], tls)
    assert probe.address == address
    return probe.answer, probe.problem


def test_who_has_the_same_authority_is_accepted(tmp_path: Path, own: TlsFiles) -> None:
    other = Authority(tmp_path / "ours").issue("validator-0", tmp_path / "other")
    with serving(other) as address:
        assert answer_of(own, address) == (PeerAnswer.ACCEPTED, "")


def test_nobody_at_the_address_is_not_reached(own: TlsFiles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert answer_of(own, f"127.0.0.1:{port}") == (PeerAnswer.UNREACHED, "connection refused")
    assert answer_of(own, "no-such-host.invalid:7001")[0] is PeerAnswer.UNREACHED


def test_a_certificate_of_another_authority_is_not_trusted(tmp_path: Path, own: TlsFiles) -> None:
    theirs = authority(tmp_path / "theirs").issue("validator-0", tmp_path / "other")
    with serving(theirs) as address:
        answer, problem = answer_of(own, address)
    assert answer is PeerAnswer.UNTRUSTED
    assert "certificate" in problem


def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path, own: TlsFiles) -> None:
    other = Authority(tmp_path / "ours").issue("validator-0", tmp_path / "other")
    with serving(other, host="127.0.0.9") as address:
        answer, problem = answer_of(own, address)
    assert answer is PeerAnswer.UNTRUSTED
    assert "127.0.0.9" in problem


def test_who_does_not_know_our_authority_refuses(tmp_path: Path, own: TlsFiles) -> None:
    theirs = authority(tmp_path / "theirs").issue("validator-0", tmp_path / "other")
    both = tmp_path / "both.pem"
    both.write_bytes(own.authority.read_bytes() + theirs.authority.read_bytes())
    with serving(theirs) as address:
        assert answer_of(TlsFiles(own.certificate, own.key, both), address)[0] is PeerAnswer.REFUSED


def test_who_speaks_no_tls_refuses(own: TlsFiles) -> None:
    with serving(None) as address:
        assert answer_of(own, address)[0] is PeerAnswer.REFUSED
