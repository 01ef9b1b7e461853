"""Names: every wrong one is INVALID_ARGUMENT with a stable reason."""

from __future__ import annotations

import pytest
from icn_kit.errors import InvalidArgument
from icn_ledger.api.names import parse_height, parse_identifier, parse_provable
from icn_ledger.domain.records import Namespace

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
    ],
)
def test_every_provable_name_is_read(name: str, namespace: Namespace) -> None:
    assert parse_provable(name) == (namespace, bytes.fromhex(name.partition("/")[2]))


@pytest.mark.parametrize("name", [f"anchors/{HEX}", f"zones/{HEX}", "accounts", f"accounts/{HEX}{HEX}"])
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
