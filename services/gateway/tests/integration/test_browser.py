"""The page in a real browser: readable on a phone, accessible, alive, and complete without scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from icn_client.transactions import KeyPair, controller_key
from icn_crypto.sign_in import sign_in_preimage
from playwright.async_api import Browser, Page, async_playwright

from services.gateway.tests.areas import MEMBER, PAGES, Areas, lively_feed

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
ACCOUNT_PAGE = f"/accounts/{10:032x}"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}: apt install chromium"),
]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, headless."""
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield launched
        await launched.close()


async def open_page(browser: Browser, url: str, **options: Any) -> tuple[Page, list[str]]:
    """A page and what its console complained of."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(url)
    return page, complaints


@pytest.mark.parametrize(
    ("viewport", "color_scheme"), [(PHONE, "light"), (DESKTOP, "dark")], ids=["phone", "desktop"]
)
async def test_no_accessibility_rule_is_broken_and_nothing_runs_over_the_edge_on_any_page(
    serve: Any, zone: Any, browser: Browser, viewport: Any, color_scheme: str
) -> None:
    zone.unreachable = {1}
    Areas(zone).fill()
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    async with serve(feed=await lively_feed(zone)) as (client, _):
        code = await code_for(client, zone)
        context = await browser.new_context(viewport=viewport, color_scheme=color_scheme)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        for path in (*PAGES, f"/sign-in?code={code}", "/me"):
            await page.goto(f"{client.base_url}{path}")
            if path.startswith("/sign-in?"):
                await page.click("button")
                assert page.url.endswith("/me"), "signed in"
                continue
            await page.evaluate(axe)
            found = await page.evaluate("axe.run()")
            broken = [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found["violations"]]
            assert broken == [], path
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= viewport["width"], path
        # The photo of the zone in memory is text, and a refusal is on purpose.
        assert [text for text in complaints if "400" not in text] == []


async def code_for(client: Any, zone: Any) -> str:
    """A code that signs MEMBER in, as `icn sign-in` gets one."""
    key = KeyPair.generate()
    del zone.controllers[MEMBER].keys[:]
    zone.controllers[MEMBER].keys.append(controller_key(key.public_keys))
    asked = await client.post("/v1/sessions/challenges", json={"principal": MEMBER.hex()})
    challenge = asked.raise_for_status().json()["challenge"]
    message = sign_in_preimage(zone.genesis.hash, "http://gateway", bytes.fromhex(challenge))
    signature = {"suite": 1, "key_id": key.key_id.hex(), "signature": key.sign(message).hex()}
    body = {"challenge": challenge, "signatures": [signature], "purpose": "page"}
    return str((await client.post("/v1/sessions", json=body)).raise_for_status().json()["code"])


async def test_the_longest_names_and_largest_amounts_fit_a_phone(
    serve: Any, zone: Any, make: Any, browser: Browser
) -> None:
    unit = zone.add_unit(900, "SOLIDARITY-1", scale=9, default_floor_minor=-(2**62) + 1)
    account = zone.add_account(1, zone.genesis.organizations[0].principal, unit, floor_minor=-(2**62) + 1)
    zone.add_account(2, make.identifier(77), unit)
    zone.transfer(account, make.identifier(2), 2**62 - 1)
    zone.accounts[account].held_minor = 2**62 - 1
    async with serve() as (client, _):
        for path in ("/", "/accounts", f"/accounts/{account.hex()}"):
            page, _ = await open_page(browser, f"{client.base_url}{path}", viewport=PHONE)
            assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path


async def test_the_page_follows_the_zone_without_being_loaded_again(
    serve: Any, zone: Any, make: Any, browser: Browser
) -> None:
    async with serve() as (client, _):
        page, complaints = await open_page(browser, str(client.base_url), viewport=PHONE)
        await page.evaluate("window.isSameDocument = true")
        await page.focus("#blocks a[href='/v1/blocks/3']")
        height = await page.inner_text("#height")
        zone.transfer(make.identifier(10), make.identifier(11), 1_975)
        zone.unreachable = {3}
        has_grown = "height => document.getElementById('height').innerText !== height"
        await page.wait_for_function(has_grown, arg=height)
        assert await page.inner_text("#said") == "3 of 4 validators answer"
        assert await page.evaluate("document.activeElement.getAttribute('href')") == "/v1/blocks/3"
        assert await page.evaluate("window.isSameDocument")
        assert complaints == []


async def test_an_outage_is_shown_and_its_end_too(serve: Any, zone: Any, browser: Browser) -> None:
    async with serve() as (client, server):
        page, _ = await open_page(browser, str(client.base_url), viewport=PHONE)
        zone.unreachable = {0, 1, 2, 3}
        await page.wait_for_selector("text=nothing can be made final now", timeout=20_000)
        zone.unreachable = set()
        await page.wait_for_selector("text=4 of 4", timeout=30_000)
        assert server is not None


async def test_without_scripts_everything_is_there(serve: Any, browser: Browser) -> None:
    async with serve() as (client, _):
        page, complaints = await open_page(browser, str(client.base_url), java_script_enabled=False)
        assert await page.inner_text("#validators h2") == "Validators"
        await page.click("nav.areas a[href='/accounts']")
        await page.click(f"a[href='{ACCOUNT_PAGE}']")
        assert "−80.25" in await page.inner_text("#balance")
        assert "+40.25" in await page.inner_text("#entries")
        assert complaints == []


async def test_the_page_asks_nobody_but_the_gateway(serve: Any, browser: Browser) -> None:
    async with serve() as (client, _):
        context = await browser.new_context()
        page = await context.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(str(client.base_url))
        await asyncio.sleep(0.5)
        assert asked
        assert [url for url in asked if not url.startswith(str(client.base_url))] == []
