"""A member loses her keystore: the guardian gives her new keys after a delay, in which she can object."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn_client.connection import NetworkFile
from icn_client.events import read_events

DELAY_SECONDS = 15
"""Long enough for a command on a busy machine, short enough to be waited for."""


class Member:
    """Somebody whom the bakery admitted, with an account."""

    def __init__(self, icn: Any, answer: Any, folder: Path, name: str, unit: str) -> None:
        self.icn, self.answer, self.folder, self.name = icn, answer, folder, name
        self.principal = json.loads(self.run("keys", "new", name, "--json"))["principal"]
        answer("account", "admit", self.public_part(), "--as", "bakery", "--delay", f"{DELAY_SECONDS}s")
        self.account = str(answer("account", "open", "--unit", unit, "--as", name)["account"])

    def run(self, *arguments: str) -> str:
        done = self.icn(*arguments)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def public_part(self) -> str:
        path = self.folder / f"{self.name}.public.json"
        path.write_text(self.run("keys", "export", self.name))
        return str(path)

    def lose_keystore(self) -> str:
        """Move the keystore away, where the answer says, and make another key for the same principal."""
        keystore = self.folder / "keys" / f"{self.name}.json"
        found = self.folder / "found" / keystore.name
        found.parent.mkdir()
        keystore.rename(found)
        self.run("keys", "new", self.name, "--for", self.principal)
        return str(found.parent)


@pytest.fixture
def unit(answer: Any) -> str:
    made = answer("unit", "create", "LOST", "--scale", "0", "--floor", "-50", "--as", "bakery")
    return str(made["unit"])


@pytest.fixture
def anna(icn: Any, answer: Any, tmp_path: Path, unit: str) -> Member:
    return Member(icn, answer, tmp_path, "anna", unit)


@pytest.fixture
def bruno(icn: Any, answer: Any, tmp_path: Path, unit: str) -> Member:
    return Member(icn, answer, tmp_path, "bruno", unit)


@pytest.fixture
def refused(icn: Any, federation: Any) -> Callable[..., str]:
    """Run a command on the federation that must be refused; what it said."""

    def run(*arguments: str) -> str:
        done = icn(*arguments, "--data", str(federation.directory))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
        return str(done.stderr)

    return run


def told(federation: Any, principal: str) -> list[str]:
    """Names of the events about a principal's recovery, in order."""
    network = NetworkFile.load(federation.directory)
    found = asyncio.run(read_events(federation.directory, network))
    envelopes = [EventEnvelope.FromString(content) for content in found.values()]
    return [
        envelope.subject.rpartition(".")[2]
        for envelope in envelopes
        if envelope.aggregate == f"principals/{principal}" and "recovery" in envelope.subject
    ]


def wait_until_told(federation: Any, principal: str, names: list[str]) -> None:
    """The stream is a copy that follows the ledger within moments."""
    deadline = time.monotonic() + 20
    while (found := told(federation, principal)) != names:
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_a_lost_keystore_is_replaced_after_the_delay_and_the_old_key_signs_no_more(
    answer: Any, refused: Any, federation: Any, anna: Member, bruno: Member
) -> None:
    answer("pay", bruno.account, "5", "--as", "anna")
    old = anna.lose_keystore()
    assert "KEY_UNKNOWN" in refused("pay", bruno.account, "5", "--as", "anna")

    answer("recovery", "start", anna.public_part(), "--as", "bakery")
    early = refused("recovery", "complete", anna.principal, "--as", "bakery")
    shown = answer("recovery", "show", anna.principal)
    ready_ms = int(shown["pending"]["ready_time_ms"])
    assert f"RECOVERY_NOT_READY (message 0): ready_time_ms {ready_ms}, block_time_ms " in early
    assert ready_ms - 1_000 * DELAY_SECONDS <= int(early.rpartition(" ")[2]) < ready_ms
    assert shown["delay_ms"] == str(1_000 * DELAY_SECONDS)
    (announced,) = shown["pending"]["keys"]
    assert announced == json.loads(anna.run("keys", "export", "anna"))["keys"][0]["key_id"]
    assert "RECOVERY_PENDING" in refused("recovery", "start", anna.public_part(), "--as", "bakery")

    time.sleep(max(0.0, ready_ms / 1000 - time.time() + 1))
    answer("recovery", "complete", anna.principal, "--as", "bakery")
    assert answer("pay", bruno.account, "7", "--as", "anna")["balance_minor"] == "-12"
    assert "KEY_UNKNOWN" in refused("pay", bruno.account, "1", "--as", "anna", "--keystore", old)
    assert answer("recovery", "show", anna.principal)["pending"] is None
    wait_until_told(federation, anna.principal, ["recovery_started", "recovery_completed"])


