from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from icn_client.sign_in import GatewayUnreachable, SignInRefused, origin_of, sign_in
from icn_client.transactions import KeyPair
from icn_crypto.sign_in import sign_in_preimage
from icn_crypto.suites import Suite, verify

GENESIS = b"g" * 32
PRINCIPAL = b"p" * 16
CHALLENGE = b"\x01" * 73


@pytest.fixture
def door() -> Iterator[Any]:
    """A gateway that hands a challenge out and keeps what is brought back."""

    class Handler(BaseHTTPRequestHandler):
        received: ClassVar[list[tuple[str, Any]]] = []
        status = 200
        answer: bytes = json.dumps({"code": "7K3M-92QX-A1BC"}).encode()

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.received.append((self.path, body))
            is_first = self.path.endswith("challenges")
            content = json.dumps({"challenge": CHALLENGE.hex()}).encode() if is_first else self.answer
            self.send_response(200 if is_first else self.status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: Any) -> None:
            pass

    Handler.received.clear()
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Handler.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://Gateway.Example", "http://gateway.example"),
        ("https://icn.example:443/people?x=1", "https://icn.example"),
        ("https://icn.example:8443/", "https://icn.example:8443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_what_is_signed_is_the_origin_as_browsers_write_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["", "icn.example", "ftp://icn.example", "file:///etc/passwd", "http://"])
def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        origin_of(url)


def test_every_key_signs_the_challenge_for_the_origin_that_was_connected_to(door: Any) -> None:
    keys = [KeyPair.generate() for _ in range(2)]
    answer = sign_in(f"{door.url}/somewhere", GENESIS, PRINCIPAL, keys, "page")
    assert answer == {"code": "7K3M-92QX-A1BC"}
    (_, asked), (path, brought) = door.received
    assert asked == {"principal": PRINCIPAL.hex()}
    assert path == "/v1/sessions"
    assert brought["purpose"] == "page"
    message = sign_in_preimage(GENESIS, door.url, CHALLENGE)
    by_id = {key.key_id.hex(): key for key in keys}
    assert [signature["key_id"] for signature in brought["signatures"]] == sorted(by_id)
    for signature in brought["signatures"]:
        public_key = by_id[signature["key_id"]].public_keys[Suite.ED25519]
        assert verify(signature["suite"], public_key, message, bytes.fromhex(signature["signature"]))


def test_a_refusal_keeps_its_reason(door: Any) -> None:
    door.status = 403
    door.answer = json.dumps({"reason": "THRESHOLD_NOT_MET", "detail": "one more"}).encode()
    with pytest.raises(SignInRefused, match="one more") as refusal:
        sign_in(door.url, GENESIS, PRINCIPAL, [KeyPair.generate()], "page")
    assert refusal.value.reason == "THRESHOLD_NOT_MET"


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"\xff"])
def test_who_does_not_answer_as_a_gateway_does_is_not_believed(door: Any, answer: bytes) -> None:
    door.answer = answer
    with pytest.raises(GatewayUnreachable):
        sign_in(door.url, GENESIS, PRINCIPAL, [KeyPair.generate()], "page")


def test_nobody_there_is_said_so() -> None:
    with pytest.raises(GatewayUnreachable):
        sign_in("http://127.0.0.1:9", GENESIS, PRINCIPAL, [KeyPair.generate()], "program")
