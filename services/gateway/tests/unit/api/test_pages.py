from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from icn.ledger.v1 import state_pb2 as state
from icn_gateway.api.pages import moment
from icn_gateway.domain.money import MINUS
from icn_gateway.settings import REPOSITORY_WEB
from icn_kit.errors import Unavailable

ACCOUNT = f"{10:032x}"


class Text(HTMLParser):
    """What a page says, without its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in {"href", "src"} and value]


async def read(client: httpx.AsyncClient, path: str, status: int = 200) -> Text:
    answer = await client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    return Text(answer.text)


async def test_the_page_shows_validators_height_profile_units_accounts_and_blocks(
    client: httpx.AsyncClient, zone: Any
) -> None:
    zone.unreachable = {3}
    page = await read(client, "/")
    for seat in zone.genesis.validators:
        assert seat.name in page.text
    assert "Hosted." in page.text
    assert f"Final height {zone.height + 1}" in page.text
    assert "not reachable" in page.text
    assert "3 of 4" in page.text
    assert f"{MINUS}80.25 HOURS" in page.text
    assert "RIVER" in page.text
    assert f"/accounts/{ACCOUNT}" in page.links
    assert f"/v1/blocks/{zone.height}" in page.links


async def test_an_account_shows_its_balance_entries_and_a_link_to_its_proof(
    client: httpx.AsyncClient,
) -> None:
    page = await read(client, f"/accounts/{ACCOUNT}")
    assert f"Balance {MINUS}80.25 HOURS" in page.text
    assert "+40.25" in page.text
    assert f"{MINUS}120.50" in page.text
    assert f"/v1/proofs/accounts/{ACCOUNT}" in page.links


async def test_a_page_loads_nothing_from_anywhere_else(client: httpx.AsyncClient) -> None:
    for path in ("/", f"/accounts/{ACCOUNT}"):
        page = await read(client, path)
        assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in page.links)


async def test_what_the_page_links_to_is_there(client: httpx.AsyncClient) -> None:
    for path in ("/", f"/accounts/{ACCOUNT}"):
        for link in set((await read(client, path)).links):
            if link.startswith(("#", "/v1/proofs/")):
                continue
            assert (await client.get(link)).status_code == 200, link


async def test_a_name_from_outside_cannot_become_markup(client: httpx.AsyncClient, zone: Any) -> None:
    zone.units[b"\x00" * 15 + b"\x64"].code = "<script>alert(1)</script>"
    answer = await client.get("/")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text


async def test_the_page_turns_when_there_are_more_accounts_than_fit(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    for number in range(1_000, 1_060):
        zone.add_account(number, make.identifier(77), make.identifier(100))
    first = await read(client, "/")
    (more,) = [link for link in first.links if "page_token" in link]
    second = await read(client, more.partition("#")[0])
    assert "First page" in second.text
    assert not {link for link in first.links if link.startswith("/accounts/")} & {
        link for link in second.links if link.startswith("/accounts/")
    }


async def test_during_an_outage_the_page_still_says_which_validators_answer(
    client: httpx.AsyncClient, zone: Any
) -> None:
    zone.fault = Unavailable("NO_VALIDATOR_REACHABLE", "none")
    zone.unreachable = {0, 1, 2, 3}
    page = await read(client, "/", status=503)
    assert "The ledger cannot be read now" in page.text
    assert "Fewer than 3 validators answer" in page.text
    assert "0 of 4" in page.text


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        (f"/accounts/{999:032x}", 404, "ACCOUNT_UNKNOWN"),
        ("/accounts/nobody", 400, "MALFORMED_IDENTIFIER"),
        ("/?page_token=nonsense", 400, "MALFORMED_PAGE_TOKEN"),
        ("/?page_token=%00", 400, "INVALID_ARGUMENT"),
        ("/static/nothing.css", 404, "ROUTE_UNKNOWN"),
        ("/static/..%2Ftemplates%2Fbase.html", 404, "ROUTE_UNKNOWN"),
    ],
)
async def test_a_refusal_on_a_page_is_a_page(
    client: httpx.AsyncClient, path: str, status: int, reason: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    assert reason in answer.text


async def test_style_and_script_are_kept_by_the_browser_until_they_change(client: httpx.AsyncClient) -> None:
    page = await read(client, "/")
    (style,) = [link for link in page.links if link.startswith("/static/style.css")]
    answer = await client.get(style)
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.content == (REPOSITORY_WEB / "static" / "style.css").read_bytes()


def test_no_template_holds_a_script_or_style_of_its_own() -> None:
    for template in (REPOSITORY_WEB / "templates").iterdir():
        text = template.read_text()
        assert re.search(r"<style|style=|\son[a-z]+=|javascript:", text) is None, template
        assert re.findall(r"<script(?! src=)", text) == [], template


def test_the_script_stays_small_enough_to_be_read() -> None:
    assert len((REPOSITORY_WEB / "static" / "live.js").read_text().splitlines()) <= 200


async def test_an_account_without_floor_may_spend_any_amount(client: httpx.AsyncClient) -> None:
    assert "any amount" in (await read(client, f"/accounts/{20:032x}")).text


async def test_an_account_nobody_named_shows_its_owners_id(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    zone.accounts[make.identifier(20)] = state.AccountLeaf(
        account=make.identifier(20), owner=make.identifier(77), unit=make.identifier(101)
    )
    assert f"/v1/principals/{77:032x}" in (await read(client, f"/accounts/{20:032x}")).links


def test_times_are_shown_in_utc_to_the_second() -> None:
    assert moment(1_772_366_405_999) == "2026-03-01 12:00:05"
