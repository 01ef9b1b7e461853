"""A statement of an account and all its sub-accounts: none is left out, none is too many, and all add up."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from shutil import which

import beancount.core.data
import beancount.loader
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icn_client.cli.account_statements import convert as convert_command
from icn_client.cli.account_statements import verify
from icn_client.light.statement import SUB_ACCOUNTS_MAX, StatementInvalid, Sums, line
from icn_client.light.verify_statement import verify_statement
from icn_client.statement_check import find_difference
from icn_client.statement_pdf import write_pdf
from icn_client.statement_texts import FORMS, SUMS, convert
from pypdf import PdfReader

from libs.client.tests.unit.told import BEN, FAMILY, LAST_MS, MAIN, OLD, TOOLS, TRAVEL, Told, family
from libs.machine.tests.zone import GENESIS_TIME_MS, identifier

ALL = (MAIN, *FAMILY)
FROM_MS, UNTIL_MS = GENESIS_TIME_MS + 5_000, GENESIS_TIME_MS + 17_000
SPANS = ((0, LAST_MS), (FROM_MS, UNTIL_MS), (0, FROM_MS), (UNTIL_MS, LAST_MS))
OPENED = 4
"""Height of an opening: TRAVEL and OLD have entries, TOOLS is not there."""


@pytest.fixture(scope="module")
def told() -> Told:
    return asyncio.run(family())


def lines_of(
    told: Told, from_ms: int = FROM_MS, until_ms: int = UNTIL_MS, opened_height: int = OPENED
) -> list[bytes]:
    return told.lines(MAIN, from_ms, until_ms, opened_height=opened_height, sub_accounts=FAMILY)


def reason(lines: Sequence[bytes], told: Told) -> str:
    with pytest.raises(StatementInvalid) as caught:
        verify_statement(lines, told.zone.genesis)
    return caught.value.reason


def places(lines: Sequence[bytes], member: str) -> list[int]:
    """Where the lines with a member are."""
    return [place for place, data in enumerate(lines) if member in json.loads(data)]


@pytest.mark.parametrize(("from_ms", "until_ms"), SPANS)
@pytest.mark.parametrize("opened_height", [0, OPENED])
def test_opening_and_entries_make_the_closing_of_each_account_and_of_all(
    told: Told, from_ms: int, until_ms: int, opened_height: int
) -> None:
    if opened_height and from_ms < FROM_MS:
        opened_height = 0
    found = verify_statement(lines_of(told, from_ms, until_ms, opened_height), told.zone.genesis)
    assert [one.account for one in found.accounts] == list(ALL)
    assert (found.sub_accounts, found.is_family, found.complete_until_ms <= until_ms) == (3, True, True)
    for account, sums in found.accounts:
        entries = told.entries(account)
        inside = [one for one in entries if from_ms <= one.block_time_ms < until_ms]
        before = [one for one in entries if one.block_time_ms < from_ms]
        assert sums.opening_minor == (before[-1].balance_minor if before else 0)
        assert sums.opening_minor + sums.credited_minor - sums.debited_minor == sums.closing_minor
        assert (sums.entries, sums.closing_minor) == (
            len(inside),
            inside[-1].balance_minor if inside else sums.opening_minor,
        )
    for name in ("opening_minor", "closing_minor", "debited_minor", "credited_minor", "entries"):
        assert getattr(found.sums, name) == sum(getattr(sums, name) for _, sums in found.accounts)
    between = [
        one
        for account in ALL
        for one in told.entries(account)
        if one.counter_account in ALL and from_ms <= one.block_time_ms < until_ms
    ]
    assert sum(one.amount_minor for one in between) == 0
    assert found.between_minor == sum(max(one.amount_minor, 0) for one in between)
    with_others = told.entries(BEN)
    moved = sum(one.amount_minor for one in with_others if from_ms <= one.block_time_ms < until_ms)
    assert found.sums.closing_minor - found.sums.opening_minor == -moved


def test_an_account_without_sub_accounts_has_a_statement_with_all_of_them(told: Told) -> None:
    for account in (BEN, TRAVEL):
        found = verify_statement(told.lines(account, sub_accounts=()), told.zone.genesis)
        assert (found.sub_accounts, found.is_family, len(found.accounts)) == (0, True, 1)


def test_a_statement_of_one_account_says_how_many_sub_accounts_it_leaves_out(told: Told) -> None:
    found = verify_statement(told.lines(MAIN), told.zone.genesis)
    assert (found.sub_accounts, found.is_family, found.between_minor) == (3, False, 0)


def test_who_made_it_may_sign_it_with_all_sub_accounts(told: Told) -> None:
    lines = told.lines(MAIN, sub_accounts=FAMILY, is_signed=True)
    assert verify_statement(lines, told.zone.genesis).signer
    (signer,) = places(lines, "signer_proof")
    early = [*lines[: signer - 1], lines[signer], lines[signer - 1], lines[-1]]
    assert reason(early, told) == "STATEMENT_MALFORMED"


def test_a_sub_account_left_out_too_many_or_in_another_place_is_found(told: Told) -> None:
    stranger = identifier("beside")
    wrong = [
        *[others for count in range(3) for others in permutations(FAMILY, count)],
        *[others for others in permutations(FAMILY) if others != FAMILY],
        (*FAMILY, stranger),
        (*FAMILY, BEN),
        (*FAMILY, TRAVEL),
        (stranger, OLD, TOOLS),
        (MAIN, *FAMILY),
    ]
    for named in wrong:
        lines = told.lines(MAIN, sub_accounts=FAMILY)
        lines[2] = line({"sub_accounts": [one.hex() for one in named]})
        assert reason(lines, told) == "SUB_ACCOUNTS_INCOMPLETE", named
    assert reason(told.lines(MAIN, sub_accounts=()), told) == "SUB_ACCOUNTS_INCOMPLETE"


def test_a_sub_account_that_is_named_must_be_shown_and_no_other(told: Told) -> None:
    lines = lines_of(told)
    closings = places(lines, "closing_leaf")
    starts = [*places(lines, "closing_proof"), *closings]
    for start, end in zip(starts, closings, strict=False):
        without = [*lines[: start + 1], *lines[end + 1 :]]
        assert reason(without, told) in {"STATEMENT_MALFORMED", "LEAF_MISMATCH", "ENTRY_MISSING"}
        twice = [*lines[: end + 1], *lines[start + 1 : end + 1], *lines[end + 1 :]]
        assert reason(twice, told) in {"STATEMENT_MALFORMED", "LEAF_MISMATCH", "ENTRY_MISSING"}
    beside = [*lines[:-1], told.leaf("closing_leaf", BEN), lines[-1]]
    assert reason(beside, told) == "STATEMENT_MALFORMED"


def test_the_leaf_of_another_account_or_state_is_refused(told: Told) -> None:
    lines = lines_of(told)
    closing = places(lines, "closing_leaf")[0]
    opening = places(lines, "opening_leaf")[0]
    for place, wrong, expected in (
        (closing, told.leaf("closing_leaf", TOOLS), "LEAF_MISMATCH"),
        (closing, told.leaf("closing_leaf", TRAVEL, 10), "STATE_PROOF_INVALID"),
        (opening, told.leaf("opening_leaf", OLD, OPENED), "LEAF_MISMATCH"),
        (opening, told.leaf("opening_leaf", TRAVEL), "STATE_PROOF_INVALID"),
        (opening, told.leaf("opening_leaf", TRAVEL, OPENED + 1), "STATE_PROOF_INVALID"),
    ):
        assert reason([*lines[:place], wrong, *lines[place + 1 :]], told) == expected


def test_an_account_with_another_parent_is_refused_by_name(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who forged the chain of sub-accounts would still be told which account does not belong."""
    lines = told.lines(MAIN, sub_accounts=(BEN, *FAMILY))
    monkeypatch.setattr("icn_client.light.verify_statement._Reading._check_sub_accounts", lambda *_: None)
    assert reason(lines, told) == "PARENT_WRONG"
    assert reason(told.lines(TRAVEL, sub_accounts=(OLD,)), told) == "PARENT_WRONG"


