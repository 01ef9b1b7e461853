from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from time import time
from typing import Any

import httpx
import pytest
from icn.governance.v1 import service_pb2 as governance
from icn.ledger.v1 import state_pb2 as state
from icn.marketplace.v1 import service_pb2 as marketplace
from icn.reputation.v1 import service_pb2 as reputation
from icn_gateway.api.pages import moment
from icn_gateway.api.pages.market import SPANS_SHOWN
from icn_gateway.domain.money import MINUS
from icn_gateway.domain.rate_limit import RateLimit
from icn_gateway.settings import REPOSITORY_WEB
from icn_gateway.usecases import shared_reads
from icn_kit.errors import NotFound, Unavailable

from services.gateway.tests.areas import (
    AGREEMENT,
    CONTRACT,
    DECISION,
    ELECTION,
    FEDERATION,
    LONG,
    MEMBER,
    OFFER,
    PAGES,
    PROPOSAL,
    RESOURCE,
    Areas,
    lively_feed,
)

ACCOUNT = f"{10:032x}"


@pytest.fixture
async def lively(zone: Any, make: Any, open_client: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway over services that all have something to show."""
    Areas(zone).fill()
    context = make.context(zone, feed=await lively_feed(zone))
    async with open_client(make.edge(context, rate_limit=RateLimit(1e6, 1e6))) as opened:
        yield opened


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


async def test_the_front_page_shows_validators_height_profile_and_blocks(
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
    assert f"/v1/blocks/{zone.height}" in page.links


async def test_balances_and_units_are_on_a_page_of_their_own(client: httpx.AsyncClient) -> None:
    page = await read(client, "/accounts")
    assert f"{MINUS}80.25 HOURS" in page.text
    assert "RIVER" in page.text
    assert f"/accounts/{ACCOUNT}" in page.links


async def test_an_account_shows_its_balance_entries_and_a_link_to_its_proof(
    client: httpx.AsyncClient,
) -> None:
    page = await read(client, f"/accounts/{ACCOUNT}")
    assert f"Balance {MINUS}80.25 HOURS" in page.text
    assert "+40.25" in page.text
    assert f"{MINUS}120.50" in page.text
    assert f"/v1/proofs/accounts/{ACCOUNT}" in page.links


async def test_a_page_loads_nothing_from_anywhere_else(lively: httpx.AsyncClient) -> None:
    for path in PAGES:
        page = await read(lively, path, status=400 if path.endswith("nobody") else 200)
        external = {"https://example.org/about"}  # what an organization says of itself, a link and no more
        assert all(
            link in external or (link.startswith(("/", "#")) and not link.startswith("//"))
            for link in page.links
        )


async def test_what_the_pages_link_to_is_there(lively: httpx.AsyncClient) -> None:
    links: set[str] = set()
    for path in PAGES[:-1]:
        links |= {link.partition("#")[0] for link in (await read(lively, path)).links}
    for link in sorted(links):
        if link.startswith(("/v1/proofs/", "https:", "/v1/transactions/")) or not link:
            continue
        assert (await lively.get(link)).status_code == 200, link


async def test_a_name_from_outside_cannot_become_markup(client: httpx.AsyncClient, zone: Any) -> None:
    zone.units[b"\x00" * 15 + b"\x64"].code = "<script>alert(1)</script>"
    answer = await client.get("/accounts")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;" in answer.text


async def test_nothing_a_service_says_becomes_markup(lively: httpx.AsyncClient) -> None:
    for path in PAGES:
        text = (await lively.get(path)).text
        assert "<script>alert" not in text
        assert "<b>fresh" not in text


async def test_the_page_turns_when_there_are_more_accounts_than_fit(
    client: httpx.AsyncClient, zone: Any, make: Any
) -> None:
    for number in range(1_000, 1_060):
        zone.add_account(number, make.identifier(77), make.identifier(100))
    first = await read(client, "/accounts")
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
        ("/accounts?page_token=nonsense", 400, "MALFORMED_PAGE_TOKEN"),
        ("/accounts?page_token=%00", 400, "INVALID_ARGUMENT"),
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
    assert f"/people/{77:032x}" in (await read(client, f"/accounts/{20:032x}")).links


def test_times_are_shown_in_utc_to_the_second() -> None:
    assert moment(1_772_366_405_999) == "2026-03-01 12:00:05"


async def test_the_front_page_tells_what_happens_now(lively: httpx.AsyncClient) -> None:
    text = (await read(lively, "/")).text
    assert "120.50 HOURS from Mill Street Bakery to River Farm" in text
    assert f"is a member of {LONG}" in text
    assert "agreed on 13.50 HOURS" in text
    assert "is in force" in text
    assert text.index("agreed on") < text.index("is a member of"), "newest first"


async def test_the_front_page_shows_trades_bookings_offers_and_proposals(lively: httpx.AsyncClient) -> None:
    page = await read(lively, "/")
    assert "Mill Street Bakery → River Farm 120.50 HOURS" in page.text
    assert f"/resources/{RESOURCE}" in page.links
    assert "4.50 HOURS" in page.text
    assert "Raise the floor of the bakery" in page.text
    assert "5 memberships" in page.text


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/market", ["12 of 40 loaf left", "4.50 HOURS", "13.50 HOURS"]),
        (f"/offers/{OFFER}", ["Bring a bag", "Price of one loaf 4.50 HOURS", f"icn offer accept {OFFER}"]),
        (f"/agreements/{AGREEMENT}", ["13.50 HOURS", "reported", "held", "Mill Street Bakery"]),
        ("/bookings", ["Tractor of", "booked", "waiting", "place 1 in the queue"]),
        (f"/resources/{RESOURCE}", ["06:00 to 21:00", "30 to 480 minutes", "Key at the mill"]),
        ("/proposals", ["Delegates to the assembly", "12 ballots", "2 countersignatures"]),
        (f"/proposals/{PROPOSAL}", ["It buys an oven", "Yes 5", "quorum: 7 of 12, reached", "2 of 3 needed"]),
        (f"/proposals/{ELECTION}", ["Quota 5", "Stage 9", "4.66668", "elected", "2 by lot"]),
        (f"/certificates/{DECISION}", ["2 of 3 needed", "Mill Street Bakery", "Not in force"]),
        ("/people", ["federation", "5 members", "1 ask to join", "decides together"]),
        (
            f"/organizations/{FEDERATION.hex()}",
            [
                *("treasurer", "vouched for by Mill Street Bakery", "did:webvh:"),
                *("open for 72.0 hours at least", "more than 3/5 of all members", "more than 2/3 where"),
            ],
        ),
        (f"/people/{MEMBER.hex()}", ["sponsored by Mill Street Bakery", "0.123456789", "did:key:"]),
        ("/scores", ["0.123456789", "explained"]),
        (f"/scores/{MEMBER.hex()}", ["0.100000000", "0.023456789", "trusts with weight 1", "and 3 more"]),
        ("/contracts", ["1 calls", "48"]),
        (f"/contracts/{CONTRACT}", ["Storage entries 12", "paid 12"]),
    ],
)
async def test_a_page_shows_what_its_area_knows(
    path: str, shown: list[str], lively: httpx.AsyncClient
) -> None:
    text = (await read(lively, path)).text
    for words in shown:
        assert words in text, text


async def test_pages_and_rest_show_the_same_numbers(lively: httpx.AsyncClient) -> None:
    offer = (await lively.get(f"/v1/offers/{OFFER}")).json()["offer"]
    score = (await lively.get(f"/v1/scores/{MEMBER.hex()}?dimension=delivery")).json()["score"]
    assert (offer["price_minor"], score["score_nano"]) == ("450", "123456789")
    assert "4.50" in (await read(lively, f"/offers/{OFFER}")).text
    assert "0.123456789" in (await read(lively, f"/scores/{MEMBER.hex()}")).text


async def test_every_page_says_which_service_is_away_and_shows_the_rest(
    lively: httpx.AsyncClient, zone: Any
) -> None:
    for name in list(zone.services.answers):
        if name.startswith("List") and name not in {"ListEntries"}:
            zone.services.answers[name] = Unavailable("SERVICE_UNREACHABLE", "away")
    for path in ("/", "/market", "/bookings", "/proposals", "/people", "/scores", f"/people/{MEMBER.hex()}"):
        page = await read(lively, path)
        assert "SERVICE_UNREACHABLE" in page.text, path


async def test_pages_of_an_empty_federation_say_so(client: httpx.AsyncClient, zone: Any) -> None:
    for name, answer in list(zone.services.answers.items()):
        del answer
        zone.services.answers.pop(name)
    for path in ("/", "/accounts", "/market", "/bookings", "/proposals", "/people", "/scores", "/contracts"):
        await read(client, path)


@pytest.mark.parametrize("path", [path for path in PAGES if len(path) > 40 and "accounts" not in path])
async def test_a_page_about_nothing_is_not_found(path: str, lively: httpx.AsyncClient, zone: Any) -> None:
    for name in list(zone.services.answers):
        if name.startswith("Get") and name != "GetAccount":
            zone.services.answers[name] = NotFound("THING_UNKNOWN", "no such thing")
    answer = await lively.get(path)
    if path.startswith("/organizations/"):
        assert answer.status_code == 200, "an organization may have said nothing of itself"
    else:
        assert answer.status_code == 404
        assert "THING_UNKNOWN" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        *(f"/{area}/x" for area in ("offers", "agreements", "resources", "proposals", "certificates")),
        *(f"/{area}/x" for area in ("organizations", "people", "scores", "contracts")),
        f"/resources/{RESOURCE}?week=99",
        "/scores?dimension=A",
        f"/scores/{MEMBER.hex()}?dimension=%00",
        "/market?page_token=%00",
        "/sign-in?code=%00",
    ],
)
async def test_an_address_of_another_form_is_a_page_that_says_so(
    path: str, lively: httpx.AsyncClient
) -> None:
    page = await read(lively, path, status=400)
    assert "MALFORMED_IDENTIFIER" in page.text or "INVALID_ARGUMENT" in page.text


async def test_every_page_has_one_heading_and_says_where_it_is(lively: httpx.AsyncClient) -> None:
    for path in PAGES:
        text = (await lively.get(path)).text
        assert text.count("<h1") == 1, path
        assert text.count('aria-current="page"') >= 1 or path.endswith("nobody"), path


async def test_many_who_look_at_the_same_ask_each_service_once(
    lively: httpx.AsyncClient, zone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_reads, "FRESH_SECONDS", 60.0)  # however long this machine takes for twenty
    await asyncio.gather(*(lively.get("/market") for _ in range(20)))
    asked = [name for name, _ in zone.services.asked if name.endswith("ListOffers")]
    assert len(asked) == 1


class Bookings:
    """A marketplace with this many bookings of 15 minutes from a time on, and one who waits for each."""

    def __init__(self, count: int, start_ms: int) -> None:
        self.rows = [
            marketplace.Booking(
                name=f"bookings/{number * 2 + place:032x}",
                resource=f"resources/{RESOURCE}",
                booker=f"principals/{MEMBER.hex()}",
                start_time_ms=start_ms + number * QUARTER_MS,
                end_time_ms=start_ms + (number + 1) * QUARTER_MS,
                state=standing,
                queue_place=place,
            )
            for number in range(count)
            for place, standing in (
                (0, marketplace.BOOKING_STATE_BOOKED),
                (1, marketplace.BOOKING_STATE_WAITING),
            )
        ]

    def __call__(self, request: marketplace.ListBookingsRequest) -> marketplace.ListBookingsResponse:
        found = [
            row
            for row in self.rows
            if row.end_time_ms > request.from_time_ms
            and (not request.until_time_ms or row.start_time_ms < request.until_time_ms)
        ]
        first = int(request.page_token or 0)
        end = first + (request.page_size or 50)
        return marketplace.ListBookingsResponse(
            bookings=found[first:end], next_page_token=str(end) if end < len(found) else ""
        )


QUARTER_MS = 900_000
DAY_QUARTERS = 96


def next_midnight_ms() -> int:
    """Where the resource is, an hour ahead of UTC."""
    return (int(time()) + 3_600) // 86_400 * 86_400_000 + 86_400_000 - 3_600_000


async def test_a_day_is_called_free_only_when_everything_booked_in_it_was_read(
    lively: httpx.AsyncClient, zone: Any
) -> None:
    zone.services.answers["ListBookings"] = Bookings(5 * DAY_QUARTERS, next_midnight_ms())
    page = await read(lively, f"/resources/{RESOURCE}")
    words = page.text.split()
    assert words.count("free") == 2, "today, and the seventh day"
    assert words.count("booked") == 5 * DAY_QUARTERS
    assert f"and {5 * DAY_QUARTERS - SPANS_SHOWN} more" in page.text, "of those who wait"
    assert "Not all of this day" not in page.text


async def test_a_week_with_more_than_is_read_says_so_and_calls_nothing_unread_free(
    lively: httpx.AsyncClient, zone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icn_gateway.api.pages.market.CALENDAR_READS_MAX", 2)
    start_ms = next_midnight_ms()
    zone.services.answers["ListBookings"] = Bookings(5 * DAY_QUARTERS, start_ms)
    page = await read(lively, f"/resources/{RESOURCE}")
    assert page.text.split().count("free") == 1, "today only"
    assert "More than 400 bookings and waits" in page.text
    assert page.text.count("Not all of this day is shown") == 4, "all but today and two days"
    read_until_ms = start_ms + 199 * QUARTER_MS
    assert f"/v1/resources/{RESOURCE}/bookings?from_time_ms={read_until_ms}" in page.links


async def test_the_example_of_a_booking_is_one_that_the_rules_allow(
    lively: httpx.AsyncClient, zone: Any
) -> None:
    slot = marketplace.FreeSlot(start_time_ms=1_790_000_040_000, end_time_ms=1_790_003_640_000)
    zone.services.answers["FindFreeSlot"] = marketplace.FindFreeSlotResponse(slot=slot)
    shown = await read(lively, f"/resources/{RESOURCE}?week=1")
    assert "--from 2026-09-21T14:14Z --to 2026-09-21T15:14Z" in shown.text
    (_, asked), *_ = [call for call in zone.services.asked if call[0].endswith("FindFreeSlot")]
    assert (asked.minutes, asked.from_time_ms) == (60, next_midnight_ms())


async def test_without_a_free_slot_the_example_names_no_time(lively: httpx.AsyncClient, zone: Any) -> None:
    zone.services.answers["FindFreeSlot"] = NotFound("NO_FREE_SLOT", "none")
    assert "--from START --to END" in (await read(lively, f"/resources/{RESOURCE}")).text


async def test_the_front_page_asks_for_the_next_bookings_of_everything(
    lively: httpx.AsyncClient, zone: Any
) -> None:
    await read(lively, "/")
    (asked,) = [request for name, request in zone.services.asked if name.endswith("/ListBookings")]
    assert (asked.resource, asked.booker) == ("", "")
    assert asked.from_time_ms > 0
    page = await read(lively, "/")
    assert f"Tractor of {LONG}" in page.text


async def test_a_score_shows_the_promises_that_were_broken(lively: httpx.AsyncClient, zone: Any) -> None:
    def evidence(request: reputation.ListEvidenceRequest) -> reputation.ListEvidenceResponse:
        kind = request.kind or reputation.EVIDENCE_KIND_FULFILLED
        weight = 77 if kind == reputation.EVIDENCE_KIND_FAILED else 5
        piece = reputation.Evidence(
            who=f"principals/{MEMBER.hex()}", kind=kind, weight=weight, source="commitments/aa00"
        )
        return reputation.ListEvidenceResponse(evidence=[piece])

    zone.services.answers["ListEvidence"] = evidence
    text = (await read(lively, f"/scores/{MEMBER.hex()}")).text
    broken = text.partition("Promises it broke")[2].partition("Newest evidence")[0]
    assert "failed weight 77" in broken
    assert "aa00" in broken


@pytest.mark.parametrize("depth", [1_100, 50_000])
async def test_a_page_of_a_result_nested_too_deep_is_no_fault_of_the_page(
    lively: httpx.AsyncClient, zone: Any, depth: int
) -> None:
    zone.services.answers["GetResult"] = governance.GetResultResponse(result=b"[" * depth + b"]" * depth)
    assert "Delegates to the assembly" in (await read(lively, f"/proposals/{ELECTION}")).text