def test_a_member_whose_sponsor_stops_paying_is_taken_on_by_another_co_op(
    answer: Any, refused: Any, anna: Member, bruno: Member
) -> None:
    assert "SPONSOR_EXISTS" in refused("account", "sponsor", anna.principal, "--as", "farm")
    assert "NOT_SPONSOR" in refused("account", "release", anna.principal, "--as", "farm")
    answer("account", "release", anna.principal, "--as", "bakery")
    assert "PAYER_NOT_ALLOWED" in refused("pay", bruno.account, "5", "--as", "anna")
    assert "NOT_SPONSORED" in refused("recovery", "start", anna.public_part(), "--as", "bakery")
    answer("account", "sponsor", anna.principal, "--as", "farm")
    assert answer("pay", bruno.account, "5", "--as", "anna")["balance_minor"] == "-5"


def test_a_recovery_under_way_is_shown_and_proven(
    icn: Any, answer: Any, federation: Any, anna: Member, tmp_path: Path
) -> None:
    data = ("--data", str(federation.directory))
    answer("recovery", "start", anna.public_part(), "--as", "bakery")
    text = icn("recovery", "show", anna.principal, *data).stdout
    (key_id,) = answer("recovery", "show", anna.principal)["pending"]["keys"]
    assert f"new key    {key_id}\n" in text and f", after {DELAY_SECONDS}s\n" in text
    proof, genesis = str(tmp_path / "recovery.json"), str(federation.directory / "genesis.json")
    anna.run("proof", "fetch", f"recoveries/{anna.principal}", "--out", proof, *data)
    statement = json.loads(anna.run("proof", "verify", proof, "--genesis", genesis))["statement"]
    assert (statement["kind"], statement["principal"]) == ("recovery", anna.principal)


def test_a_member_who_has_lost_nothing_vetoes_and_names_another_guardian(
    answer: Any, refused: Any, federation: Any, anna: Member, bruno: Member
) -> None:
    old = anna.lose_keystore()  # so they think; the new key stands for an impostor's
    own = ("--as", "anna", "--keystore", old)
    answer("recovery", "start", anna.public_part(), "--as", "bakery")
    assert "NOT_GUARDIAN" in refused("recovery", "cancel", anna.principal, "--as", "bruno")
    answer("recovery", "cancel", anna.principal, *own)
    assert "RECOVERY_UNKNOWN" in refused("recovery", "complete", anna.principal, "--as", "bakery")

    answer("recovery", "start", anna.public_part(), "--as", "bakery")
    named = answer("recovery", "guardian", bruno.principal, *own, "--delay", "2d")
    assert (named["guardian"], named["delay_ms"]) == (bruno.principal, "172800000")
    shown = answer("recovery", "show", anna.principal)
    assert (shown["guardian"], shown["pending"]) == (bruno.principal, None)
    assert "NOT_GUARDIAN" in refused("recovery", "start", anna.public_part(), "--as", "bakery")
    answer("recovery", "guardian", "none", *own)
    assert answer("recovery", "show", anna.principal)["guardian"] is None
    assert answer("pay", bruno.account, "3", *own)["balance_minor"] == "-3"
    wait_until_told(federation, anna.principal, ["recovery_started", "recovery_cancelled"] * 2)
