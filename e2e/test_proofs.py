"""Receipts, entries and absences from the running platform, checked with the genesis file alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.xdist_group("platform")
def test_what_became_of_a_payment_and_what_stands_in_the_book_is_proven_offline(
    answer: Any, icn: Any, federation: Any, tmp_path: Path
) -> None:
    unit = answer("unit", "create", "KNEAD", "--floor", "-50", "--as", "bakery")["unit"]
    bakery = answer("account", "open", "--unit", unit, "--as", "bakery")["account"]
    farm = answer("account", "open", "--unit", unit, "--as", "farm")["account"]
    data = ("--data", str(federation.directory))
    genesis = str(shutil.copy(federation.directory / "genesis.json", tmp_path / "elsewhere.json"))

    def verified(name: str) -> Any:
        done = icn("proof", "verify", name, "--genesis", genesis)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    paid = answer("pay", bakery, "1.50", "--as", "farm", "--from", farm)["transaction"]
    fetched = icn("proof", "fetch", f"transactions/{paid}", "--out", "receipt.json", *data)
    assert fetched.returncode == 0, fetched.stderr
    found = verified("receipt.json")
    said = found["statement"]
    assert (said["kind"], said["transaction_id"], said["status"]) == ("receipt", paid, "applied")
    assert {posting["account"]: posting["amount_minor"] for posting in said["postings"]} == {
        bakery: "150",
        farm: "-150",
    }
    held = json.loads((tmp_path / "receipt.json").read_text())
    (tmp_path / "forged.json").write_text(
        json.dumps(held | {"receipt": held["receipt"].replace(bakery, farm)})
    )
    forged = icn("proof", "verify", "forged.json", "--genesis", genesis)
    assert (forged.returncode, json.loads(forged.stdout)["reason"]) == (1, "RECEIPT_PROOF_INVALID")

    answer("pay", farm, "0.50", "--as", "bakery", "--from", bakery)
    entry = ("proof", "fetch", f"accounts/{bakery}/entries/1", "--out", "entry.json", *data)
    assert icn(*entry).returncode == 0
    said = verified("entry.json")["statement"]
    assert (said["kind"], said["number"], said["entries"]) == ("entry", "1", "2")
    assert (said["transaction"], said["amount_minor"]) == (paid, "150")
    assert said["balance_minor"] == "150"
    beyond = icn("proof", "fetch", f"accounts/{bakery}/entries/3", *data)
    assert (beyond.returncode, "has" in beyond.stderr) == (1, True)

    for name, is_absent in ((bakery, False), ("0" * 32, True)):
        assert (
            icn("proof", "fetch", f"accounts/{name}", "--neighbours", "--out", "leaf.json", *data).returncode
            == 0
        )
        assert verified("leaf.json")["statement"].get("is_absent", False) is is_absent
        assert icn("proof", "export", "leaf.json", "--format", "ics23", "--out", "other.json").returncode == 0
        checked = icn("ledger", "verify-proof", "--kind", "ics23", "--in", "other.json")
        assert json.loads(checked.stdout) == {"valid": True, "reason": ""}
    refused = icn("proof", "export", "receipt.json")
    assert (refused.returncode, "only proofs of leaves" in refused.stderr) == (1, True)

    made = icn("proof", "checkpoint", "receipt.json", "--genesis", genesis, "--out", "checkpoint.json")
    assert made.returncode == 0, made.stderr
    begin = ("--checkpoint", "checkpoint.json")
    assert (
        icn("proof", "fetch", f"accounts/{bakery}/entries/1", "--out", "first.json", *begin, *data).returncode
        == 0
    )
    done = icn("proof", "verify", "first.json", "--genesis", genesis, *begin)
    assert (done.returncode, json.loads(done.stdout)["trust"]) == (0, "checkpoint")
