"""What members share and trade, with `icn` on a running platform, the marketplace killed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from icn_client.keystore import Identity
from icn_client.platforms import open_founders

from e2e.waiting import until

Answer = Callable[..., Any]
JPEG = b"\xff\xd8\xff\xe0 a photo of a tractor"


@pytest.fixture
def founders(federation: Any) -> dict[str, Identity]:
    return {identity.name: identity for identity in open_founders(federation.directory)}


def hour(number: int) -> str:
    """A whole hour from tomorrow on."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1, hours=number)
    return start.strftime("%Y-%m-%dT%H:%MZ")


def trade(answer: Answer) -> tuple[str, str, str]:
    """A unit, and an account of the bakery and of the farm in it."""
    unit = answer("unit", "create", "BREAD", "--scale", "2", "--floor", "-100", "--as", "bakery")["unit"]
    bakery, farm = (
        answer("account", "open", "--unit", unit, "--as", name)["account"] for name in ("bakery", "farm")
    )
    return unit, bakery, farm


def test_a_sale_is_settled_although_the_marketplace_is_killed_twice(
    answer: Answer, icn: Any, federation: Any
) -> None:
    _, bakery, farm = trade(answer)
    offer = answer(
        *("offer", "publish", "--title", "Rye bread", "--kind", "bread", "--quantity", "20"),
        *("--measure", "loaf", "--price", "0.25", "--account", bakery, "--as", "bakery"),
    )
    agreement = answer("offer", "accept", offer["name"], "4", "--as", "farm")
    assert (agreement["amount_minor"], agreement["hold"], agreement["state"]) == ("100", "held", "open")
    name = agreement["name"]
    federation.kill_process("marketplace")
    until(lambda: answer("agreement", "show", name), lambda shown: shown["hold"] == "held")
    answer("agreement", "deliver", name, "--as", "bakery")
    confirmed = answer("agreement", "confirm", name, "--as", "farm")
    assert confirmed["commitments"][0]["state"] == "fulfilled"
    # The capture is committed while nobody listens: the event waits in the stream.
    federation.kill_process("marketplace")
    answer("agreement", "settle", name, "--as", "bakery")
    settled = until(lambda: answer("agreement", "show", name), lambda shown: shown["state"] == "settled")
    assert [one["state"] for one in settled["commitments"]] == ["fulfilled", "fulfilled"]
    assert answer("account", "show", farm)["balance_minor"] == "-100"
    listed = icn("offer", "list", "--json", "--data", str(federation.directory)).stdout.splitlines()
    (left,) = [one["quantity_left"] for one in map(json.loads, listed) if one["name"] == offer["name"]]
    assert left == "16"


def test_what_is_neither_paid_nor_delivered_ends_in_block_time(answer: Answer, federation: Any) -> None:
    _, bakery, farm = trade(answer)
    offer = answer(
        *("offer", "publish", "--title", "Rolls", "--kind", "bread", "--quantity", "5", "--measure", "roll"),
        *("--price", "0.10", "--account", bakery, "--within", "3s", "--as", "bakery"),
    )
    agreement = answer("offer", "accept", offer["name"], "5", "--within", "8s", "--as", "farm")
    shown = until(
        lambda: answer("agreement", "show", agreement["name"]), lambda shown: shown["state"] != "open"
    )
    assert (shown["state"], shown["return_owed_minor"]) == ("failed", "0")
    assert [one["state"] for one in shown["commitments"]] == ["failed", "lapsed"]
    assert answer("account", "show", farm)["held_minor"] == "0"


