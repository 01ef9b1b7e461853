from __future__ import annotations

from typing import Any

import httpx
import pytest
from icn_crypto.sign_in import sign_in_preimage
from icn_gateway.domain.rate_limit import RateLimit
from icn_gateway.domain.sign_in import CHALLENGE_MS, CODE_MS, SESSION_MS
from icn_kit.errors import Unavailable

ORIGIN = "http://gateway"


async def ask(client: httpx.AsyncClient, principal: bytes) -> str:
    answer = await client.post("/v1/sessions/challenges", json={"principal": principal.hex()})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["challenge"])


def signed(
    zone: Any, principal: bytes, challenge: str, *, origin: str = ORIGIN, keys: Any = None
) -> dict[str, Any]:
    message = sign_in_preimage(zone.genesis.hash, origin, bytes.fromhex(challenge))
    return {
        "challenge": challenge,
        "signatures": [
            {"suite": 1, "key_id": key.key_id.hex(), "signature": key.sign(message).hex()}
            for key in (zone.keys[principal] if keys is None else keys)
        ],
    }


async def sign_in(client: httpx.AsyncClient, zone: Any, principal: bytes, **more: Any) -> httpx.Response:
    return await client.post(
        "/v1/sessions", json=signed(zone, principal, await ask(client, principal)) | more
    )


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_who_signs_the_challenge_gets_a_session_that_says_who_it_is(
    client: httpx.AsyncClient, zone: Any
) -> None:
    principal = zone.add_principal(500)
    answer = await sign_in(client, zone, principal)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    document = answer.json()
    assert document["expire_time_ms"] == zone.now + SESSION_MS
    assert "code" not in document
    seen = await client.get("/v1/sessions", headers=bearer(document["token"]))
    assert seen.json() == {"principal": principal.hex(), "expire_time_ms": zone.now + SESSION_MS}


async def test_what_is_kept_opens_nothing(client: httpx.AsyncClient, zone: Any) -> None:
    token = (await sign_in(client, zone, zone.add_principal(500))).json()["token"]
    (kept,) = zone.sessions.sessions
    assert token.encode() not in kept
    assert (await client.get("/v1/sessions", headers=bearer(kept.hex()))).status_code == 401


async def test_a_session_ends_by_itself(client: httpx.AsyncClient, zone: Any) -> None:
    token = (await sign_in(client, zone, zone.add_principal(500))).json()["token"]
    zone.now += SESSION_MS
    assert (await client.get("/v1/sessions", headers=bearer(token))).status_code == 200
    zone.now += 1
    answer = await client.get("/v1/sessions", headers=bearer(token))
    assert (answer.status_code, answer.json()["reason"]) == (401, "SESSION_UNKNOWN")


async def test_a_session_ends_when_the_keys_change(client: httpx.AsyncClient, zone: Any) -> None:
    principal = zone.add_principal(500)
    token = (await sign_in(client, zone, principal)).json()["token"]
    zone.add_principal(500)
    zone.now += 2_001
    answer = await client.get("/v1/sessions", headers=bearer(token))
    assert (answer.status_code, answer.json()["reason"]) == (401, "SESSION_UNKNOWN")


async def test_signing_out_ends_one_session_or_all(client: httpx.AsyncClient, zone: Any) -> None:
    principal, other = zone.add_principal(500), zone.add_principal(501)
    first, second, third = [(await sign_in(client, zone, principal)).json()["token"] for _ in range(3)]
    stranger = (await sign_in(client, zone, other)).json()["token"]
    assert (await client.delete("/v1/sessions", headers=bearer(first))).json() == {"ended": 1}
    assert (await client.get("/v1/sessions", headers=bearer(first))).status_code == 401
    assert (await client.get("/v1/sessions", headers=bearer(second))).status_code == 200
    answer = await client.delete("/v1/sessions?everywhere=true", headers=bearer(second))
    assert answer.json() == {"ended": 2}
    assert (await client.get("/v1/sessions", headers=bearer(third))).status_code == 401
    assert (await client.get("/v1/sessions", headers=bearer(stranger))).status_code == 200