def test_whatever_is_changed_of_a_sub_account_is_found(told: Told) -> None:
    lines = lines_of(told)
    first = places(lines, "closing_proof")[0]
    for place in [one for one in places(lines, "number") if one > first]:
        without = [*lines[:place], *lines[place + 1 :]]
        assert reason(without, told) in {"ENTRY_MISSING", "ENTRIES_INCOMPLETE", "BALANCE_WRONG"}
        said = json.loads(lines[place])
        for name, value in (("memo_hash", "ab" * 32), ("height", "3"), ("counter_account", "00" * 16)):
            changed = [*lines[:place], line({**said, name: value}), *lines[place + 1 :]]
            assert reason(changed, told) == "ENTRIES_INCOMPLETE"
    for place in places(lines, "opening_leaf"):
        assert reason([*lines[:place], *lines[place + 1 :]], told) in {"ENTRY_MISSING", "ENTRIES_INCOMPLETE"}
    end = json.loads(lines[-1])
    for name in ("opening_minor", "closing_minor", "debited_minor", "credited_minor", "entries"):
        changed = [*lines[:-1], line({**end, name: str(int(end[name]) + 1)})]
        assert reason(changed, told) == "SUMS_WRONG"


def test_lines_of_sub_accounts_have_their_place_and_form(told: Told) -> None:
    lines = lines_of(told)
    for member in ("sub_accounts", "opening_leaf", "closing_leaf"):
        (moved, *_) = places(lines, member)
        left = [*lines[:moved], *lines[moved + 1 :]]
        for place in {0, 1, 2, places(lines, "closing_proof")[0], len(lines) - 1, len(lines) - 2}:
            changed = [*left[:place], lines[moved], *left[place:]]
            if changed != lines:
                assert reason(changed, told) != "", member
    for named in (5, "ab", [5], ["ab"], [MAIN.hex().upper()], [MAIN.hex()] * (SUB_ACCOUNTS_MAX + 1)):
        changed = [*lines[:2], line({"sub_accounts": named}), *lines[3:]]
        assert reason(changed, told) == "STATEMENT_MALFORMED"
    assert reason([*lines[:3], lines[2], *lines[3:]], told) == "STATEMENT_MALFORMED"
    (opening, *_), (closing, *_) = places(lines, "opening_leaf"), places(lines, "closing_leaf")
    leaf = json.loads(lines[closing])["closing_leaf"]
    for wrong in (
        5,
        {},
        {**leaf, "x": 1},
        {**leaf, "value": ""},
        {**leaf, "value": 5},
        {**leaf, "state_proof": 5},
    ):
        changed = [*lines[:closing], line({"closing_leaf": wrong}), *lines[closing + 1 :]]
        assert reason(changed, told) in {"STATEMENT_MALFORMED", "PROOF_MALFORMED"}
    main_opening = places(lines, "opening_proof")[0]
    assert reason([*lines[:opening], lines[main_opening], *lines[opening:]], told) == "STATEMENT_MALFORMED"
    early = [*lines[: main_opening + 1], lines[opening], *lines[main_opening + 1 :]]
    assert reason(early, told) == "STATEMENT_MALFORMED"
    whole = told.lines(MAIN, FROM_MS, UNTIL_MS, sub_accounts=FAMILY)
    behind = places(whole, "closing_proof")[0] + 1
    assert reason([*whole[:behind], lines[opening], *whole[behind:]], told) == "STATEMENT_MALFORMED"


