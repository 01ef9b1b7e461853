"""A statement of an account, made on the running platform and checked with nothing but the genesis file."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pypdf import PdfReader


@pytest.mark.xdist_group("platform")
def test_a_bookkeeper_asks_for_past_balances_and_begins_where_the_last_span_ended(
    answer: Any, icn: Any, federation: Any, tmp_path: Path
) -> None:
    unit = answer("unit", "create", "EGG", "--floor", "-50", "--as", "bakery")["unit"]
    bakery = answer("account", "open", "--unit", unit, "--as", "bakery")["account"]
    farm = answer("account", "open", "--unit", unit, "--as", "farm")["account"]
    paid = [answer("pay", bakery, f"{n}", "--as", "farm", "--from", farm) for n in (1, 2, 3, 4)]
    data = ("--data", str(federation.directory))
    told = [json.loads(one) for one in icn("account", "entries", bakery, "--json", *data).stdout.splitlines()]
    times = [int(one["block_time_ms"]) for one in reversed(told)]

    def balance(*when: str) -> Any:
        found = icn("account", "balance", bakery, *when, "--json", *data)
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout)

    height = str(paid[1]["height"])
    for when in (("--at-height", height), ("--at", instant(times[1])), ("--at", instant(times[2] - 1))):
        found = balance(*when)
        assert (found["balance_minor"], found["entry"], found["is_final"]) == ("300", "2", True)
    assert balance("--at-height", str(int(height) - 1))["balance_minor"] == "100"
    assert (balance("--at", "2020-01-01")["balance_minor"], balance("--at", "2020-01-01")["entry"]) == (
        "0",
        None,
    )
    assert balance("--at", "2090-01-01")["is_final"] is False
    text = icn("account", "balance", bakery, "--at", "2090-01-01", *data)
    assert (text.stdout, "may change" in text.stderr) == ("10.00 EGG\n", True)
    assert icn("account", "balance", bakery, "--at-height", str(2**40), *data).returncode == 3
    for wrong in ((), ("--at", "2026-01-01", "--at-height", "5"), ("--at", "soon")):
        assert icn("account", "balance", bakery, *wrong, *data).returncode == 2

    made = icn("statement", "export", bakery, "--from", instant(times[2]), "--out", "second.jsonl", *data)
    assert made.returncode == 0, made.stderr
    lines = (tmp_path / "second.jsonl").read_bytes().splitlines()
    assert b'"opening_proof":' in lines[2]
    assert [json.loads(one)["number"] for one in lines if b'"number":' in one][-2:] == ["3", "4"]
    assert sum(b'"number":' in one for one in lines) < 4
    genesis = str(federation.directory / "genesis.json")
    checked = icn("statement", "verify", "second.jsonl", "--genesis", genesis)
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert (found["opening_minor"], found["closing_minor"], found["entries"]) == ("300", "1000", "2")


def instant(time_ms: int) -> str:
    """To the millisecond, as the option takes it."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds")


MEMO = "flour for March"


