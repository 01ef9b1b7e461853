from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icn.consensus.v1.block_pb2 import ValidatorSet
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_crypto.hashing import domain_hash
from icn_crypto.jcs import canonicalize
from icn_crypto.suites import SUITE_NAMES, SigningKey, Suite, key_id
from icn_kit import genesis
from icn_kit.genesis import GenesisInvalid, TrustProfile, load_genesis, parse_genesis

Document = dict[str, Any]


@cache
def public_keys(number: int) -> tuple[tuple[Suite, bytes], ...]:
    return tuple((suite, SigningKey.from_seed(suite, bytes([number]) * 32).public_key) for suite in Suite)


def written(number: int) -> dict[str, str]:
    return {SUITE_NAMES[suite]: key.hex() for suite, key in public_keys(number)}


def organization(number: int, keys: list[int]) -> Document:
    entries = [{"key_id": key_id(dict(public_keys(key))).hex(), "public_keys": written(key)} for key in keys]
    return {
        "principal": bytes([number]).hex() * 16,
        "name": f"Co-op {number}",
        "controller": {"threshold": 1, "keys": sorted(entries, key=lambda entry: str(entry["key_id"]))},
        "allowance": {
            "bytes_per_epoch": 2**40,
            "signatures_per_epoch": 1_000,
            "state_leaves": 0,
            "fuel_per_epoch": 0,
        },
    }


@cache
def _valid() -> Document:
    organizations = [organization(number, [number, number + 100]) for number in range(1, 5)]
    return {
        "zone": "Härnösand federation",
        "trust_profile": "hosted",
        "protocol_version": 1,
        "genesis_time_ms": 1_700_000_000_000,
        "epoch_ms": 86_400_000,
        "heartbeat_ms": 30_000,
        "recovery_delay_ms_min": 1_000,
        "block_time_distance_ms_max": 3_000,
        "limits": {"block_bytes_max": 1_048_576, "block_transactions_max": 4_000},
        "validators": [
            {
                "seat": seat,
                "organization": item["principal"],
                "name": f"Seat {seat}",
                "consensus_public_keys": written(50 + seat),
            }
            for seat, item in enumerate(organizations)
        ],
        "organizations": organizations,
        "zone_authority": {
            "principal": "ff" * 16,
            "threshold": 3,
            "key_ids": sorted(item["controller"]["keys"][0]["key_id"] for item in organizations),
            "allowance": {
                "bytes_per_epoch": 0,
                "signatures_per_epoch": 0,
                "state_leaves": 0,
                "fuel_per_epoch": 0,
            },
        },
    }


@pytest.fixture
def document() -> Document:
    return copy.deepcopy(_valid())


def parsed(document: Document) -> genesis.Genesis:
    return parse_genesis(json.dumps(document).encode())


def change(document: Document, place: str, value: object) -> None:
    """Set the value at a place like ``validators[2].seat``; ``...`` removes it."""
    *path, last = [
        int(part) if part.isdigit() else part for part in place.replace("[", ".").replace("]", "").split(".")
    ]
    inside: Any = document
    for part in path:
        inside = inside[part]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value