def test_a_file_that_is_cut_off_is_no_statement(told: Told) -> None:
    lines = lines_of(told)
    for length in range(len(lines)):
        assert reason(lines[:length], told) == "STATEMENT_MALFORMED"
        for form in (*FORMS, SUMS):
            with pytest.raises(StatementInvalid):
                list(convert(lines[:length], form))


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_flipped_bit_anywhere_behind_the_proof_of_the_unit_is_found(
    told: Told, data: st.DataObject
) -> None:
    lines = lines_of(told)
    number = data.draw(st.integers(2, len(lines) - 1))
    place = data.draw(st.integers(0, len(lines[number]) - 2))
    flipped = bytes([lines[number][place] ^ 1 << data.draw(st.integers(0, 7))])
    changed = lines[number][:place] + flipped + lines[number][place + 1 :]
    assert reason([*lines[:number], changed, *lines[number + 1 :]], told)


def row_of(told: Told, account: bytes) -> list[str]:
    return [
        f"{one.amount_minor / 100:.2f}"
        for one in told.entries(account)
        if FROM_MS <= one.block_time_ms < UNTIL_MS
    ]


def test_csv_says_whose_entry_each_is(told: Told) -> None:
    rows = list(csv.DictReader(io.StringIO("".join(convert(lines_of(told), "csv")))))
    for account in ALL:
        assert [row["amount"] for row in rows if row["account"] == account.hex()] == row_of(told, account)
    assert len(rows) == sum(len(row_of(told, account)) for account in ALL)


