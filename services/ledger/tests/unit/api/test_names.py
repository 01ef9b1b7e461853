"""Names: every wrong one is INVALID_ARGUMENT with a stable reason."""

from __future__ import annotations

import pytest
from icn_kit.errors import InvalidArgument
from icn_ledger.api.names import parse_height, parse_identifier, parse_pair, parse_provable
from icn_machine.records import Namespace

HEX = "0123456789abcdef" * 2


def test_an_identifier_is_read() -> None:
    assert parse_identifier(f"accounts/{HEX}", "accounts") == bytes.fromhex(HEX)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "accounts",
        "accounts/",
        f"units/{HEX}",
        f"accounts/{HEX[:-1]}",
        f"accounts/{HEX}0",
        f"accounts/{HEX}\n",
        f"accounts/{HEX.upper()}",
        f" accounts/{HEX}",
        f"accounts//{HEX}",
        f"accounts/{HEX[:-1]}g",
        "accounts/" + "ä" * 32,
        "x" * 10_000,
    ],
)
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse_identifier(name, "accounts")
    assert refusal.value.reason == "MALFORMED_NAME"
    with pytest.raises(InvalidArgument):
        parse_height(name)


@pytest.mark.parametrize(
    ("name", "namespace"),
    [
        (f"principals/{HEX}", Namespace.CONTROLLER),
        (f"units/{HEX}", Namespace.UNIT),
        (f"accounts/{HEX}", Namespace.ACCOUNT),
        (f"holds/{HEX}", Namespace.HOLD),
        (f"anchors/{HEX}{HEX}", Namespace.ANCHOR),
        (f"allowances/{HEX}", Namespace.ALLOWANCE),
        (f"recoveries/{HEX}", Namespace.RECOVERY),
        (f"authorities/{HEX}", Namespace.AUTHORITY),
        (f"polls/{HEX}", Namespace.POLL),
        (f"decisions/{HEX}{HEX}", Namespace.DECISION),
        (f"codes/{HEX}{HEX}", Namespace.CODE),
        (f"contracts/{HEX}", Namespace.CONTRACT),
    ],
)
def test_every_provable_name_is_read(name: str, namespace: Namespace) -> None:
    assert parse_provable(name) == (namespace, bytes.fromhex(name.partition("/")[2]))


OTHER = "f" * 32


def test_names_of_a_contracts_entries_are_read() -> None:
    for key in ("00", "ff" * 1_024):
        expected = (Namespace.CONTRACT_ENTRY, bytes.fromhex(HEX + key))
        assert parse_provable(f"contracts/{HEX}/{key}") == expected
    for key in ("", "0", "0G", "ff" * 1_025):
        with pytest.raises(InvalidArgument):
            parse_provable(f"contracts/{HEX}/{key}")


def test_names_of_pairs_and_of_duties_are_read() -> None:
    pair = bytes.fromhex(HEX + OTHER)
    assert parse_provable(f"memberships/{HEX}/{OTHER}") == (Namespace.MEMBERSHIP, pair)
    assert parse_provable(f"ballots/{HEX}/{OTHER}") == (Namespace.BALLOT, pair)
    assert parse_pair(f"memberships/{HEX}/{OTHER}", "memberships") == (pair[:16], pair[16:])
    for epoch in (0, 7, 2**62):
        expected = (Namespace.DUTY, bytes.fromhex(HEX) + epoch.to_bytes(8, "big"))
        assert parse_provable(f"duties/{HEX}/{epoch}") == expected
    place = (7).to_bytes(8, "big") + (49).to_bytes(8, "big")
    assert parse_provable("equivocations/7/49") == (Namespace.EQUIVOCATION, place)


@pytest.mark.parametrize(
    "name",
    [
        f"anchors/{HEX}",
        f"zones/{HEX}",
        "accounts",
        f"accounts/{HEX}{HEX}",
        f"decisions/{HEX}",
        f"memberships/{HEX}",
        f"memberships/{HEX}/{OTHER[:-1]}",
        f"memberships/{HEX}/{OTHER}/",
        f"memberships/{HEX}/{OTHER.upper()}",
        f"ballots/{HEX}{OTHER}",
        f"duties/{HEX}",
        f"duties/{HEX}/",
        f"duties/{HEX}/01",
        f"duties/{HEX}/-1",
        f"duties/{HEX}/{2**62 + 1}",
        f"duties/{HEX}/\u0661",
        "equivocations/7",
        "equivocations/7/01",
        "equivocations/07/1",
        "equivocations/7/100",
        f"equivocations/{2**62 + 1}/1",
        f"equivocations/{HEX}/1",
    ],
)
def test_a_name_that_is_not_provable_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse_provable(name)
    assert refusal.value.reason == "MALFORMED_NAME"


@pytest.mark.parametrize(("name", "height"), [("blocks/0", 0), ("blocks/10", 10), (f"blocks/{2**62}", 2**62)])
def test_a_height_is_read(name: str, height: int) -> None:
    assert parse_height(name) == height


@pytest.mark.parametrize(
    "name", ["blocks/", "blocks/01", "blocks/-1", "blocks/1.0", f"blocks/{2**62 + 1}", "blocks/١"]
)
def test_a_wrong_height_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse_height(name)
    assert refusal.value.reason == "MALFORMED_NAME"