def test_a_valid_file_is_read(document: Document, tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_text(json.dumps(document), "utf-8")
    read = load_genesis(tmp_path / "genesis.json")
    assert read.zone == "Härnösand federation"
    assert read.trust_profile is TrustProfile.HOSTED
    assert read.limits == genesis.BlockLimits(1_048_576, 4_000)
    assert [seat.organization[0] for seat in read.validators] == [1, 2, 3, 4]
    assert read.organizations[0].allowance.bytes_per_epoch == 2**40
    assert len(read.organizations[3].keys) == 2
    assert read.zone_authority.threshold == 3
    assert {key.key_id for key in read.zone_authority.keys} == {
        item.keys[0].key_id for item in read.organizations
    }


def test_the_hash_is_that_of_the_canonical_form_whatever_the_layout(document: Document) -> None:
    expected = domain_hash("icn/genesis/v1", bytes(32), canonicalize(document))
    reversed_members = dict(reversed(document.items()))
    for text in (
        json.dumps(document),
        json.dumps(document, indent=7, ensure_ascii=False),
        json.dumps(reversed_members),
    ):
        assert parse_genesis(text.encode()).hash == expected


def test_any_other_content_is_another_zone(document: Document) -> None:
    before = parsed(document)
    document["heartbeat_ms"] += 1
    assert parsed(document).hash != before.hash
    assert parsed(document) != before


def test_the_validator_set_is_in_seat_order_with_ascending_suites(document: Document) -> None:
    read = parsed(document)
    decoded = ValidatorSet.FromString(read.validator_set)
    assert [item.organization for item in decoded.validators] == [bytes([n]) * 16 for n in range(1, 5)]
    assert [[key.suite for key in item.keys] for item in decoded.validators] == [[1, 2]] * 4
    assert read.validator_set_hash == domain_hash("icn/validator-set/v1", bytes(32), read.validator_set)


@pytest.mark.parametrize(
    ("elapsed_ms", "epoch"), [(0, 0), (86_399_999, 0), (86_400_000, 1), (172_800_000, 2)]
)
def test_an_epoch_begins_exactly_when_its_span_has_passed(
    document: Document, elapsed_ms: int, epoch: int
) -> None:
    assert parsed(document).epoch_of(1_700_000_000_000 + elapsed_ms) == epoch


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("protocol_version", 1),
        ("protocol_version", NEWEST_PROTOCOL),
        ("genesis_time_ms", 1),
        ("genesis_time_ms", 2**53 - 1),
        ("epoch_ms", 60_000),
        ("epoch_ms", 31_622_400_000),
        ("heartbeat_ms", 1_000),
        ("heartbeat_ms", 3_600_000),
        ("recovery_delay_ms_min", 1_000),
        ("recovery_delay_ms_min", 31_622_400_000),
        ("block_time_distance_ms_max", 100),
        ("block_time_distance_ms_max", 600_000),
        ("limits.block_bytes_max", 262_144),
        ("limits.block_bytes_max", 4_128_768),
        ("limits.block_transactions_max", 1),
        ("limits.block_transactions_max", 65_536),
        ("organizations[0].controller.threshold", 2),
        ("organizations[0].allowance.state_leaves", 2**40),
        ("organizations[0].allowance.fuel_per_epoch", 2**50),
        ("zone_authority.threshold", 4),
        ("zone", "x" * 64),
        ("trust_profile", "independent"),
    ],
)
def test_the_limits_themselves_are_allowed(document: Document, place: str, value: object) -> None:
    change(document, place, value)
    assert parsed(document).hash