@pytest.mark.parametrize(("from_ms", "until_ms"), SPANS)
def test_the_sums_are_those_of_the_verdict(told: Told, from_ms: int, until_ms: int) -> None:
    lines = lines_of(told, from_ms, until_ms, OPENED if from_ms >= FROM_MS else 0)
    found = verify_statement(lines, told.zone.genesis)
    rows = list(csv.reader(io.StringIO("".join(convert(lines, SUMS)))))

    def row(name: str, sums: Sums) -> list[str]:
        names = ("opening_minor", "debited_minor", "credited_minor", "closing_minor")
        amounts = [f"{getattr(sums, name) / 100:.2f}" for name in names]
        return [name, *amounts, str(sums.entries), "HOUR"]

    assert rows[1:-1] == [row(one.account.hex(), one.sums) for one in found.accounts]
    assert rows[-1] == row("total", found.sums)


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_text_comes_back_and_the_account_of_a_difference_is_named(told: Told, form: str) -> None:
    lines = lines_of(told)
    pieces = list(convert(lines, form))
    count = sum(len(row_of(told, account)) for account in ALL)
    text = "".join(pieces)
    assert find_difference(lines, io.StringIO(text, newline=""), form) == (count, None)
    last = told.entries(TOOLS)
    number = max(one.number for one in last if one.block_time_ms < UNTIL_MS)
    _, found = find_difference(lines, io.StringIO("".join(pieces[:-1]), newline=""), form)
    assert found is not None and (found.account, found.entry) == (TOOLS.hex(), str(number))
    if form == "csv":
        moved = text.replace(TRAVEL.hex() + ",", BEN.hex() + ",", 1)
        _, found = find_difference(lines, io.StringIO(moved, newline=""), form)
        assert found is not None and (found.account, found.field) == (TRAVEL.hex(), "account")


@pytest.mark.parametrize(("from_ms", "until_ms"), SPANS)
def test_beancount_has_the_balance_of_each_and_nothing_left_between_them(
    told: Told, from_ms: int, until_ms: int
) -> None:
    lines = lines_of(told, from_ms, until_ms, 0)
    found = verify_statement(lines, told.zone.genesis)
    directives, errors, _options = beancount.loader.load_string("".join(convert(lines, "beancount")))
    assert not errors
    balances: dict[str, int] = {}
    for one in directives:
        if isinstance(one, beancount.core.data.Transaction):
            for posting in one.postings:
                balances[posting.account] = balances.get(posting.account, 0) + int(posting.units.number * 100)
    for account, sums in found.accounts:
        assert balances.get(f"Assets:ICN:A{account.hex().upper()}", 0) == sums.closing_minor
    between = {name: minor for name, minor in balances.items() if name.startswith("Equity:ICN:Between:")}
    assert sum(between.values()) == 0
    assert bool(between) == bool(found.between_minor)


