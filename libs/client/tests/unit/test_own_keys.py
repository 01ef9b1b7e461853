"""Founders and newcomers who make their own keys, as they use the commands; no process is started."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from icn_chain.checkpoint import Checkpoint
from icn_client.cli.main import app
from icn_kit.genesis import TrustProfile, load_genesis
from icn_localnet import joined
from icn_localnet.network import Network
from typer.testing import CliRunner

run = CliRunner()
COOPS = ("Valley Bakery", "Valley Mill", "Valley Farm", "Valley Press")


def icn(*words: str | Path) -> Any:
    done = run.invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == 0, (words, done.output, done.exception)
    return json.loads(done.stdout)


def refusal(*words: str | Path) -> str:
    done = run.invoke(app, [*map(str, words)])
    assert done.exit_code != 0, done.output
    return f"{done.exception} {done.output}"


@pytest.fixture(scope="module")
def founders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a public part and a validator of each founder."""
    folder = tmp_path_factory.mktemp("founders")
    os.environ["ICN_PASSPHRASE"] = "a passphrase for tests"
    try:
        for number, name in enumerate(COOPS):
            own = ("--keystore", folder / f"keys-{number}")
            icn("keys", "new", f"coop-{number}", "--post-quantum", *own)
            exported = run.invoke(app, ["keys", "export", f"coop-{number}", *map(str, own)])
            public = folder / f"public-{number}.json"
            public.write_text(exported.stdout)
            host = f"icn.coop-{number}.example"
            icn(
                *("validator", "init", folder / f"seat-{number}", "--founder", public),
                *("--name", name, "--host", host),
            )
    finally:
        del os.environ["ICN_PASSPHRASE"]
    return folder


def offers(founders: Path) -> list[str | Path]:
    return [
        word
        for number in range(len(COOPS))
        for word in ("--founder", founders / f"seat-{number}" / "founder.json")
    ]


@pytest.fixture(scope="module")
def prepared(founders: Path) -> Path:
    made = founders / "federation"
    icn("cluster", "prepare", made, "--zone", "Valley", *offers(founders), "--validator", founders / "seat-0")
    return made


def test_a_zone_is_founded_on_keys_that_nobody_gave_away(prepared: Path, founders: Path) -> None:
    genesis = load_genesis(prepared / "genesis.json")
    assert [seat.name for seat in genesis.validators] == list(COOPS)
    assert genesis.trust_profile is TrustProfile.INDEPENDENT
    objects = json.loads((prepared / "objects.json").read_text())["items"]
    names = {one["metadata"]["name"] for one in objects}
    assert {name for name in names if "validator" in name} == {
        "icn-validator-0",
        "icn-validator-0-record",
        "icn-validator-0-tls",
    }
    everything = (prepared / "objects.json").read_text()
    for number in (1, 2, 3):
        seed = json.loads(
            (founders / f"seat-{number}" / "validator-0" / "keys" / "consensus.json").read_text()
        )
        assert seed["ed25519"] not in everything
    values = yaml.safe_load((prepared / "values.yaml").read_text())
    assert values["trustProfile"] == "independent"
    assert values["validators"]["seats"] == [0]
    assert values["validators"]["elsewhere"][0] == {
        "seat": 1,
        "host": "icn.coop-1.example",
        "consensusPort": 7001,
        "ledgerPort": 7002,
    }


def test_a_key_that_a_release_has_leaves_its_folder(prepared: Path, founders: Path) -> None:
    assert prepared.is_dir()
    with pytest.raises(joined.KeyGone):
        joined.read_unused_key(founders / "seat-0")


def test_a_founder_takes_genesis_and_admission_and_knows_the_others(prepared: Path, founders: Path) -> None:
    from icn_client.cli.validator_joining import admitted_network

    seat = founders / "seat-1"
    (admission,) = prepared.glob("admissions/1-*.json")
    network = admitted_network(seat, admission, prepared / "genesis.json")
    assert network.validators[0].name == COOPS[1]
    assert [one.consensus for one in network.validators[1:]] == [
        f"icn.coop-{number}.example:7001" for number in (0, 2, 3)
    ]
    assert Network.load(seat).is_joined


def test_a_checkpoint_of_another_zone_is_refused(prepared: Path, founders: Path, tmp_path: Path) -> None:
    zone = load_genesis(prepared / "genesis.json")
    other = Checkpoint(bytes(32), 3, 9, bytes(32), 1_000, zone.validator_set)
    (tmp_path / "checkpoint.json").write_bytes(other.to_bytes())
    (admission,) = prepared.glob("admissions/3-*.json")
    seat = founders / "seat-3"
    said = refusal(
        *("validator", "join", seat, "--genesis", prepared / "genesis.json"),
        *("--admission", admission, "--checkpoint", tmp_path / "checkpoint.json"),
    )
    assert "ask for one of this zone" in said
    assert not (seat / "network.json").exists()


