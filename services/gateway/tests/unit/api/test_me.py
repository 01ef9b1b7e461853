from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from icn_client.transactions import KeyPair, controller_key
from icn_crypto.sign_in import sign_in_preimage
from icn_gateway.domain.sign_in import CODE_MS, SESSION_MS
from icn_kit.errors import Unavailable

from services.gateway.tests.areas import FEDERATION, MEMBER, PROPOSAL, Areas

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def lively(zone: Any, make: Any, open_client: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway over services that all have something to show, and MEMBER's key in the test's hand."""
    Areas(zone).fill()
    key = KeyPair.generate()
    zone.keys[MEMBER] = [key]
    del zone.controllers[MEMBER].keys[:]
    zone.controllers[MEMBER].keys.append(controller_key(key.public_keys))
    async with open_client(make.edge(make.context(zone))) as opened:
        yield opened


async def code_for(client: httpx.AsyncClient, zone: Any) -> str:
    asked = await client.post("/v1/sessions/challenges", json={"principal": MEMBER.hex()})
    challenge = asked.json()["challenge"]
    message = sign_in_preimage(zone.genesis.hash, "http://gateway", bytes.fromhex(challenge))
    (key,) = zone.keys[MEMBER]
    signature = {"suite": 1, "key_id": key.key_id.hex(), "signature": key.sign(message).hex()}
    body = {"challenge": challenge, "signatures": [signature], "purpose": "page"}
    return str((await client.post("/v1/sessions", json=body)).json()["code"])


async def enter(client: httpx.AsyncClient, code: str, **headers: str) -> httpx.Response:
    return await client.post("/sign-in", content=f"code={code}", headers=FORM | headers)


async def test_a_code_opens_my_account_in_a_browser_once(lively: httpx.AsyncClient, zone: Any) -> None:
    code = await code_for(lively, zone)
    shown = await lively.get(f"/sign-in?code={code}")
    assert f'value="{code}"' in shown.text
    assert zone.sessions.codes, "looking at the link uses nothing up"
    answer = await enter(lively, code)
    assert (answer.status_code, answer.headers["location"]) == (303, "/me")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert f"max-age={SESSION_MS // 1_000}" in cookie
    assert "secure" not in cookie, "this origin is not https"
    page = await lively.get("/me")
    assert page.status_code == 200
    for words in ("My balances", "Ballots I may cast", "My bookings", "My agreements", "Sign out"):
        assert words in page.text
    assert f"/proposals/{PROPOSAL}" in page.text
    again = await enter(lively, code)
    assert again.status_code == 401
    assert "CODE_UNKNOWN" in again.text


async def test_under_https_the_cookie_is_secure_and_bound_to_the_host(
    zone: Any, make: Any, open_client: Any
) -> None:
    Areas(zone).fill()
    context = make.context(zone)
    object.__setattr__(context.sign_in, "origins", ("https://icn.example",))
    zone.sessions.codes[_hash("7K3M92QXA1BC")] = _session(zone)
    async with open_client(make.edge(context)) as client:
        answer = await enter(client, "7k3m-92qx-a1bc")
    assert answer.headers["set-cookie"].startswith("__Host-icn_session=")
    assert "Secure" in answer.headers["set-cookie"]


def _hash(code: str) -> bytes:
    from icn_gateway.domain.sign_in import secret_hash

    return secret_hash(code)


def _session(zone: Any) -> Any:
    from icn_gateway.domain.sign_in import Session

    return Session(MEMBER, bytes(32), zone.now + CODE_MS)


async def test_without_a_session_my_account_leads_to_signing_in(lively: httpx.AsyncClient) -> None:
    answer = await lively.get("/me")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")


async def test_signing_out_ends_the_session(lively: httpx.AsyncClient, zone: Any) -> None:
    await enter(lively, await code_for(lively, zone))
    assert (await lively.get("/me")).status_code == 200
    answer = await lively.post("/sign-out", content="", headers=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert zone.sessions.sessions == {}
    assert (await lively.get("/me")).status_code == 303


async def test_another_sites_page_can_sign_nobody_in_or_out(lively: httpx.AsyncClient, zone: Any) -> None:
    code = await code_for(lively, zone)
    for foreign in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
        answer = await enter(lively, code, **foreign)
        assert answer.status_code == 403
        assert "CROSS_SITE" in answer.text
        assert (await lively.post("/sign-out", headers=foreign)).status_code == 403
    assert zone.sessions.codes, "not used up"
    assert (await enter(lively, code, **{"sec-fetch-site": "same-origin"})).status_code == 303


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", FORM["content-type"], 400),
        (b"code=", FORM["content-type"], 400),
        (b"code=%FF", FORM["content-type"], 400),
        (b"\xff", FORM["content-type"], 400),
        (b"a=1&b=2&c=3&d=4&e=5", FORM["content-type"], 400),
        (b"code=ABCD-EFGH-JKMN", FORM["content-type"], 401),
        (b"code=ABCDEFGHJKMN", "application/json", 415),
        (b"code=" + b"A" * 2_000, FORM["content-type"], 413),
    ],
)
async def test_a_form_of_another_kind_is_a_page_that_says_so(
    body: bytes, media_type: str, status: int, lively: httpx.AsyncClient
) -> None:
    answer = await lively.post("/sign-in", content=body, headers={"content-type": media_type})
    assert answer.status_code == status, answer.text
    assert "set-cookie" not in answer.headers


async def test_ballots_are_mine_through_the_organizations_i_belong_to(
    lively: httpx.AsyncClient, zone: Any
) -> None:
    from icn.ledger.v1 import service_pb2 as ledger

    await enter(lively, await code_for(lively, zone))
    zone.services.answers["ListMemberships"] = ledger.ListMembershipsResponse()
    assert "No vote is open for me" in (await lively.get("/me")).text
    assert FEDERATION.hex() not in (await lively.get("/me")).text.partition("Ballots I may cast")[2][:200]


async def test_when_sessions_cannot_be_read_the_page_says_so(lively: httpx.AsyncClient, zone: Any) -> None:
    await enter(lively, await code_for(lively, zone))
    zone.sessions.fault = Unavailable("DATABASE_UNAVAILABLE", "away")
    answer = await lively.get("/me")
    assert answer.status_code == 503
    assert "DATABASE_UNAVAILABLE" in answer.text
    assert (await lively.get("/market")).status_code == 200