@pytest.mark.parametrize(
    ("place", "value", "refused_at"),
    [
        ("protocol_version", 0, "protocol_version"),
        ("protocol_version", NEWEST_PROTOCOL + 1, "protocol_version"),
        ("genesis_time_ms", 0, "genesis_time_ms"),
        ("genesis_time_ms", 2**53, "genesis_time_ms"),
        ("epoch_ms", 59_999, "epoch_ms"),
        ("epoch_ms", 31_622_400_001, "epoch_ms"),
        ("heartbeat_ms", 999, "heartbeat_ms"),
        ("heartbeat_ms", 3_600_001, "heartbeat_ms"),
        ("recovery_delay_ms_min", 999, "recovery_delay_ms_min"),
        ("recovery_delay_ms_min", 31_622_400_001, "recovery_delay_ms_min"),
        ("recovery_delay_ms_min", ..., ""),
        ("block_time_distance_ms_max", 99, "block_time_distance_ms_max"),
        ("block_time_distance_ms_max", 600_001, "block_time_distance_ms_max"),
        ("limits.block_bytes_max", 262_143, "limits.block_bytes_max"),
        ("limits.block_bytes_max", 8_388_609, "limits.block_bytes_max"),
        ("limits.block_transactions_max", 0, "limits.block_transactions_max"),
        ("limits.block_transactions_max", 65_537, "limits.block_transactions_max"),
        ("heartbeat_ms", 30_000.0, ""),
        ("heartbeat_ms", "30000", "heartbeat_ms"),
        ("heartbeat_ms", True, "heartbeat_ms"),
        ("heartbeat_ms", None, "heartbeat_ms"),
        ("heartbeat_ms", ..., ""),
        ("extra", 1, ""),
        ("limits.extra", 1, "limits"),
        ("limits", [], "limits"),
        ("validators", {}, "validators"),
        ("trust_profile", "shared", "trust_profile"),
        ("trust_profile", ["hosted"], "trust_profile"),
        ("zone", "", "zone"),
        ("zone", "x" * 65, "zone"),
        ("zone", " x", "zone"),
        ("zone", "x\u0007", "zone"),
        ("zone", "x\u200b", "zone"),
        ("zone", "A\u030a", "zone"),
        ("validators[2].seat", 3, "validators[2].seat"),
        ("validators[2].organization", "09" * 16, "validators[2].organization"),
        ("validators[2].organization", "01" * 16, "validators[2].organization"),
        ("validators[2].name", "Seat 1", "validators[2].name"),
        ("validators[0].consensus_public_keys.ed25519", "01" + "00" * 31, None),
        ("validators[0].consensus_public_keys.ed25519", "ff" * 32, None),
        ("validators[0].consensus_public_keys.ed25519", "ab", None),
        ("validators[0].consensus_public_keys.ml_dsa_65", ..., "validators[0].consensus_public_keys"),
        ("organizations[1].principal", "01" * 16, "organizations[1].principal"),
        ("organizations[1].principal", "0A" * 16, "organizations[1].principal"),
        ("organizations[1].principal", "01" * 15, "organizations[1].principal"),
        ("organizations[1].name", "Co-op 1", "organizations[1].name"),
        ("organizations[1].controller.threshold", 0, "organizations[1].controller.threshold"),
        ("organizations[1].controller.threshold", 3, "organizations[1].controller.threshold"),
        ("organizations[1].controller.keys", [], "organizations[1].controller.keys"),
        (
            "organizations[1].controller.keys[0].key_id",
            "00" * 16,
            "organizations[1].controller.keys[0].key_id",
        ),
        ("organizations[1].allowance.state_leaves", -1, "organizations[1].allowance.state_leaves"),
        ("organizations[1].allowance.state_leaves", 2**40 + 1, "organizations[1].allowance.state_leaves"),
        ("organizations[1].allowance.fuel_per_epoch", 2**50 + 1, "organizations[1].allowance.fuel_per_epoch"),
        ("zone_authority.principal", "01" * 16, "zone_authority.principal"),
        ("zone_authority.threshold", 0, "zone_authority.threshold"),
        ("zone_authority.threshold", 5, "zone_authority.threshold"),
        ("zone_authority.key_ids", [], "zone_authority.key_ids"),
        ("zone_authority.key_ids[1]", "00" * 16, "zone_authority.key_ids[1]"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(
    document: Document, place: str, value: object, refused_at: str | None
) -> None:
    change(document, place, value)
    with pytest.raises(GenesisInvalid) as refusal:
        parsed(document)
    assert refusal.value.place == (place if refused_at is None else refused_at)
    assert str(refusal.value)


@pytest.mark.parametrize("count", [3, 51])
def test_fewer_than_four_or_more_than_fifty_seats_are_refused(document: Document, count: int) -> None:
    document["validators"] = [copy.deepcopy(document["validators"][0]) for _ in range(count)]
    with pytest.raises(GenesisInvalid, match=f"has {count} items, must have 4 to 50"):
        parsed(document)


def test_two_seats_may_not_share_a_consensus_key(document: Document) -> None:
    keys = document["validators"][0]["consensus_public_keys"]
    document["validators"][3]["consensus_public_keys"]["ml_dsa_65"] = keys["ml_dsa_65"]
    with pytest.raises(GenesisInvalid, match=r"validators\[3\].ml_dsa_65: stands there twice"):
        parsed(document)


def test_two_organizations_may_not_share_a_key(document: Document) -> None:
    document["organizations"][1]["controller"] = document["organizations"][0]["controller"]
    with pytest.raises(GenesisInvalid, match=r"key_id: stands there twice"):
        parsed(document)


@pytest.mark.parametrize("part", ["organizations[0].controller.keys", "zone_authority.key_ids"])
def test_keys_ascend_and_none_stands_twice(document: Document, part: str) -> None:
    keys = document["organizations"][0]["controller"]["keys"]
    if part.startswith("zone"):
        keys = document["zone_authority"]["key_ids"]
    for wrong in ([keys[1], keys[0]], [keys[0], keys[0]]):
        change(document, part, wrong)
        with pytest.raises(GenesisInvalid, match="must ascend by key id, no key twice"):
            parsed(document)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'{"zone": NaN}',
        b" " * (4 * 1024 * 1024 + 1),
    ],
)
def test_what_is_no_genesis_at_all_is_refused(text: bytes) -> None:
    with pytest.raises(GenesisInvalid):
        parse_genesis(text)


def test_a_member_that_stands_twice_is_refused(document: Document) -> None:
    text = json.dumps(document).replace(
        '"heartbeat_ms": 30000', '"heartbeat_ms": 30000, "heartbeat_ms": 30000'
    )
    with pytest.raises(GenesisInvalid, match="not I-JSON"):
        parse_genesis(text.encode())


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(text: bytes) -> None:
    with pytest.raises(GenesisInvalid):
        parse_genesis(text)


@given(st.data())
def test_replacing_any_value_by_another_kind_never_raises_anything_else(data: st.DataObject) -> None:
    document = copy.deepcopy(_valid())
    inside: Any = document
    while True:
        key = data.draw(
            st.sampled_from(sorted(inside) if isinstance(inside, dict) else list(range(len(inside))))
        )
        if not isinstance(inside[key], dict | list) or data.draw(st.booleans()):
            break
        inside = inside[key]
    inside[key] = data.draw(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=80), st.just([]), st.just({}))
    )
    try:
        parsed(document)
    except GenesisInvalid:
        return
    assert type(inside[key]) in (int, str)