@pytest.mark.xdist_group("platform")
def test_a_bookkeeper_exports_a_statement_that_anybody_can_check(
    answer: Any, icn: Any, federation: Any, tmp_path: Path
) -> None:
    unit = answer("unit", "create", "LOAF", "--floor", "-50", "--as", "bakery")["unit"]
    bakery = answer("account", "open", "--unit", unit, "--as", "bakery")["account"]
    farm = answer("account", "open", "--unit", unit, "--as", "farm")["account"]
    housing = answer("account", "open", "--unit", unit, "--as", "housing")["account"]
    told = ("--memo", MEMO)
    paid = [
        answer("pay", bakery, f"{n}.50", "--as", "farm", "--from", farm, *(told if n == 2 else ()))
        for n in (1, 2, 3)
    ]
    assert [one.get("memo_is_kept") for one in paid] == [None, True, None]
    back = answer(
        "pay", farm, "3.50", "--as", "bakery", "--from", bakery, "--reference", paid[2]["transaction"]
    )
    data = ("--data", str(federation.directory))
    made = icn("statement", "export", bakery, "--out", "loaves.jsonl", "--as", "bakery", *data)
    assert made.returncode == 0, made.stderr
    again = icn("statement", "export", bakery, "--out", "loaves.jsonl", *data)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)

    genesis = shutil.copy(federation.directory / "genesis.json", tmp_path / "elsewhere.json")
    checked = icn("statement", "verify", "loaves.jsonl", "--genesis", str(genesis))
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert (found["valid"], found["account"], found["entries"]) == (True, bakery, "4")
    assert (found["opening_minor"], found["credited_minor"], found["debited_minor"]) == ("0", "750", "350")
    assert found["closing_minor"] == "400"
    assert found["signer"] == found["owner"]

    shown = icn("statement", "convert", "loaves.jsonl", "--to", "csv")
    rows = list(csv.DictReader(shown.stdout.splitlines()))
    assert [row["amount"] for row in rows] == ["1.50", "2.50", "3.50", "-3.50"]
    assert (rows[3]["reference"], rows[3]["transaction"]) == (paid[2]["transaction"], back["transaction"])
    assert [row["reverses"] for row in rows] == ["", "", "", "3"]
    listed = icn("account", "entries", bakery, "--json", *data).stdout.splitlines()
    assert [json.loads(one)["number"] for one in listed] == ["4", "3", "2", "1"]
    for form in ("beancount", "hledger"):
        assert icn("statement", "convert", "loaves.jsonl", "--to", form).stdout.count("3.50") >= 2
    assert icn("statement", "convert", "loaves.jsonl", "--to", "pdf").returncode == 2

    (tmp_path / "names.csv").write_text(f"account,name\n{farm},Höfe\n", "utf-8")
    told_of = ("statement", "memos", "loaves.jsonl", "--out", "memos.jsonl", *data)
    again = answer("pay", bakery, "0.01", "--as", "housing", "--from", housing, "--memo", "not the flour")
    sealed = tmp_path / "sealed.txt"
    sealed.write_text(base64.b64encode(b"no memo").decode())
    bring = ("memo", "keep", f"accounts/{bakery}", "--height", str(again["height"]), "sealed.txt", *data)
    refused = icn(*bring)
    assert (refused.returncode, "MEMO_MALFORMED" in refused.stderr) == (1, True)
    fetched = httpx.get(f"{federation.gateway_url}/v1/memos/{again['memo_hash']}")
    sealed.write_text(base64.b64encode(fetched.content).decode())
    assert icn(*bring).stdout.strip() == f"kept memos/{again['memo_hash']}"
    for party, opened in (("housing", 0), ("farm", 1), ("bakery", 1)):
        (tmp_path / "memos.jsonl").unlink(missing_ok=True)
        written = icn(*told_of, "--as", party)
        assert written.returncode == 0, written.stderr
        assert json.loads(written.stdout) == {"memos": 1, "kept": 1, "opened": opened, "broken": 0}
    with_memos = ("--memos", "memos.jsonl")
    for form in ("csv", "beancount", "hledger"):
        told_form = icn("statement", "convert", "loaves.jsonl", "--to", form, *with_memos)
        assert told_form.stdout.count(MEMO) == 1
        (tmp_path / f"told.{form}").write_text(told_form.stdout)
        against = ("--form", form, "--against", "loaves.jsonl")
        assert icn("statement", "check-text", f"told.{form}", *against, *with_memos).returncode == 0
    to_pdf = ("statement", "convert", "loaves.jsonl", "--to", "pdf", "--genesis", str(genesis))
    printed = icn(*to_pdf, "--names", "names.csv", "--out", "loaves.pdf")
    assert printed.returncode == 0, printed.stderr
    text = "".join(page.extract_text() for page in PdfReader(tmp_path / "loaves.pdf").pages)
    assert all(said in text for said in (bakery, farm, "Höfe", found["signer"], "7.50", "4.00"))
    assert hashlib.sha256((tmp_path / "loaves.jsonl").read_bytes()).hexdigest() in text

    (tmp_path / "loaves.csv").write_text(shown.stdout.replace(",2.50,", ",2.05,"))
    compared = icn("statement", "check-text", "loaves.csv", "--against", "loaves.jsonl")
    assert compared.returncode == 1
    assert json.loads(compared.stdout) == {
        **{"equal": False, "form": "csv", "entries": "1"},
        **{"account": "", "entry": "2", "field": "amount", "found": "2.05", "expected": "2.50"},
    }

    lines = (tmp_path / "loaves.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "short.jsonl").write_bytes(b"".join(lines[:3] + lines[4:]))
    refused = icn("statement", "verify", "short.jsonl", "--genesis", str(genesis))
    assert (refused.returncode, json.loads(refused.stdout)["reason"]) == (1, "ENTRY_MISSING")
    unknown = icn("statement", "export", "0" * 32, "--out", "none.jsonl", *data)
    assert unknown.returncode == 1
    assert not (tmp_path / "none.jsonl").exists()
    backwards = icn(
        "statement", "export", bakery, "--from", "2026-02-01", "--until", "2026-01-01", "--out", "x", *data
    )
    assert backwards.returncode == 2


@pytest.mark.xdist_group("platform")
def test_a_bookkeeper_exports_an_account_with_all_its_sub_accounts(
    answer: Any, icn: Any, federation: Any, tmp_path: Path
) -> None:
    unit = answer("unit", "create", "RYE", "--floor", "-50", "--as", "bakery")["unit"]
    farm = answer("account", "open", "--unit", unit, "--as", "farm")["account"]

    def opened(*under: str) -> str:
        found: str = answer("account", "open", "--unit", unit, "--as", "bakery", *under)["account"]
        return found

    main = opened()
    subs = [opened("--parent", main) for _ in range(3)]
    for source, to, amount in (
        (main, subs[0], "9"),
        (main, subs[2], "4"),
        (subs[0], subs[2], "3"),
        (subs[0], farm, "1.25"),
    ):
        paid = answer("pay", to, amount, "--as", "bakery", "--from", source)
    answer("pay", main, "2", "--as", "farm", "--from", farm)
    data = ("--data", str(federation.directory))
    listed = icn("account", "list", "--parent", main, "--json", *data).stdout.splitlines()
    assert [json.loads(one)["account"] for one in listed] == subs
    assert icn("account", "list", "--parent", main, "--owner", main, *data).returncode == 2

    whole = icn("statement", "export", main, "--sub-accounts", "--out", "all.jsonl", "--as", "bakery", *data)
    assert whole.returncode == 0, whole.stderr
    genesis = str(federation.directory / "genesis.json")
    checked = icn("statement", "verify", "all.jsonl", "--genesis", genesis)
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert [one["account"] for one in found["accounts"]] == [main, *subs]
    assert [one["closing_minor"] for one in found["accounts"]] == ["-1100", "475", "0", "700"]
    assert (found["closing_minor"], found["between_minor"], found["entries"]) == ("75", "1600", "8")
    assert (found["sub_accounts"], found["signer"]) == ("3", found["owner"])
    sums = icn("statement", "convert", "all.jsonl", "--to", "sums").stdout.splitlines()
    assert sums[-1] == "total,0.00,17.25,18.00,0.75,8,RYE"

    told = [
        json.loads(one) for one in icn("account", "entries", subs[0], "--json", *data).stdout.splitlines()
    ]
    (last,) = [one for one in told if one["transaction"] == paid["transaction"]]
    since = ("--from", instant(int(last["block_time_ms"])))
    made = icn("statement", "export", main, "--sub-accounts", *since, "--out", "since.jsonl", *data)
    assert made.returncode == 0, made.stderr
    lines = (tmp_path / "since.jsonl").read_bytes().splitlines(keepends=True)
    assert sum(b'"opening_leaf":' in one for one in lines) == 2
    checked = icn("statement", "verify", "since.jsonl", "--genesis", genesis)
    assert checked.returncode == 0, checked.stderr
    found = json.loads(checked.stdout)
    assert [one["opening_minor"] for one in found["accounts"]] == ["-1300", "600", "0", "700"]
    assert (found["opening_minor"], found["closing_minor"], found["entries"]) == ("0", "75", "2")

    url = f"{federation.gateway_url}/v1/accounts/{main}"
    streamed = [json.loads(one) for one in httpx.get(f"{url}/statement").text.splitlines()]
    assert (streamed[0]["opening"]["balance_minor"], streamed[-1]["closing"]["entries"]) == ("0", 3)
    assert [one["number"] for one in streamed[1:-1]] == [1, 2, 3]
    found = httpx.get(f"{url}/sub-accounts").json()["accounts"]
    assert [one["leaf"]["account"] for one in found] == subs
    first_height = str(streamed[1]["height"])
    watched = icn("account", "watch", main, "--from-height", first_height, "--count", "1", "--json", *data)
    assert watched.returncode == 0, watched.stderr
    found = json.loads(watched.stdout)
    assert [one["number"] for one in found["entries"]] == ["1", "2", "3"]
    assert (found["balance_minor"], found["has_skipped"]) == ("-1100", False)
    shown = icn("account", "watch", main, "--from-height", first_height, "--count", "1", *data)
    assert "-9.00 RYE to " + subs[0] in shown.stdout and "balance -11.00 RYE" in shown.stdout
    assert icn("account", "watch", "0" * 32, "--count", "1", *data).returncode == 1

    following = ("account", "watch", farm, "--count", "2", "--json", *data)
    with ThreadPoolExecutor(1) as beside:
        watching = beside.submit(icn, *following)
        for _ in range(30):  # the command takes a while to begin
            answer("pay", farm, "0.01", "--as", "bakery", "--from", subs[0])
            if watching.done():
                break
    seen = [json.loads(one) for one in watching.result().stdout.splitlines()]
    assert (len(seen), seen[0]["entries"], len(seen[1]["entries"]) > 0) == (2, [], True)
    moved = int(seen[1]["balance_minor"]) - int(seen[0]["balance_minor"])
    assert moved == sum(int(one["amount_minor"]) for one in seen[1]["entries"])

    named = json.loads(lines[2])["sub_accounts"]
    lines[2] = json.dumps({"sub_accounts": named[1:]}, separators=(",", ":")).encode() + b"\n"
    (tmp_path / "short.jsonl").write_bytes(b"".join(lines))
    refused = icn("statement", "verify", "short.jsonl", "--genesis", genesis)
    assert (refused.returncode, json.loads(refused.stdout)["reason"]) == (1, "SUB_ACCOUNTS_INCOMPLETE")
