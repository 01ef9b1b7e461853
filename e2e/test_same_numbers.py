"""What a page shows, what `icn … --json` prints and what REST answers are the same numbers, area by area."""

from __future__ import annotations

import asyncio
import html
import json
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from icn_client.governance import plain_draft
from icn_gateway.domain.money import format_amount

from e2e.test_governance import Federation
from e2e.test_marketplace import hour, trade
from e2e.waiting import until

Answer = Callable[..., Any]
OPEN_SECONDS = 15.0
"""Time for two ballots on a busy machine; what is traded meanwhile takes as long."""
FRESH_SECONDS = 1.1
"""A page may be a second old."""


class Doors:
    """The three ways to read, each without the others."""

    def __init__(self, icn: Any, platform: Any) -> None:
        self._icn = icn
        self._data = ("--data", str(platform.directory), "--json")
        self._client = httpx.Client(base_url=platform.gateway_url, timeout=30)

    def page(self, path: str) -> str:
        """The words of a page."""
        answer = self._client.get(path)
        assert answer.status_code == 200, path
        main = answer.text.partition("<main")[2].partition("</main>")[0]
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main)).split())

    def rest(self, path: str, **query: str) -> Any:
        answer = self._client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def command(self, *arguments: str) -> list[Any]:
        """The objects that a command prints, one a line."""
        done = self._icn(*arguments, *self._data)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def doors(icn: Any, federation: Any) -> Doors:
    return Doors(icn, federation)


def bare(name: str) -> str:
    return name.rpartition("/")[2]


def amounts(document: dict[str, Any], *fields: str) -> list[str]:
    """These fields as a page writes them, two decimal places."""
    return [format_amount(int(document[field]), 2) for field in fields]


def opened_with_two_ballots(valley: Federation) -> str:
    draft = plain_draft(valley.id, "A new oven", "Shall we?", 4, actions=[])

    async def poll() -> str:
        async with valley.connect() as connection:
            proposal = await valley.opened(connection, draft, OPEN_SECONDS, {})
            await valley.vote(connection, proposal, {"bakery": [[1]], "farm": [[2]]})
            return proposal.hex()

    return asyncio.run(poll())


def test_page_command_and_rest_show_the_same(answer: Answer, doors: Doors, federation: Any) -> None:
    valley = Federation(federation, answer)
    proposal = opened_with_two_ballots(valley)
    unit, bakery, farm = trade(answer)
    offer = bare(
        answer(
            *("offer", "publish", "--title", "Rye bread", "--kind", "bread", "--quantity", "20"),
            *("--measure", "loaf", "--price", "0.25", "--account", bakery, "--as", "bakery"),
        )["name"]
    )
    agreement = bare(answer("offer", "accept", offer, "5", "--as", "farm")["name"])
    owner = valley.identities["bakery"].principal.hex()
    resource = bare(
        answer(*("resource", "add", "--owner", owner, "--title", "Oven", "--kind", "oven", "--as", "bakery"))[
            "name"
        ]
    )
    answer("book", resource, "--from", hour(1), "--to", hour(2), "--as", "farm")
    answer("pay", bakery, "12.50", "--as", "farm", "--from", farm)
    until(lambda: doors.rest(f"/v1/agreements/{agreement}")["agreement"]["hold"], lambda hold: hold == "held")
    time.sleep(FRESH_SECONDS)

    unit_and_account(doors, unit, farm)
    market(doors, offer, agreement)
    bookings(doors, resource)
    membership(doors, valley, owner)
    result(doors, proposal)
    for part in ("deliver", "settle"):
        if part == "settle":
            answer("agreement", "confirm", agreement, "--as", "farm")
        answer("agreement", part, agreement, "--as", "bakery")
    score(doors, owner, agreement)


def unit_and_account(doors: Doors, unit: str, account: str) -> None:
    (listed,) = [one for one in doors.command("unit", "list") if one["unit"] == unit]
    read = doors.rest(f"/v1/units/{unit}")
    fields = ("code", "scale", "default_floor_minor")
    assert [listed[name] for name in fields] == [read[name] for name in fields]
    path = f"/accounts/{account}"
    (shown,) = doors.command("account", "show", account)
    read = doors.rest(f"/v1{path}")
    text = doors.page(path)
    figures = ("balance_minor", "held_minor", "floor_minor")
    assert [shown[name] for name in figures] == [read[name] for name in figures]
    assert read["held_minor"] == "125"
    balance, held, floor = amounts(read, *figures)
    assert f"Balance {balance} BREAD" in text
    assert f"Held {held} Floor {floor}" in text
    assert f"May still spend {amounts(read, 'headroom_minor')[0]}" in text
    (entry,) = doors.command("account", "entries", account)
    (same,) = doors.rest(f"/v1{path}/entries")["entries"]
    moved = ("height", "amount_minor", "balance_minor", "counter_account")
    assert [entry[name] for name in moved] == [same[name] for name in moved]
    amount, after = amounts(same, "amount_minor", "balance_minor")
    sign = "+" if int(same["amount_minor"]) > 0 else ""
    assert f"{sign}{amount} {after}" in text