async def test_a_challenge_is_good_once_and_two_minutes(client: httpx.AsyncClient, zone: Any) -> None:
    principal = zone.add_principal(500)
    body = signed(zone, principal, await ask(client, principal))
    assert (await client.post("/v1/sessions", json=body)).status_code == 200
    answer = await client.post("/v1/sessions", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (409, "CHALLENGE_USED")
    body = signed(zone, principal, await ask(client, principal))
    zone.now += CHALLENGE_MS + 1
    answer = await client.post("/v1/sessions", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (409, "CHALLENGE_EXPIRED")


async def test_what_was_signed_for_another_gateway_or_zone_does_not_open_this_one(
    client: httpx.AsyncClient, zone: Any
) -> None:
    principal = zone.add_principal(500)
    for origin in ("https://evil.example", "http://gateway:80", "http://gatewa"):
        body = signed(zone, principal, await ask(client, principal), origin=origin)
        answer = await client.post("/v1/sessions", json=body)
        assert (answer.status_code, answer.json()["reason"]) == (401, "SIGN_IN_SIGNATURE_INVALID")
    challenge = await ask(client, principal)
    (key,) = zone.keys[principal]
    body = signed(zone, principal, challenge)
    body["signatures"][0]["signature"] = key.sign(
        sign_in_preimage(b"\x00" * 32, ORIGIN, bytes.fromhex(challenge))
    ).hex()
    assert (await client.post("/v1/sessions", json=body)).status_code == 401


async def test_as_many_keys_must_sign_as_the_threshold_says(client: httpx.AsyncClient, zone: Any) -> None:
    principal = zone.add_principal(500, keys=3, threshold=2)
    keys = zone.keys[principal]
    one = signed(zone, principal, await ask(client, principal), keys=keys[:1])
    answer = await client.post("/v1/sessions", json=one)
    assert (answer.status_code, answer.json()["reason"]) == (403, "THRESHOLD_NOT_MET")
    assert answer.json()["figures"] == {"signatures": "1", "threshold": "2"}
    twice = signed(zone, principal, await ask(client, principal), keys=[keys[0], keys[0]])
    assert (await client.post("/v1/sessions", json=twice)).status_code == 400
    two = signed(zone, principal, await ask(client, principal), keys=keys[1:])
    assert (await client.post("/v1/sessions", json=two)).status_code == 200


async def test_a_key_of_somebody_else_does_not_sign_in(client: httpx.AsyncClient, zone: Any) -> None:
    principal, other = zone.add_principal(500), zone.add_principal(501)
    body = signed(zone, principal, await ask(client, principal), keys=zone.keys[other])
    answer = await client.post("/v1/sessions", json=body)
    assert (answer.status_code, answer.json()["reason"]) == (401, "KEY_UNKNOWN")


async def test_a_scoped_key_does_not_sign_in(client: httpx.AsyncClient, zone: Any) -> None:
    principal = zone.add_principal(500)
    zone.controllers[principal].keys[0].scope.message_kinds.append(16)
    answer = await sign_in(client, zone, principal)
    assert (answer.status_code, answer.json()["reason"]) == (403, "KEY_SCOPED")


async def test_a_key_that_was_just_added_counts_at_once(client: httpx.AsyncClient, zone: Any) -> None:
    principal = zone.add_principal(500)
    challenge = await ask(client, principal)
    zone.add_principal(500)
    zone.now += 300
    assert (await client.post("/v1/sessions", json=signed(zone, principal, challenge))).status_code == 200


async def test_nobody_of_that_name_gets_no_challenge(client: httpx.AsyncClient, make: Any) -> None:
    answer = await client.post("/v1/sessions/challenges", json={"principal": make.identifier(999).hex()})
    assert (answer.status_code, answer.json()["reason"]) == (401, "CONTROLLER_UNKNOWN")


async def test_a_code_signs_a_browser_in_once(client: httpx.AsyncClient, zone: Any) -> None:
    principal = zone.add_principal(500)
    document = (await sign_in(client, zone, principal, purpose="page")).json()
    assert "token" not in document
    assert document["link"] == f"{ORIGIN}/sign-in?code={document['code']}"
    assert document["expire_time_ms"] == zone.now + CODE_MS
    assert zone.sessions.sessions == {}


GOOD_CHALLENGE = "00" * 73
GOOD_SIGNATURE = {"suite": 1, "key_id": "00" * 16, "signature": "00" * 64}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/sessions/challenges", b""),
        ("/v1/sessions/challenges", b"[]"),
        ("/v1/sessions/challenges", b"{}"),
        ("/v1/sessions/challenges", b'{"principal": "AB"}'),
        ("/v1/sessions/challenges", b'{"principal": "%s", "more": 1}' % (b"0" * 32)),
        ("/v1/sessions/challenges", b"[" * 50_000),
        ("/v1/sessions", {"challenge": "00", "signatures": [GOOD_SIGNATURE]}),
        ("/v1/sessions", {"challenge": "0G" * 73, "signatures": [GOOD_SIGNATURE]}),
        ("/v1/sessions", {"challenge": GOOD_CHALLENGE, "signatures": []}),
        ("/v1/sessions", {"challenge": GOOD_CHALLENGE, "signatures": [GOOD_SIGNATURE] * 17}),
        ("/v1/sessions", {"challenge": GOOD_CHALLENGE, "signatures": [GOOD_SIGNATURE | {"suite": -1}]}),
        ("/v1/sessions", {"challenge": GOOD_CHALLENGE, "signatures": [GOOD_SIGNATURE | {"signature": "0"}]}),
        ("/v1/sessions", {"challenge": GOOD_CHALLENGE, "signatures": [GOOD_SIGNATURE], "purpose": "admin"}),
        ("/v1/sessions", {"challenge": GOOD_CHALLENGE, "signatures": [GOOD_SIGNATURE]}),
    ],
)
async def test_a_body_of_another_form_is_refused(path: str, body: Any, client: httpx.AsyncClient) -> None:
    answer = await (
        client.post(path, content=body, headers={"content-type": "application/json"})
        if isinstance(body, bytes)
        else client.post(path, json=body)
    )
    assert answer.status_code == 400, answer.text
    assert answer.json()["reason"] in {"INVALID_ARGUMENT", "CHALLENGE_MALFORMED"}