def test_a_price_that_cannot_be_held_takes_nothing_away_and_what_is_held_can_be_let_go(
    answer: Answer, icn: Any, federation: Any
) -> None:
    _, bakery, farm = trade(answer)  # the floor is -100.00
    data = ("--data", str(federation.directory))
    offer = answer(
        *("offer", "publish", "--title", "Ovens", "--kind", "oven", "--quantity", "3", "--measure", "oven"),
        *("--price", "100.01", "--account", bakery, "--as", "bakery"),
    )

    def left(name: str) -> str:
        listed = icn("offer", "list", "--json", *data).stdout.splitlines()
        (found,) = [one["quantity_left"] for one in map(json.loads, listed) if one["name"] == name]
        return str(found)

    refused = icn("offer", "accept", offer["name"], "3", "--as", "farm", *data)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "CREDIT_LIMIT_EXCEEDED" in refused.stderr and "it is withdrawn" in refused.stderr
    assert left(offer["name"]) == "3"
    rolls = answer(
        *("offer", "publish", "--title", "Rolls", "--kind", "bread", "--quantity", "5", "--measure", "roll"),
        *("--price", "0.10", "--account", bakery, "--as", "bakery"),
    )
    held = answer("offer", "accept", rolls["name"], "5", "--as", "farm")
    assert answer("account", "show", farm)["held_minor"] == "50"
    for wrong, reason in (
        (("withdraw", held["name"], "--as", "farm"), "HOLD_PRESENT"),
        (("return", held["name"], "--as", "bakery"), "NOTHING_OWED"),
        (("release", held["name"], "--as", "farm"), "NOT_ACCOUNT_OWNER"),
    ):
        run = icn("agreement", *wrong, *data)
        assert (run.returncode, reason in run.stderr) == (1, True), run.stderr
    released = answer("agreement", "release", held["name"], "--as", "bakery")
    assert (released["state"], released["hold"]) == ("failed", "released")
    assert answer("account", "show", farm)["held_minor"] == "0"
    assert left(rolls["name"]) == "5"
    late = icn("agreement", "settle", held["name"], "--as", "bakery", *data)
    assert late.returncode == 1 and "AGREEMENT_ENDED: the agreement is failed since" in late.stderr
    shown = icn("agreement", "show", held["name"], *data).stdout
    assert "hold of 0.50 BREAD until" in shown


def test_one_gets_the_tractor_and_the_other_the_next_slot(
    answer: Answer, icn: Any, federation: Any, founders: dict[str, Identity], tmp_path: Path
) -> None:
    photo = tmp_path / "tractor.jpg"
    photo.write_bytes(JPEG)
    resource = answer(
        *("resource", "add", "--owner", founders["farm"].principal.hex(), "--title", "Tractor"),
        *("--kind", "tractor", "--photo", str(photo), "--as", "farm"),
    )
    assert len(resource["photos"]) == 1
    name = resource["name"]
    photo.write_bytes(JPEG + b", another")
    assert len(answer("resource", "photo", name, str(photo), "--as", "farm")["photos"]) == 2
    first = answer("book", name, "--from", hour(0), "--to", hour(4), "--as", "bakery")
    assert first["state"] == "booked"
    wish = ("book", name, "--from", hour(2), "--to", hour(6), "--as", "housing")
    refused = icn(*wish, "--data", str(federation.directory))
    assert refused.returncode == 1
    assert "BOOKING_OVERLAPS" in refused.stderr
    local = datetime.fromisoformat(hour(4)).astimezone().isoformat(timespec="minutes")
    assert f"the next free one is {local} to" in refused.stderr
    second = answer(*wish, "--or-next")
    assert (second["start"], second["end"]) == (hour(4), hour(8))
    waiting = answer("book", name, "--from", hour(0), "--to", hour(2), "--as", "workshop", "--or-wait")
    assert (waiting["state"], waiting["queue_place"]) == ("waiting", 1)
    federation.kill_process("marketplace")
    listing = ("booking", "list", "--resource", name, "--data", str(federation.directory))
    until(lambda: icn(*listing).returncode, lambda code: code == 0)
    cancelled = answer("booking", "cancel", first["name"], "--as", "bakery")
    assert [one["name"] for one in cancelled["promoted"]] == [waiting["name"]]
    calendar = answer("resource", "show", name)["bookings"]
    assert [(one["start"], one["state"]) for one in calendar] == [(hour(0), "booked"), (hour(4), "booked")]
    kept = icn("resource", "remove", name, "--as", "farm", "--data", str(federation.directory))
    assert (kept.returncode, "RESOURCE_BOOKED: 2 bookings" in kept.stderr) == (1, True), kept.stderr
    for one in calendar:
        answer("booking", "cancel", one["name"], "--as", "farm")
    assert answer("resource", "remove", name, "--as", "farm")["removed"] is not None
    listed = icn("resource", "list", "--data", str(federation.directory)).stdout
    assert name not in listed
