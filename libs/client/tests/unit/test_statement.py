"""A statement that holds is complete and unchanged; whatever is missing from one, or changed, is found."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from shutil import which

import beancount.core.data
import beancount.loader
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icn.consensus.v1.block_pb2 import BlockHeader
from icn.ledger.v1 import transaction_pb2 as pb
from icn_client.light.statement import (
    StatementInvalid,
    entry_line,
    line,
    read_entry,
)
from icn_client.light.verify_statement import verify_statement
from icn_client.statement_texts import FORMS, convert
from icn_machine.entries import Entry

from libs.audit.tests.chain import Chain
from libs.client.tests.unit.told import ACCOUNT, FROM_MS, LAST_MS, SPANS, UNTIL_MS, Told, grown
from libs.machine.tests.workload import ACCOUNTS, UNIT, Workload
from libs.machine.tests.zone import EPOCH_MS, GENESIS_TIME_MS, TestKey, Zone, make_zone, update_controller


@pytest.fixture
async def told() -> Told:
    return await grown()


def reason(lines: Sequence[bytes], zone: Zone) -> str:
    with pytest.raises(StatementInvalid) as caught:
        verify_statement(lines, zone.genesis)
    return caught.value.reason


async def test_opening_and_entries_make_the_closing_of_any_span(told: Told) -> None:
    entries = told.entries(ACCOUNT)
    assert len(entries) > 12
    times = [GENESIS_TIME_MS, FROM_MS, UNTIL_MS, entries[3].block_time_ms, LAST_MS]
    for from_ms in times:
        for until_ms in times:
            if from_ms >= until_ms:
                continue
            found = verify_statement(told.lines(from_ms=from_ms, until_ms=until_ms), told.zone.genesis)
            inside = [one for one in entries if from_ms <= one.block_time_ms < until_ms]
            before = [one for one in entries if one.block_time_ms < from_ms]
            sums = found.sums
            assert sums.opening_minor == (before[-1].balance_minor if before else 0)
            assert sums.entries == len(inside)
            assert sums.opening_minor + sums.credited_minor - sums.debited_minor == sums.closing_minor
            assert sums.credited_minor - sums.debited_minor == sum(one.amount_minor for one in inside)
            assert found.complete_until_ms <= until_ms
    assert (found.unit["unit"], found.signer) == (UNIT.hex(), "")


async def test_a_span_that_is_not_over_is_complete_until_the_first_block_not_covered(told: Told) -> None:
    found = verify_statement(told.lines(until_ms=LAST_MS), told.zone.genesis)
    assert found.complete_until_ms == BlockHeader.FromString(told.chain.headers[-1]).time_ms
    assert verify_statement(told.lines(), told.zone.genesis).complete_until_ms == UNTIL_MS


async def test_an_account_without_entries_has_a_statement(told: Told) -> None:
    untouched = Told(told.zone)
    blocks = Workload(make_zone(), 3).blocks(2)
    untouched.zone = make_zone()
    untouched.chain = Chain(untouched.zone)
    for transactions in blocks:
        await untouched.chain.add(*transactions)
    await untouched.chain.add()
    found = verify_statement(untouched.lines(), untouched.zone.genesis)
    assert (found.sums.entries, found.sums.closing_minor) == (0, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda entries: entries[:-1],
        lambda entries: entries[1:],
        lambda entries: [*entries[:4], *entries[5:]],
        lambda entries: [one._replace(number=place) for place, one in enumerate(entries[1:], 1)],
        lambda entries: [*entries, entries[-1]._replace(number=len(entries) + 1)],
        lambda entries: [*entries[:3], entries[3]._replace(memo_hash=b"m" * 32), *entries[4:]],
        lambda entries: [*entries[:3], entries[3]._replace(block_time_ms=7), *entries[4:]],
        lambda entries: [*entries[:3], entries[3]._replace(counter_account=bytes(16)), *entries[4:]],
        lambda entries: [*entries[:3], entries[3]._replace(transaction_id=bytes(32)), *entries[4:]],
        lambda entries: [*entries[:3], entries[3]._replace(reference=b"r"), *entries[4:]],
        lambda entries: [*entries[:3], entries[3]._replace(amount_minor=1), *entries[4:]],
        lambda _entries: [],
    ],
)
async def test_whatever_is_missing_added_or_changed_is_found(
    told: Told, change: Callable[[list[Entry]], list[Entry]]
) -> None:
    found = reason(told.lines(entries=change(told.entries(ACCOUNT))), told.zone)
    assert found in {"ENTRIES_INCOMPLETE", "ENTRY_MISSING", "BALANCE_WRONG"}


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b'"amount_minor":"', b'"amount_minor":"9","amount_minor":"', 1),
        lambda data: data.replace(b":", b": ", 1),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.decode().encode("utf-16"),
        lambda data: data.replace(b'"reference":""', b'"reference":"00"'),
        lambda data: data.replace(b'"hold":""', b'"hold":"' + b"00" * 16 + b'"'),
        lambda data: re.sub(rb'"height":"\d+"', b'"height":"-5"', data),
        lambda data: re.sub(rb'"block_time_ms":"\d+"', b'"block_time_ms":"-1"', data),
        lambda data: re.sub(rb'"block_time_ms":"\d+"', b'"block_time_ms":"253402300800000"', data),
        lambda data: re.sub(rb'"number":"(\d+)"', rb'"number":\1', data),
        lambda data: re.sub(rb'"number":"(\d+)"', rb'"number":"0\1"', data),
        lambda data: re.sub(rb'"amount_minor":"(-?\d+)"', rb'"amount_minor":"\1.0"', data),
        lambda data: data.replace(b'"kind":"transfer"', b'"kind":"TRANSFER"'),
    ],
)
async def test_an_entry_has_one_form_only(told: Told, change: Callable[[bytes], bytes]) -> None:
    lines = told.lines()
    place = next(at for at, data in enumerate(lines) if b'"kind":"transfer"' in data)
    changed = change(lines[place])
    assert changed != lines[place]
    assert reason([*lines[:place], changed, *lines[place + 1 :]], told.zone) == "STATEMENT_MALFORMED"


OPENED = 12
"""Height of an opening that has entries before and behind it, both before the span."""


async def test_a_statement_that_begins_at_an_older_proof_says_the_same(told: Told) -> None:
    whole = verify_statement(told.lines(is_signed=True), told.zone.genesis)
    last = max(one.height for one in told.entries(ACCOUNT) if one.block_time_ms < FROM_MS)
    assert any(OPENED < one.height <= last for one in told.entries(ACCOUNT))
    for height in (OPENED, last - 1, last):
        lines = told.lines(is_signed=True, opened_height=height)
        found = verify_statement(lines, told.zone.genesis)
        assert found.digest == sha256(b"".join(lines)).digest()
        assert replace(found, digest=whole.digest) == whole
        assert len(lines) < len(told.lines(is_signed=True))
        for form in FORMS:
            assert list(convert(lines, form)) == list(convert(told.lines(), form))


async def test_an_opening_lies_before_the_span_to_the_millisecond(told: Told) -> None:
    time_ms = BlockHeader.FromString(told.chain.headers[OPENED - 1]).time_ms
    assert verify_statement(told.lines(from_ms=time_ms + 1, opened_height=OPENED), told.zone.genesis)
    assert reason(told.lines(from_ms=time_ms, opened_height=OPENED), told.zone) == "OPENING_LATE"


async def test_an_opening_that_is_newer_than_the_closing_is_refused(told: Told) -> None:
    """Though it may have the same entries, it would show a span that the closing does not reach."""
    early = told.lines(from_ms=LAST_MS - 1, until_ms=LAST_MS)
    newest = told.height
    for _ in range(3):
        await told.chain.add()
    opened = [*early[:2], told.opening(newest + 2), *early[-2:]]
    assert told.entries(ACCOUNT)[-1].height <= newest
    assert reason(opened, told.zone) == "OPENING_LATE"


async def test_whatever_is_changed_behind_an_opening_is_found(told: Told) -> None:
    zone, lines = told.zone, told.lines(opened_height=OPENED)
    opening, entries = json.loads(lines[2]), lines[3:-2]
    assert reason([*lines[:3], *lines[4:]], zone) == "ENTRY_MISSING"
    assert reason([*lines[:-3], *lines[-2:]], zone) == "ENTRIES_INCOMPLETE"
    assert reason([*lines[:2], *lines[3:]], zone) == "ENTRY_MISSING"
    assert reason([*lines[:2], told.opening(OPENED - 2), *lines[3:]], zone) == "ENTRY_MISSING"
    other = told.opening(OPENED, ACCOUNTS[1])
    assert reason([*lines[:2], other, *lines[3:]], zone) == "OTHER_ACCOUNT"
    for headers in ([], [told.chain.headers[OPENED].hex()], told.chain.headers[OPENED - 2 : OPENED]):
        shown = [one if isinstance(one, str) else one.hex() for one in headers]
        moved = line({**opening, "headers": shown})
        assert reason([*lines[:2], moved, *lines[3:]], zone) == "HEADER_CHAIN_INVALID"
    for place in (0, 1, 4, len(lines) - 1, len(lines)):  # twice, and where it does not belong
        found = reason([*lines[:place], lines[2], *lines[place:]], zone)
        assert found == "STATEMENT_MALFORMED"
    first = json.loads(entries[0])
    forged = line({**first, "block_time_ms": "0", "number": "1"})
    assert reason([*lines[:2], forged, *lines[2:]], zone) in {"BALANCE_WRONG", "STATEMENT_MALFORMED"}
    for name in ("opening_minor", "closing_minor"):
        end = json.loads(lines[-1])
        changed = line({**end, name: str(int(end[name]) - 1)})
        assert reason([*lines[:-1], changed], zone) == "SUMS_WRONG"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
async def test_a_flipped_bit_of_the_opening_is_found(told: Told, data: st.DataObject) -> None:
    lines = told.lines(opened_height=OPENED)
    place = data.draw(st.integers(0, len(lines[2]) - 2))
    flipped = bytes([lines[2][place] ^ 1 << data.draw(st.integers(0, 7))])
    changed = lines[2][:place] + flipped + lines[2][place + 1 :]
    assert reason([*lines[:2], changed, *lines[3:]], told.zone)


async def test_a_posting_of_a_kind_without_a_name_is_shown_by_its_number(told: Told) -> None:
    """A chain may go on with kinds that who reads its statement does not know."""
    entry = told.entries(ACCOUNT)[0]._replace(kind=77)
    data = entry_line(entry)
    assert b'"kind":"77"' in data
    assert read_entry(1, json.loads(data), data)._replace(memo_hash=entry.memo_hash) == entry
    by_number = entry_line(entry._replace(kind=1)).replace(b'"transfer"', b'"1"')
    assert read_entry(1, json.loads(by_number), by_number).kind == 1
    for wrong in (b'"077"', b'"0"', b'"-1"', b'"kind"', b'""', b'"99999999999"', b"77", '"٧"'.encode()):
        changed = data.replace(b'"77"', wrong)
        with pytest.raises(StatementInvalid):
            read_entry(1, json.loads(changed), changed)


async def test_a_key_with_a_scope_signs_no_statement(told: Told) -> None:
    """Its owner gave it for something else."""
    zone = told.zone
    shop = zone.organizations[1]
    till = TestKey("till")
    scope = pb.KeyScope(message_kinds=[6])
    await told.chain.add(
        zone.transaction(
            shop,
            update_controller(1, shop.keys[0], (till, scope)),
            time_ms=told.chain.ledger.state.newest.time_ms + 1_000,
        )
    )
    await told.chain.add()
    assert verify_statement(told.lines(is_signed=True), zone.genesis).signer
    shop.keys = [till]
    assert reason(told.lines(is_signed=True), zone) == "SIGNATURE_INVALID"


async def test_behind_the_end_of_an_epoch_a_statement_is_complete_until_there(told: Told) -> None:
    """The header behind the state may be of a block beside the chain, later than the one in it."""
    end_ms = GENESIS_TIME_MS + EPOCH_MS
    newest = told.chain.ledger.state.newest
    await told.chain.add(after_ms=end_ms - newest.time_ms + 2_500)
    found = verify_statement(told.lines(until_ms=LAST_MS), told.zone.genesis)
    assert found.complete_until_ms == end_ms


async def test_the_closing_of_another_account_is_refused(told: Told) -> None:
    lines, other = told.lines(), told.lines(account=ACCOUNTS[1])
    assert reason([*lines[:-2], other[-2], lines[-1]], told.zone) == "OTHER_ACCOUNT"
    assert reason(told.lines(), make_zone({"state_leaves": 7})) == "WRONG_ZONE"


async def test_sums_that_are_not_those_of_the_entries_are_refused(told: Told) -> None:
    lines = told.lines()
    end = json.loads(lines[-1])
    for name in ("opening_minor", "closing_minor", "debited_minor", "credited_minor", "entries"):
        changed = line({**end, name: str(int(end[name]) + 1)})
        assert reason([*lines[:-1], changed], told.zone) == "SUMS_WRONG"


async def test_who_made_it_may_sign_it_and_nobody_else_in_that_name(told: Told) -> None:
    lines = told.lines(is_signed=True)
    found = verify_statement(lines, told.zone.genesis)
    assert found.signer == told.zone.organizations[1].principal.hex()
    end = json.loads(lines[-1])
    made = bytes.fromhex(end["signature"]["signature"])
    forged = {**end["signature"], "signature": bytes([made[0] ^ 1, *made[1:]]).hex()}
    assert reason([*lines[:-1], line({**end, "signature": forged})], told.zone) == "SIGNATURE_INVALID"
    head = json.loads(lines[0])
    moved = [line({**head, "from_ms": head["from_ms"] - 1}), *lines[1:]]
    assert reason(moved, told.zone) == "SIGNATURE_INVALID"
    unsigned = line({**end, "signature": None})
    assert reason([*lines[:-1], unsigned], told.zone) == "STATEMENT_MALFORMED"


async def test_a_file_that_is_cut_off_mixed_up_or_no_statement_is_malformed(told: Told) -> None:
    lines = told.lines()
    for length in range(len(lines)):
        assert reason(lines[:length], told.zone) == "STATEMENT_MALFORMED"
    assert reason([*lines, lines[-1]], told.zone) == "STATEMENT_MALFORMED"
    assert reason([lines[0], *lines[2:]], told.zone) == "STATEMENT_MALFORMED"
    assert reason([lines[1], lines[0], *lines[2:]], told.zone) == "STATEMENT_MALFORMED"
    for broken in (
        b"",
        b"{}",
        b"[]\n",
        b"\xff\n",
        b'{"number":1}\n',
        b'{"number":"' + b"1" * 5_000 + b'"}\n',
    ):
        assert reason([*lines[:2], broken, *lines[3:]], told.zone) == "STATEMENT_MALFORMED"


@pytest.mark.parametrize("form", sorted(FORMS))
async def test_what_is_no_whole_statement_is_not_converted(told: Told, form: str) -> None:
    lines = told.lines()
    broken = [b'{"unit_proof":5}\n', b'{"unit_proof":{}}\n']
    for wrong in (*[lines[:length] for length in range(len(lines))], *[[lines[0], one] for one in broken]):
        with pytest.raises(StatementInvalid):
            list(convert(wrong, form))
    with pytest.raises(StatementInvalid):
        list(convert([lines[0], *lines[2:]], form))


async def test_csv_has_every_entry_of_the_span(told: Told) -> None:
    inside = [one for one in told.entries(ACCOUNT) if FROM_MS <= one.block_time_ms < UNTIL_MS]
    rows = list(csv.DictReader("".join(convert(told.lines(), "csv")).splitlines()))
    assert [(int(row["number"]), row["amount"]) for row in rows] == [
        (one.number, f"{one.amount_minor / 100:.2f}") for one in inside
    ]
    assert rows[0]["transaction"] == inside[0].transaction_id.hex()
    assert {row["currency"] for row in rows} == {"HOUR"}


def closing(told: Told, until_ms: int) -> Decimal:
    """What the account has at the end of the span, in whole hours."""
    return (
        Decimal([one for one in told.entries(ACCOUNT) if one.block_time_ms < until_ms][-1].balance_minor)
        / 100
    )


@pytest.mark.parametrize("span", SPANS)
async def test_beancount_reads_it_and_has_the_same_balance(told: Told, span: tuple[int, int]) -> None:
    text = "".join(convert(told.lines(ACCOUNT, *span), "beancount"))
    directives, errors, _options = beancount.loader.load_string(text)
    assert not errors
    postings = [
        (posting.account, posting.units.number)
        for one in directives
        if isinstance(one, beancount.core.data.Transaction)
        for posting in one.postings
    ]
    own = f"Assets:ICN:A{ACCOUNT.hex().upper()}"
    assert sum(number for account, number in postings if account == own) == closing(told, span[1])
    inside = [one for one in told.entries(ACCOUNT) if span[0] <= one.block_time_ms < span[1]]
    openings = [account for account, _number in postings if account == "Equity:ICN:Opening"]
    assert len(postings) == 2 * (len(inside) + len(openings))


def hledger(journal: Path, *arguments: str) -> str:
    """What it prints; it fails where an entry's balance is not the one that the entry asserts."""
    command = ("hledger", "--file", str(journal), *arguments)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.skipif(which("hledger") is None, reason="there is no hledger on this machine")
@pytest.mark.parametrize("span", SPANS)
async def test_hledger_reads_it_and_has_the_same_balance(
    told: Told, span: tuple[int, int], tmp_path: Path
) -> None:
    journal = tmp_path / "statement.journal"
    journal.write_text("".join(convert(told.lines(ACCOUNT, *span), "hledger")))
    hledger(journal, "check", "commodities")
    found = hledger(journal, "balance", "--output-format", "csv", f"assets:icn:{ACCOUNT.hex()}")
    rows = list(csv.DictReader(found.splitlines()))
    assert rows[-1] == {"account": "total", "balance": f"{closing(told, span[1])} HOUR"}