@pytest.mark.skipif(which("hledger") is None, reason="there is no hledger on this machine")
def test_hledger_reads_it_and_has_the_same_total(told: Told, tmp_path: Path) -> None:
    lines = lines_of(told)
    journal = tmp_path / "statement.journal"
    journal.write_text("".join(convert(lines, "hledger")))
    command = ("hledger", "--file", str(journal), "balance", "--output-format", "csv", "assets:icn")
    told_by = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    total = verify_statement(lines, told.zone.genesis).sums.closing_minor
    assert list(csv.DictReader(told_by.splitlines()))[-1]["balance"] == f"{total / 100:.2f} HOUR"


def test_pages_show_each_account_and_all_of_them_together(told: Told) -> None:
    lines = lines_of(told)
    found = verify_statement(lines, told.zone.genesis)
    written = io.BytesIO()
    write_pdf(lines, found, {TRAVEL: "Journeys"}, written)
    pages = [page.extract_text(extraction_mode="layout") for page in PdfReader(written, strict=True).pages]
    assert len(pages) == len(ALL) + 1
    for page, (account, sums) in zip(pages, found.accounts, strict=False):
        assert account.hex() in page.splitlines()[0]
        assert last(page, "Closing balance") == amounts(
            sums.debited_minor, sums.credited_minor, sums.closing_minor
        )
        assert last(page, "Opening balance") == amounts(sums.opening_minor)
        assert last(pages[-1], account.hex()) == amounts(
            sums.opening_minor, sums.debited_minor, sums.credited_minor, sums.closing_minor
        )
    sums = found.sums
    assert last(pages[-1], "All accounts") == amounts(
        sums.opening_minor, sums.debited_minor, sums.credited_minor, sums.closing_minor
    )
    assert last(pages[-1], "moved between them") == amounts(found.between_minor, found.between_minor)
    assert ("Journeys" in pages[1], "Journeys" in pages[-1], "3 sub-accounts" in pages[-1]) == (True,) * 3
    assert "between these accounts" in pages[0]
    assert found.digest.hex() in pages[-1]


def test_a_table_of_many_accounts_goes_on_over_pages(told: Told) -> None:
    lines = lines_of(told)
    found = verify_statement(lines, told.zone.genesis)
    for times in range(9, 40):
        written = io.BytesIO()
        many = replace(found, accounts=found.accounts * times)
        write_pdf(lines, many, {TRAVEL: "Journeys"} if times % 2 else {}, written)
        pages = [page.extract_text() for page in PdfReader(written, strict=True).pages][len(ALL) :]
        assert sum(page.count(OLD.hex()) for page in pages) == times
        assert all("Sums of account" in page for page in pages)
        text = "".join(pages)
        assert (text.count("All accounts"), text.count("SHA-256")) == (1, 1)


def last(page: str, name: str) -> list[str]:
    """The figures of the last line with a name."""
    return [one for one in page.splitlines() if name in one][-1].split(name)[1].split()


def amounts(*minor: int) -> list[str]:
    return [f"{one / 100:.2f}" for one in minor]


def test_the_command_says_what_each_has_and_what_is_left_out(
    told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genesis, file = tmp_path / "genesis.json", tmp_path / "told.jsonl"
    genesis.write_text(json.dumps(told.zone.document))
    file.write_bytes(b"".join(lines_of(told)))
    verify(file, genesis)
    said = json.loads(capsys.readouterr().out)
    assert [one["account"] for one in said["accounts"]] == [one.hex() for one in ALL]
    assert sum(int(one["closing_minor"]) for one in said["accounts"]) == int(said["closing_minor"])
    assert (said["sub_accounts"], int(said["between_minor"]) > 0) == ("3", True)
    file.write_bytes(b"".join(told.lines(MAIN)))
    verify(file, genesis)
    shown = capsys.readouterr()
    assert (len(json.loads(shown.out)["accounts"]), "3 sub-accounts are not in this file" in shown.err) == (
        1,
        True,
    )
    convert_command(file, SUMS)
    assert capsys.readouterr().out.splitlines()[-1].startswith("total,")
