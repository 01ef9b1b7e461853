"""The gateway on the running platform: what a browser shows, and what a proof saved from it is worth."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

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


@pytest.mark.browser
@needs_chromium
async def test_a_browser_shows_validators_height_and_a_balance_that_follows_a_payment(
    federation: Any, trade: Any
) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = await browser.new_page(viewport={"width": 360, "height": 740})
        await page.goto(federation.gateway_url)
        for seat in federation.network.validators:
            await page.wait_for_selector(f"#validators >> text={seat.name}")
        assert await page.locator("#validators .badge.good").count() == 4
        assert int("".join(filter(str.isdigit, await page.inner_text("#height")))) > 0
        await page.goto(f"{federation.gateway_url}/accounts/{trade['creditor']}")
        assert await page.inner_text("#balance") == "12.50 CRUMBS"
        await asyncio.to_thread(trade["pay"], "2.25")
        await page.wait_for_selector("#balance >> text=14.75", timeout=30_000)
        await page.wait_for_selector("#entries >> text=+2.25")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await browser.close()


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