def market(doors: Doors, offer: str, agreement: str) -> None:
    (listed,) = [one for one in doors.command("offer", "list") if bare(one["name"]) == offer]
    read = doors.rest(f"/v1/offers/{offer}")["offer"]
    figures = ("quantity", "quantity_left", "price_minor", "title", "measure")
    assert [listed[name] for name in figures] == [read[name] for name in figures]
    assert (read["quantity_left"], read["price_minor"]) == ("15", "25")
    text = doors.page(f"/offers/{offer}")
    assert f"{amounts(read, 'price_minor')[0]} BREAD" in text
    assert "15" in text.split()
    (shown,) = doors.command("agreement", "show", agreement)
    read = doors.rest(f"/v1/agreements/{agreement}")["agreement"]
    figures = ("quantity", "amount_minor", "state", "hold", "title")
    assert [shown[name] for name in figures] == [read[name] for name in figures]
    text = doors.page(f"/agreements/{agreement}")
    assert f"Amount {amounts(read, 'amount_minor')[0]} BREAD Quantity 5 State open Credit held" in text


def bookings(doors: Doors, resource: str) -> None:
    (shown,) = doors.command("booking", "list", "--resource", resource)
    (read,) = doors.rest(f"/v1/resources/{resource}/bookings")["bookings"]
    assert [shown[name] for name in ("name", "booker", "state")] == [
        read[name] for name in ("name", "booker", "state")
    ]
    start, end = (
        time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(read[name] / 1_000))
        for name in ("start_time_ms", "end_time_ms")
    )
    assert (shown["start"], shown["end"]) == (start, end)
    clock = f"{start[11:16]}–{end[11:16]}".replace("–00:00", "–24:00")
    assert clock in doors.page(f"/resources/{resource}")
    assert read["name"] in {
        one["name"] for one in doors.rest("/v1/bookings", from_time_ms=str(read["start_time_ms"]))["bookings"]
    }


def membership(doors: Doors, valley: Federation, member: str) -> None:
    organization = valley.id.hex()
    (shown,) = doors.command("member", "show", organization, member)
    read = doors.rest(f"/v1/memberships/{organization}/{member}")["membership"]
    assert (shown["status"], int(shown["since_time_ms"])) == (read["status"], read["since_time_ms"])
    since = time.strftime("%m-%d %H:%M", time.gmtime(read["since_time_ms"] / 1_000))
    text = doors.page(f"/organizations/{organization}")
    assert text.count(f"active since {since}") >= 1, text


def result(doors: Doors, proposal: str) -> None:
    until(
        lambda: doors.rest(f"/v1/proposals/{proposal}")["proposal"],
        lambda read: read["state"] == "counted",
    )
    time.sleep(FRESH_SECONDS)
    (shown,) = doors.command("proposal", "show", proposal)
    read = doors.rest(f"/v1/proposals/{proposal}")["proposal"]
    figures = ("state", "ballots", "openings", "result_digest", "is_carried", "is_complete")
    assert [shown[name] for name in figures] == [read[name] for name in figures]
    (recounted,) = doors.command("proposal", "result", proposal)
    served = doors.rest(f"/v1/proposals/{proposal}/result")
    tally = recounted["tally"]
    assert tally == served["tally"]
    assert (tally["result"]["yes"], tally["result"]["no"]) == ("1", "1")
    text = doors.page(f"/proposals/{proposal}")
    assert f"Ballots on the ledger {read['ballots']} Opened {read['openings']}" in text
    assert "Not carried" in text
    assert "Yes 1 No 1 Abstain 0 Blank 0" in text
    assert read["result_digest"] in text


def score(doors: Doors, principal: str, agreement: str) -> None:
    """Of the delivery, once its evidence is in a computation and nothing is computed meanwhile."""
    path, of = f"/v1/scores/{principal}", {"dimension": "delivery"}
    commitments = {
        one["name"] for one in doors.rest(f"/v1/agreements/{agreement}")["agreement"]["commitments"]
    }
    until(
        lambda: doors.rest("/v1/evidence", about=principal, **of)["evidence"],
        lambda pieces: commitments & {piece["source"] for piece in pieces},
    )
    deadline = time.monotonic() + 60.0
    while True:
        read = doors.rest(path, **of)["score"]
        (shown,) = doors.command("reputation", "show", principal, "--dimension", "delivery")
        text = doors.page(f"/scores/{principal}")
        evidence = doors.rest("/v1/evidence", about=principal, page_size="200", **of)["evidence"]
        if doors.rest(path, **of)["score"] == read:
            break
        assert time.monotonic() < deadline, "scores never rest"
    (same,) = shown["scores"]
    figures = ("score_nano", "rank", "evidence_count")
    assert [same[name] for name in figures] == [read[name] for name in figures]
    assert f"Score {format_amount(int(read['score_nano']), 9)} Rank {read['rank']}" in text
    (about,) = shown["evidence"]
    told = {piece["source"] for piece in about["failed"] + about["fulfilled"]}
    assert told == {piece["source"] for piece in evidence}
    assert commitments & told
