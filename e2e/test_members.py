"""What a co-op and its members do with the command: keys, admission, accounts, payments, proofs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def member(icn: Any, answer: Any, tmp_path: Path, name: str, unit: str) -> str:
    """Make keys, have the bakery admit them, open an account; returns the account's id."""
    assert icn("keys", "new", name).returncode == 0
    public = tmp_path / f"{name}.public.json"
    public.write_text(icn("keys", "export", name).stdout)
    answer("account", "admit", str(public), "--as", "bakery")
    opened = answer("account", "open", "--unit", unit, "--as", name)
    return str(opened["account"])


def test_members_trade_and_prove_what_they_have(
    icn: Any, answer: Any, federation: Any, tmp_path: Path
) -> None:
    unit = answer("unit", "create", "LOAVES", "--scale", "2", "--floor", "-50", "--as", "bakery")["unit"]
    anna = member(icn, answer, tmp_path, "anna", unit)
    bruno = member(icn, answer, tmp_path, "bruno", unit)

    paid = answer("pay", anna, "12.50", "--as", "bruno", "--memo", "bread")
    assert (paid["amount_minor"], paid["balance_minor"]) == ("1250", "-1250")
    assert paid["memo_is_kept"] and "memo_sealed" not in paid
    shown = answer("account", "show", bruno)
    assert (shown["balance_minor"], shown["floor_minor"], shown["code"]) == ("-1250", "-5000", "LOAVES")

    data = ("--data", str(federation.directory))
    refused = icn("pay", anna, "37.51", "--as", "bruno", *data)
    assert refused.returncode == 1
    assert "CREDIT_LIMIT_EXCEEDED" in refused.stderr
    assert "balance_minor -1250" in refused.stderr and "floor_minor -5000" in refused.stderr
    assert icn("pay", anna, "37.50", "--as", "bruno", *data).returncode == 0, (
        "the floor itself may be reached"
    )

    entries = icn("account", "entries", bruno, "--json", *data)
    newest, oldest = (json.loads(line) for line in entries.stdout.splitlines())
    assert (newest["amount_minor"], newest["balance_minor"]) == ("-3750", "-5000")
    assert oldest["memo_hash"] == paid["memo_hash"] and not newest["memo_hash"]

    for name, memos in (("anna", [None, "bread"]), ("bruno", [None, "bread"]), ("bakery", [None, None])):
        shown = icn("account", "entries", bruno, "--json", "--as", name, *data)
        assert [json.loads(line)["memo"] for line in shown.stdout.splitlines()] == memos
    table = icn("account", "entries", anna, "--as", "anna", *data).stdout
    assert "memo" in table.splitlines()[0] and "bread" in table

    proof = tmp_path / "balance.json"
    assert icn("proof", "fetch", f"accounts/{bruno}", "--out", str(proof), *data).returncode == 0
    genesis = str(federation.directory / "genesis.json")
    verified = icn("proof", "verify", str(proof), "--genesis", genesis)
    assert verified.returncode == 0, verified.stderr
    found = json.loads(verified.stdout)
    assert found["statement"]["account"] == bruno
    assert found["statement"]["balance_minor"] in ("-5000", "-1250"), (
        "of the newest state a final header names"
    )
    assert (found["trust"], found["profile"]) == ("genesis", "hosted")


def test_absence_can_be_proven(icn: Any, federation: Any, tmp_path: Path) -> None:
    proof = tmp_path / "nobody.json"
    data = ("--data", str(federation.directory))
    assert icn("proof", "fetch", f"accounts/{'0' * 32}", "--out", str(proof), *data).returncode == 0
    verified = icn("proof", "verify", str(proof), "--genesis", str(federation.directory / "genesis.json"))
    assert json.loads(verified.stdout)["statement"] == {"kind": "account", "id": "0" * 32, "is_absent": True}


def test_refusals_name_their_reason(icn: Any, federation: Any) -> None:
    data = ("--data", str(federation.directory))
    unknown = icn("account", "show", "0" * 32, *data)
    assert (unknown.returncode, "ACCOUNT_UNKNOWN" in unknown.stderr) == (1, True)
    nobody = icn("pay", "0" * 32, "1", "--as", "nobody", *data)
    assert (nobody.returncode, "no identity 'nobody'" in nobody.stderr) == (1, True)


def test_somebody_whom_no_co_op_admitted_cannot_open_an_account(icn: Any, federation: Any) -> None:
    assert icn("keys", "new", "stranger").returncode == 0
    run = icn("account", "open", "--unit", "0" * 32, "--as", "stranger", "--data", str(federation.directory))
    assert run.returncode == 1
    assert "CONTROLLER_UNKNOWN" in run.stderr


def test_status_shows_that_all_agree(icn: Any, answer: Any, federation: Any) -> None:
    found = answer("status")
    assert (found["has_quorum"], found["has_fork"], found["profile"]) == (True, False, "hosted")
    assert [validator["state"] for validator in found["validators"]] == ["ok"] * 4
    text = icn("status", "--data", str(federation.directory)).stdout
    assert "4 of 4 answer" in text
