"""A validator that contradicted itself: its proof is listed, checked offline and recorded on the chain."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
from icn_chain.equivocation import make
from icn_crypto.suites import SigningKey, Suite
from icn_localnet.postgres import PostgresServer
from icn_sim.lies import notarize, propose_executed

LIAR = 2
OTHER_LIAR = 1


def key_of(directory: Path, seat: int) -> SigningKey:
    file = directory / f"validator-{seat}" / "keys" / "consensus.json"
    return SigningKey.from_seed(Suite.ED25519, bytes.fromhex(json.loads(file.read_text())["ed25519"]))


def contradiction(directory: Path, genesis_hash: bytes, seat: int) -> bytes:
    """Two notarizes of view 5, signed with the seat's own key."""
    key = key_of(directory, seat)
    return make(seat, *(notarize(key, genesis_hash, name * 32, view=5) for name in (b"a", b"b"))).encode()


def test_an_equivocation_is_recorded_and_proven(
    answer: Any, icn: Any, federation: Any, tmp_path: Path
) -> None:
    directory, network = federation.directory, federation.network
    data = ("--data", str(directory))
    assert icn("evidence", "list", *data).stdout == "no validator has any\n"
    proof = contradiction(directory, network.genesis.hash, LIAR)
    database = PostgresServer(network.validator_directory(0) / "postgres").dsn("consensus")
    with psycopg.connect(database) as connection:
        row = "INSERT INTO consensus.evidence (epoch, seat, view, proof) VALUES (%s, %s, %s, %s)"
        connection.execute(row, (0, LIAR, 5, proof))
        connection.execute(row, (0, 0, 5, b"a lie of validator 0"))
    listed = json.loads(icn("evidence", "list", "--json", *data).stdout)
    assert listed == {
        **{"epoch": "0", "seat": LIAR, "view": "5", "said": ["notarize", "notarize"]},
        **{"told_by": [0], "recorded": False, "proof": proof.hex()},
    }
    unknown = icn("evidence", "record", "0", "1", "--as", "bakery", *data)
    assert (unknown.returncode, "no validator has a proof about seat 1" in unknown.stderr) == (1, True)
    recorded = answer("evidence", "record", "0", str(LIAR), "--as", "bakery")
    assert recorded["equivocation"] == f"equivocations/0/{LIAR}"
    assert "yes" in icn("evidence", "list", *data).stdout
    again = icn("evidence", "record", "0", str(LIAR), "--as", "farm", *data)
    assert (again.returncode, "EQUIVOCATION_RECORDED" in again.stderr) == (1, True), again.stderr
    file = tmp_path / "proof.hex"
    file.write_text(listed["proof"] + "\n")
    check = ("evidence", "check", str(file), "--genesis", str(network.genesis_path))
    organization = network.genesis.validators[LIAR].organization.hex()
    assert json.loads(icn(*check).stdout) == {
        **{"valid": True, "epoch": "0", "seat": LIAR, "view": "5", "organization": organization},
        "said": ["notarize", "notarize"],
        "shows": "notarize and notarize contradict each other",
    }
    file.write_text((proof[:-1] + bytes([proof[-1] ^ 1])).hex())
    wrong = icn(*check)
    assert (wrong.returncode, json.loads(wrong.stdout)["valid"]) == (1, False)
    saved = tmp_path / "leaf.json"
    proved = icn("proof", "fetch", f"equivocations/0/{LIAR}", "--out", str(saved), *data)
    assert proved.returncode == 0, proved.stderr
    verified = icn("proof", "verify", str(saved), "--genesis", str(network.genesis_path))
    assert json.loads(verified.stdout)["valid"], verified.stdout


def test_a_steward_records_evidence_that_nobody_has_asked_it_for(
    answer: Any, icn: Any, federation: Any, tmp_path: Path
) -> None:
    network, data = federation.network, ("--data", str(federation.directory))
    stewards = {"ICN_STEWARD_KEYSTORE": str(tmp_path / "stewards")}
    for name in ("bakery", "farm"):
        answer("steward", "key", "--as", name, **stewards)
    key = key_of(federation.directory, OTHER_LIAR)
    proof = propose_executed(key, network.genesis, seat=OTHER_LIAR, view=8 + OTHER_LIAR, parent_view=7)
    file = tmp_path / "proof.hex"
    file.write_text(proof.hex())
    checked = icn("evidence", "check", str(file), "--genesis", str(network.genesis_path))
    document = json.loads(checked.stdout)
    assert (document["valid"], document["seat"], document["view"]) == (True, OTHER_LIAR, "9")
    assert document["said"] == ["invalid proposal (header)"]
    assert document["shows"] == "executed_height 5 at height 5"
    database = PostgresServer(network.validator_directory(3) / "postgres").dsn("consensus")
    with psycopg.connect(database) as connection:
        row = "INSERT INTO consensus.evidence (epoch, seat, view, proof) VALUES (%s, %s, %s, %s)"
        connection.execute(row, (0, OTHER_LIAR, 9, proof))
    leaf = f"equivocations/0/{OTHER_LIAR}"

    def look(name: str) -> list[tuple[str, str]]:
        done = icn("steward", "once", "--as", name, "--json", *data, **stewards)
        steps = [step for step in json.loads(done.stdout)["steps"] if "evidence" in step]
        return [(step["evidence"], step["outcome"]) for step in steps]

    with ThreadPoolExecutor() as both:
        found = list(both.map(look, ("bakery", "farm")))
    assert found.count([(leaf, "recorded")]) >= 1, found
    assert all(steps in ([], [(leaf, "recorded")]) for steps in found), "who comes second is content"
    saved = tmp_path / "leaf.json"
    proved = icn("proof", "fetch", leaf, "--out", str(saved), *data)
    assert proved.returncode == 0, proved.stderr
    assert look("farm") == []
