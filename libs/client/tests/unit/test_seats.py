"""Offers to hold a seat: what makes them, what refuses them, and the command that writes key and offer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from icn_client import seats
from icn_client.cli.main import app
from icn_client.platforms import found_network
from icn_client.seats import OfferInvalid, read_offer
from icn_crypto.suites import SigningKey, Suite
from typer.testing import CliRunner

from libs.client.tests.conftest import Zone

GENESIS_HASH = bytes(range(32))
ORGANIZATION = b"o" * 16
KEYS = seats.new_keys()


def document(**changes: Any) -> bytes:
    return json.dumps({**seats.offer_document(KEYS, GENESIS_HASH, ORGANIZATION), **changes}).encode()


def test_an_offer_is_read_as_the_ledger_takes_it() -> None:
    offer = read_offer(document(), GENESIS_HASH)
    assert offer.organization == ORGANIZATION
    assert [(key.suite, key.public_key) for key in offer.keys] == [
        (key.suite, key.public_key) for key in KEYS
    ]
    assert seats.replace(b"x" * 16, offer).replace.seat == offer == seats.add(offer).add


OTHER = seats.offer_document(seats.new_keys(), GENESIS_HASH, ORGANIZATION)
SMALL = {**OTHER["public_keys"], "ed25519": "01" + "00" * 31}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not an offer"),
        (b"[]", "not an offer"),
        (b"[" * 100_000, "not an offer"),
        (b"\xff", "not an offer"),
        (document(format="icn/seat-offer/v2"), "not an offer"),
        (document(more=1), "not an offer"),
        (document(genesis="00" * 32), "another zone"),
        (document(organization="00" * 15), "15 bytes"),
        (document(organization=7), "not an offer"),
        (document(organization=("p" * 2).encode().hex() * 8), "not signed"),
        (document(public_keys=OTHER["public_keys"]), "not signed"),
        (document(public_keys=SMALL), "prime order"),
        (document(public_keys={"ed25519": "00" * 32}), "keys must be of"),
        (document(possession=OTHER["possession"]), "not signed"),
        (document(possession={"ed25519": "", "ml_dsa_65": ""}), "not signed"),
        (document(possession=None), "not an offer"),
    ],
)
def test_what_the_ledger_would_refuse_is_no_offer(content: bytes, problem: str) -> None:
    with pytest.raises(OfferInvalid, match=problem):
        read_offer(content, GENESIS_HASH)


def test_a_new_key_is_a_file_that_a_validator_reads_and_an_offer(zone: Zone, tmp_path: Path) -> None:
    genesis, secret = tmp_path / "genesis.json", tmp_path / "consensus.json"
    genesis.write_bytes(zone.genesis_bytes)
    command = ["validators", "key", "new", "--out", str(secret), "--genesis", str(genesis)]
    done = CliRunner().invoke(app, [*command, "--for", ORGANIZATION.hex()])
    assert done.exit_code == 0, done.stderr
    assert secret.stat().st_mode & 0o777 == 0o600
    seeds = json.loads(secret.read_text())
    offer = read_offer(done.stdout.encode(), zone.genesis.hash)
    public = [
        SigningKey.from_seed(suite, bytes.fromhex(seeds[name])).public_key
        for suite, name in ((Suite.ED25519, "ed25519"), (Suite.ML_DSA_65, "ml_dsa_65"))
    ]
    assert [key.public_key for key in offer.keys] == public and set(seeds) == {"ed25519", "ml_dsa_65"}
    assert not any(seed in done.stdout + done.stderr for seed in seeds.values())
    before = secret.read_bytes()
    again = CliRunner().invoke(app, [*command, "--for", ORGANIZATION.hex()])
    assert again.exit_code != 0 and secret.read_bytes() == before, "a key is never overwritten"


def test_a_validator_of_the_platform_takes_a_key_file_and_nothing_else(tmp_path: Path) -> None:
    network = found_network(tmp_path / "zone", validators=4)
    file = tmp_path / "consensus.json"
    command = ["validators", "key", "use", str(file), "--data", str(network.directory), "--validator"]
    file.write_text(json.dumps(seats.seeds_document(KEYS)))
    done = CliRunner().invoke(app, [*command, "2", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"validator": 2, "ed25519": KEYS[0].public_key.hex()}
    assert not any(key.seed.hex() in done.stdout + done.stderr for key in KEYS)
    kept = (network.validator_directory(2) / "keys" / "consensus.json").read_bytes()
    assert kept == file.read_bytes()
    seeds = seats.seeds_document(seats.new_keys())
    for content, seat, problem in (
        (file.read_bytes(), "2", "CONSENSUS_KEY_USED"),
        (file.read_bytes(), "1", "CONSENSUS_KEY_USED"),
        (json.dumps(seeds).encode(), "4", "the platform has 4"),
        (b"", "1", "KEY_FILE_INVALID"),
        (b"[1]", "1", "KEY_FILE_INVALID"),
        (b"\xff", "1", "KEY_FILE_INVALID"),
        (b"[" * 1_000, "1", "KEY_FILE_INVALID"),
        (json.dumps({"ed25519": seeds["ed25519"]}).encode(), "1", "KEY_FILE_INVALID"),
        (json.dumps({**seeds, "ed25519": "00"}).encode(), "1", "KEY_FILE_INVALID"),
        (json.dumps({**seeds, "ed25519": 7}).encode(), "1", "KEY_FILE_INVALID"),
        (json.dumps({**seeds, "more": "00"}).encode(), "1", "KEY_FILE_INVALID"),
    ):
        file.write_bytes(content)
        refused = CliRunner().invoke(app, [*command, seat, "--json"])
        assert refused.exit_code != 0 and not refused.stdout, (content, refused.output)
        assert problem in str(refused.exception) + refused.stderr + repr(vars(refused.exception)), content
    file.write_text(json.dumps(seeds))
    nowhere = CliRunner().invoke(app, [*command[:4], "--data", str(tmp_path), "--validator", "1"])
    assert nowhere.exit_code != 0