def test_a_genesis_without_a_founder_s_key_is_refused(prepared: Path, founders: Path, tmp_path: Path) -> None:
    genesis = json.loads((prepared / "genesis.json").read_text())
    seats = genesis["validators"]
    seats[2]["consensus_public_keys"], seats[3]["consensus_public_keys"] = (
        seats[3]["consensus_public_keys"],
        seats[2]["consensus_public_keys"],
    )
    changed = tmp_path / "genesis.json"
    changed.write_text(json.dumps(genesis))
    said = refusal("validator", "join", founders / "seat-2", "--genesis", changed)
    assert "to other keys than ours" in said
    assert not (founders / "seat-2" / "genesis.json").exists()


def test_a_changed_founder_s_file_is_refused_before_anything_is_made(founders: Path, tmp_path: Path) -> None:
    good = json.loads((founders / "seat-3" / "founder.json").read_text())
    other = json.loads((founders / "seat-2" / "founder.json").read_text())
    bad = tmp_path / "bad.json"
    made = tmp_path / "federation"
    for change, says in (
        ({"principal": other["principal"]}, "not signed with the key that is offered"),
        ({"consensus_public_keys": other["consensus_public_keys"]}, "not signed with the key"),
        ({"keys": [{"ed25519": good["keys"][0]["ed25519"]}]}, "icn keys new --post-quantum"),
        ({"consensus": "nowhere"}, "is not host:port"),
        ({"request": "none"}, "no request for a certificate"),
        ({"format": "icn/seat-offer/v1"}, "not a founder's file"),
    ):
        bad.write_text(json.dumps({**good, **change}))
        words = [*offers(founders)[:-1], bad]
        said = refusal("cluster", "prepare", made, *words, "--validator", founders / "seat-1")
        assert says in said, said
        assert not made.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--validator: name the folder of at least one seat"),
        (("--validator", "seat-9"), "a release has the key"),
        (("--validator", "seat-1", "--validator", "seat-1"), "was named twice"),
        (("--validator", "seat-1", "--admission", "none.json"), "--admission and --genesis go with"),
        (("--validator", "seat-1", "--epoch", "59s"), "less than a minute"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    founders: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    placed = [founders / word if word.startswith("seat-") else word for word in words]
    assert says in refusal("cluster", "prepare", tmp_path / "made", *offers(founders), *placed)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--host", "icn.example"), "give --genesis and --for"),
        (("--host", "a/b", "--founder", "public-0.json", "--name", "X"), "neither a host's name"),
        (("--host", "h", "--founder", "public-0.json"), "give --genesis and --for"),
        (("--host", "h", "--ledger-port", "7001"), "is the consensus port"),
        (("--host", "müller.example", "--founder", "public-0.json", "--name", "X"), "cannot stand"),
        (("--host", "h", "--genesis", "public-0.json", "--for", "00" * 16), "public-0.json"),
    ],
)
def test_a_validator_that_cannot_be_is_not_made(
    founders: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    placed = [founders / word if word.startswith("public-") else word for word in words]
    assert says in refusal("validator", "init", tmp_path / "seat", *placed)
    assert not (tmp_path / "seat").exists()


def test_a_request_for_the_name_of_a_service_is_not_certified(
    prepared: Path, founders: Path, tmp_path: Path
) -> None:
    public = json.loads((founders / "public-1.json").read_text())
    genesis = prepared / "genesis.json"
    words = ("--genesis", genesis, "--for", public["principal"])
    authority = ("--authority", prepared / "authority", "--at", "0=icn.coop-0.example")
    for number, host in enumerate(("icn-postgres.icn", "icn.coop-0.example")):
        icn("validator", "init", tmp_path / f"seat-{number}", *words, "--host", host)
        request = tmp_path / f"seat-{number}" / "request.pem"
        said = refusal("validators", "admit", request, "--genesis", genesis, *authority)
        assert f"asks to be {host}" in said
    icn("validator", "init", tmp_path / "good", *words, "--host", "icn.new.example")
    done = run.invoke(
        app,
        [
            *map(
                str,
                ("validators", "admit", tmp_path / "good" / "request.pem", "--genesis", genesis, *authority),
            )
        ],
    )
    admission = joined.read_admission(done.stdout.encode())
    assert [one.name for one in admission.validators] == [COOPS[0]]


@pytest.mark.parametrize("place", ["icn.example", "0=", "0=h:1", "0=h:0:1", "0=h:1:65536", "x=h"])
def test_a_place_that_is_none_is_refused(prepared: Path, tmp_path: Path, place: str) -> None:
    genesis = prepared / "genesis.json"
    icn(
        "validator",
        "init",
        tmp_path / "seat",
        "--genesis",
        genesis,
        "--for",
        "00" * 16,
        "--host",
        "h.example",
    )
    words = ("--genesis", genesis, "--authority", prepared / "authority", "--at", place)
    assert "--at: " in refusal("validators", "admit", tmp_path / "seat" / "request.pem", *words)
