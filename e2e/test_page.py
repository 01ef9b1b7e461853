"""The gateway on the running platform: what a browser shows, and what a proof saved from it is worth."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from icn.governance.v1.service_pb2 import RegisterOrganization
from icn_client.commands import command_id, sign_command
from icn_client.transactions import KeyPair

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}: apt install chromium"
)


@pytest.fixture
def trade(icn: Any, answer: Any, tmp_path: Path) -> dict[str, Any]:
    """The bakery owes a member 12.50; returns unit code, accounts and a way to pay again."""
    unit = answer("unit", "create", "CRUMBS", "--scale", "2", "--floor", "-50", "--as", "bakery")["unit"]
    debtor = answer("account", "open", "--unit", unit, "--as", "bakery")["account"]
    assert icn("keys", "new", "clara").returncode == 0
    public = tmp_path / "clara.public.json"
    public.write_text(icn("keys", "export", "clara").stdout)
    answer("account", "admit", str(public), "--as", "bakery")
    creditor = answer("account", "open", "--unit", unit, "--as", "clara")["account"]

    def pay(amount: str) -> Any:
        return answer("pay", creditor, amount, "--as", "bakery", "--from", debtor)

    pay("12.50")
    return {"unit": unit, "debtor": debtor, "creditor": creditor, "pay": pay}


PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}
AREAS = (
    "/",
    *("/accounts", "/market", "/bookings", "/proposals", "/people", "/scores", "/contracts", "/sign-in"),
)


@pytest.mark.browser
@needs_chromium
async def test_a_browser_shows_validators_height_and_a_balance_that_follows_a_payment(
    federation: Any, trade: Any
) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport=PHONE)
        await page.goto(federation.gateway_url)
        for seat in federation.network.validators:
            await page.wait_for_selector(f"#validators >> text={seat.name}")
        assert await page.locator("#validators .badge.good").count() == 4
        assert int("".join(filter(str.isdigit, await page.inner_text("#height")))) > 0
        await page.wait_for_selector("#trades >> text=12.50")
        await page.goto(f"{federation.gateway_url}/accounts/{trade['creditor']}")
        assert await page.inner_text("#balance") == "12.50 CRUMBS"
        await asyncio.to_thread(trade["pay"], "2.25")
        await page.wait_for_selector("#balance >> text=14.75", timeout=30_000)
        await page.wait_for_selector("#entries >> text=+2.25")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await browser.close()


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_every_area_of_the_running_platform_is_shown_and_accessible(
    federation: Any, trade: Any, icn: Any, viewport: Any
) -> None:
    """A member signs in with a code from the command line; every page answers, fits, and breaks no rule of
    axe-core."""
    from playwright.async_api import async_playwright

    signed = icn("sign-in", "--as", "clara", "--data", str(federation.directory), "--json")
    assert signed.returncode == 0, signed.stderr
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    founder = federation.founders[0].founder.principal.hex()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport=viewport)
        await page.goto(json.loads(signed.stdout)["link"])
        await page.click("button")
        await page.wait_for_selector("#accounts >> text=12.50")
        for path in ("/me", *AREAS, f"/organizations/{founder}", f"/people/{founder}"):
            answer = await page.goto(f"{federation.gateway_url}{path}")
            assert answer is not None
            assert answer.status == 200, path
            assert "SERVICE_UNREACHABLE" not in await page.inner_text("main"), path
            await page.evaluate(axe)
            found = await page.evaluate("axe.run()")
            assert [rule["id"] for rule in found["violations"]] == [], path
            assert await page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path
        await browser.close()


def test_a_session_outlives_the_gateway_and_ends_when_its_owner_says_so(
    federation: Any, trade: Any, icn: Any
) -> None:
    signed = icn("sign-in", "--as", "clara", "--token", "--data", str(federation.directory), "--json")
    assert signed.returncode == 0, signed.stderr
    document = json.loads(signed.stdout)
    headers = {"authorization": f"Bearer {document['token']}"}
    federation.kill_process("gateway")
    with httpx.Client(base_url=federation.gateway_url, timeout=30) as client:
        seen = client.get("/v1/sessions", headers=headers)
        assert seen.json()["principal"] == document["principal"]
        assert client.delete("/v1/sessions", headers=headers).json() == {"ended": 1}
        assert client.get("/v1/sessions", headers=headers).status_code == 401


def test_a_command_goes_through_the_door_to_its_service_once(federation: Any) -> None:
    """Registered through REST, seen through REST; the same bytes again give the first answer."""
    founder = federation.founders[0]
    signed = sign_command(
        federation.network.genesis.hash,
        [KeyPair(founder.keys.values())],
        founder.founder.principal,
        "/icn.governance.v1.GovernanceService/RegisterOrganization",
        RegisterOrganization(
            organization=founder.founder.principal, display_name="Bakery <b>", kind="cooperative"
        ),
    )
    name = command_id(federation.network.genesis.hash, signed).hex()
    body = signed.SerializeToString(deterministic=True)
    octets = {"content-type": "application/octet-stream"}
    with httpx.Client(base_url=federation.gateway_url, timeout=60) as client:
        first = client.post("/v1/commands", content=body, headers={**octets, "idempotency-key": name})
        assert first.status_code == 200, first.text
        assert first.json()["command_id"] == name
        assert client.post("/v1/commands", content=body, headers=octets).json() == first.json()
        other = client.post("/v1/commands", content=body, headers={**octets, "idempotency-key": "00" * 32})
        assert (other.status_code, other.json()["reason"]) == (422, "IDEMPOTENCY_KEY_MISMATCH")
        broken = body[:-1] + bytes([body[-1] ^ 1])
        refused = client.post("/v1/commands", content=broken, headers=octets)
        assert (refused.status_code, refused.json()["reason"]) == (401, "COMMAND_SIGNATURE_INVALID")
        shown = client.get(f"/v1/organizations/{founder.founder.principal.hex()}").json()["organization"]
        assert (shown["display_name"], shown["kind"]) == ("Bakery <b>", "cooperative")
        page = client.get(f"/organizations/{founder.founder.principal.hex()}").text
        assert "Bakery &lt;b&gt;" in page


def test_a_proof_saved_from_the_gateway_convinces_the_command(
    icn: Any, federation: Any, trade: Any, tmp_path: Path
) -> None:
    proof = tmp_path / "proof.json"
    genesis = tmp_path / "genesis.json"
    with httpx.Client(base_url=federation.gateway_url, timeout=30) as client:
        proof.write_bytes(client.get(f"/v1/proofs/accounts/{trade['creditor']}").raise_for_status().content)
        genesis.write_bytes(client.get("/v1/genesis").raise_for_status().content)
    assert genesis.read_bytes() == (federation.directory / "genesis.json").read_bytes()
    verified = icn("proof", "verify", str(proof), "--genesis", str(genesis))
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["statement"]["account"] == trade["creditor"]


def test_rest_tells_what_the_ledger_holds(federation: Any, trade: Any) -> None:
    with httpx.Client(base_url=federation.gateway_url, timeout=30) as client:
        account = client.get(f"/v1/accounts/{trade['debtor']}").json()
        assert (account["balance_minor"], account["floor_minor"]) == ("-1250", "-5000")
        assert account["unit"] == {"id": trade["unit"], "code": "CRUMBS", "scale": 2}
        (entry,) = client.get(f"/v1/accounts/{trade['debtor']}/entries").json()["entries"]
        assert entry["counter_account"] == trade["creditor"]
        transaction = client.get(f"/v1/transactions/{entry['transaction_id']}").json()
        assert transaction["receipt"]["status"] == "applied"
        block = client.get(f"/v1/blocks/{transaction['height']}").json()
        assert block["transaction_ids"][transaction["index"]] == entry["transaction_id"]
        principal = client.get(f"/v1/principals/{account['owner']}").json()
        assert principal["name"] == "Bakery"
        validators = client.get("/v1/validators").json()
        assert [seat["is_reachable"] for seat in validators["validators"]] == [True] * 4


def test_events_of_a_payment_reach_a_client_once(federation: Any, trade: Any) -> None:
    with (
        httpx.Client(base_url=federation.gateway_url, timeout=30) as client,
        client.stream("GET", "/v1/events", params={"subject": "icn.ledger.v1.transfer_committed"}) as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        trade["pay"]("1.00")
        trade["pay"]("3.00")
        seen = []
        for line in lines:
            if not line.startswith("data: "):
                continue
            payload = json.loads(line.removeprefix("data: "))["payload"]
            if payload["destination"] == trade["creditor"]:
                seen.append(payload["amount_minor"])
            if seen and seen[-1] == "300":
                break
    assert seen[-2:] == ["100", "300"]


def test_garbage_is_refused_by_the_validators_with_their_reasons(federation: Any) -> None:
    octets = {"content-type": "application/octet-stream"}
    with httpx.Client(base_url=federation.gateway_url, timeout=30) as client:
        answer = client.post("/v1/transactions", content=b"\x0a\x02\x08\x01", headers=octets)
        assert (answer.status_code, answer.json()["reason"]) == (400, "MALFORMED_TRANSACTION")
        answer = client.get("/v1/accounts", params={"page_token": "bm9uZQ"})
        assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_PAGE_TOKEN")
