"""Sign in at a gateway: the keys sign here, the gateway gets signatures.

Source: docs/spec/gateway.md, "Sign-in".
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from icn_crypto.sign_in import sign_in_preimage
from icn_crypto.suites import Suite

from icn_client.transactions import KeyPair

Purpose = Literal["program", "page"]

SECONDS_MAX: Final = 15.0
ANSWER_BYTES_MAX: Final = 65_536
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class SignInRefused(Exception):
    """The gateway said no; ``reason`` is stable."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class GatewayUnreachable(Exception):
    """No answer from the gateway."""


def origin_of(url: str) -> str:
    """The origin that is signed: ``scheme://host[:port]`` in lower case, without the default port.

    Raises:
        ValueError: not an http or https address.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https address")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def sign_in(
    gateway_url: str, genesis_hash: bytes, principal: bytes, keys: Sequence[KeyPair], purpose: Purpose
) -> dict[str, Any]:
    """Ask for a challenge, sign it for the origin that was connected to, and bring it back.

    Args:
        gateway_url: where the gateway is.
        genesis_hash: of the zone that the keys belong to.
        principal: 16 bytes.
        keys: as many unscoped keys as the principal's threshold.
        purpose: ``page`` for a one-time code and link, ``program`` for a token.

    Raises:
        ValueError: ``gateway_url`` is no address.
        SignInRefused: with the gateway's reason.
        GatewayUnreachable: no answer.
    """
    origin = origin_of(gateway_url)
    challenge = _post(f"{origin}/v1/sessions/challenges", {"principal": principal.hex()})["challenge"]
    message = sign_in_preimage(genesis_hash, origin, bytes.fromhex(challenge))
    signatures = [
        {"suite": int(Suite.ED25519), "key_id": key.key_id.hex(), "signature": key.sign(message).hex()}
        for key in sorted(keys, key=lambda key: key.key_id)
    ]
    return _post(
        f"{origin}/v1/sessions", {"challenge": challenge, "signatures": signatures, "purpose": purpose}
    )


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - `origin_of` lets http and https through, nothing else
        url, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:  # noqa: S310
            return _read(answer)
    except urllib.error.HTTPError as error:
        with error:
            problem = _read(error)
        raise SignInRefused(str(problem.get("reason", "UNKNOWN")), str(problem.get("detail", ""))) from None
    except OSError as error:
        raise GatewayUnreachable(f"{url}: {error}") from error


def _read(answer: Any) -> dict[str, Any]:
    try:
        document = json.loads(answer.read(ANSWER_BYTES_MAX))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise GatewayUnreachable("the answer is not a gateway's")
    return document