async def test_a_body_of_another_kind_or_size_is_refused(client: httpx.AsyncClient) -> None:
    for path in ("/v1/sessions", "/v1/sessions/challenges"):
        answer = await client.post(path, content=b"{}", headers={"content-type": "text/plain"})
        assert answer.status_code == 415
        answer = await client.post(path, content=b" " * 200_000, headers={"content-type": "application/json"})
        assert answer.status_code == 413


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": "Bearer " + "x" * 5_000},
        {"authorization": "Basic dXNlcjpwYXNz"},
        {"cookie": "icn_session=unknown"},
        {"cookie": "icn_session=" + "x" * 5_000},
    ],
)
async def test_without_a_session_nothing_is_told(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for method in ("GET", "DELETE"):
        answer = await client.request(method, "/v1/sessions", headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (401, "SESSION_UNKNOWN")


async def test_another_sites_page_cannot_sign_out(client: httpx.AsyncClient, zone: Any) -> None:
    token = (await sign_in(client, zone, zone.add_principal(500))).json()["token"]
    for foreign in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}):
        answer = await client.delete("/v1/sessions", headers=bearer(token) | foreign)
        assert (answer.status_code, answer.json()["reason"]) == (403, "CROSS_SITE")
    assert (await client.get("/v1/sessions", headers=bearer(token))).status_code == 200


async def test_signing_in_is_limited_per_address(zone: Any, make: Any, open_client: Any) -> None:
    context = make.context(zone, sign_in_limit=RateLimit(per_second=0.001, burst=2))
    async with open_client(make.edge(context)) as client:
        body = {"principal": zone.add_principal(500).hex()}
        statuses = [(await client.post("/v1/sessions/challenges", json=body)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await client.get("/v1/units")).status_code == 200


async def test_without_its_database_the_door_says_so_and_everything_else_works(
    client: httpx.AsyncClient, zone: Any
) -> None:
    principal = zone.add_principal(500)
    token = (await sign_in(client, zone, principal)).json()["token"]
    zone.sessions.fault = Unavailable("DATABASE_UNAVAILABLE", "away")
    answer = await client.get("/v1/sessions", headers=bearer(token))
    assert (answer.status_code, answer.json()["reason"]) == (503, "DATABASE_UNAVAILABLE")
    assert (await client.get("/v1/accounts")).status_code == 200
