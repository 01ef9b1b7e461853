"""The digest of every closed period is recomputed, of balances that are long gone when the closing comes."""

from __future__ import annotations

from io import BytesIO

import pytest
from icn.ledger.v1 import transaction_pb2 as pb
from icn_audit import periods
from icn_audit.periods import Note, PeriodCheck, PeriodFindings, WrongDigest, note_ends
from icn_audit.verify import verify_archive
from icn_machine.events import PeriodClosed

from libs.audit.tests.books import ANA, BEN, IDLE, STEP_MS, UNIT, Books
from libs.machine.tests.credit_messages import close_period
from libs.machine.tests.institutions import FEDERATION
from libs.machine.tests.zone import EPOCH_MS, GENESIS_TIME_MS, Zone, identifier, open_account, transfer

OTHER = bytes([7]) * 32


@pytest.fixture
async def books(zone: Zone) -> Books:
    return await Books(zone).begin()


async def test_the_books_at_the_end_count_whatever_moved_between_it_and_the_closing(books: Books) -> None:
    await books.pay(5)
    end_ms = books.time_ms + 1
    await books.pay(30)
    await books.close(end_ms, books.digest({ANA: -5, BEN: 5}))
    assert await books.findings() == PeriodFindings(closed=1)


async def test_a_wrong_digest_is_a_finding_and_the_archive_is_valid(books: Books) -> None:
    await books.pay(5)
    end_ms = books.time_ms + 1
    await books.pay(30)
    now = books.digest({ANA: -35, BEN: 35})
    await books.close(end_ms, now)
    wrong = WrongDigest(books.height, UNIT, end_ms, books.digest({ANA: -5, BEN: 5}), now)
    assert await books.findings() == PeriodFindings(closed=1, wrong=1, kept=[wrong])


async def test_a_block_at_the_very_end_is_not_in_the_period(books: Books) -> None:
    await books.pay(5)
    await books.pay(30)
    end_ms = books.time_ms
    await books.close(end_ms, books.digest({ANA: -5, BEN: 5}))
    await books.close(end_ms + 1, books.digest({ANA: -35, BEN: 35}))
    assert await books.findings() == PeriodFindings(closed=2)


async def test_a_period_may_end_with_the_very_block_that_closes_it(books: Books) -> None:
    """What that block moves, at its own time, is not in the period."""
    await books.pay(5)
    end_ms = books.time_ms + STEP_MS
    await books.close(end_ms, books.digest({ANA: -5, BEN: 5}))
    assert books.time_ms == end_ms
    assert await books.findings() == PeriodFindings(closed=1)


async def test_accounts_without_entries_are_not_in_the_books(books: Books) -> None:
    before_ms = books.time_ms
    await books.close(before_ms, books.digest({}))
    assert books.digest({}) != books.digest({ANA: 0, BEN: 0, IDLE: 0})
    await books.add(books.ana, transfer(ANA, BEN, 5))
    await books.add(books.ben, transfer(BEN, ANA, 5))
    await books.close(books.time_ms + 1, books.digest({ANA: 0, BEN: 0}))
    assert await books.findings() == PeriodFindings(closed=2)


@pytest.mark.parametrize("end_ms", [0, 1, GENESIS_TIME_MS])
async def test_before_the_first_block_the_books_are_empty(books: Books, end_ms: int) -> None:
    await books.pay(5)
    await books.close(end_ms, books.digest({}))
    assert await books.findings() == PeriodFindings(closed=1)


async def test_an_end_in_an_epoch_before_is_looked_up_in_it(books: Books) -> None:
    await books.pay(5)
    end_ms = books.time_ms + 1
    await books.pay(7)
    await books.chain.pass_edge()
    await books.pay(30)
    assert books.time_ms - end_ms > EPOCH_MS // 2
    await books.close(end_ms, books.digest({ANA: -5, BEN: 5}))
    assert await books.findings() == PeriodFindings(closed=1)


async def test_a_correction_of_the_same_end_is_noted_beside_what_was_wrong(books: Books) -> None:
    await books.pay(5)
    end_ms = books.time_ms + 1
    right = books.digest({ANA: -5, BEN: 5})
    await books.pay(1)
    wrong_at = books.height + 1
    await books.close(end_ms, OTHER)
    await books.close(end_ms, right)
    corrected_at = books.height
    await books.close(end_ms, right)
    await books.pay(1)
    await books.close(end_ms, OTHER)
    findings = await books.findings()
    assert (findings.closed, findings.wrong, findings.not_recomputed) == (4, 2, 0)
    assert findings.kept == [
        WrongDigest(wrong_at, UNIT, end_ms, right, OTHER, corrected_at),
        WrongDigest(books.height, UNIT, end_ms, right, OTHER),
    ]


async def test_a_principal_closes_by_its_own_message_several_at_once(books: Books) -> None:
    """And one of another unit's, which is refused, counts for nothing."""
    unit, mine, hers = identifier("shop's unit"), identifier("mine"), identifier("hers")
    created = pb.CreateUnit(unit=unit, code="EUR", scale=2, default_floor_minor=-100)
    await books.add(books.shop, pb.Message(create_unit=created), open_account(mine, unit))
    await books.add(books.ana, open_account(hers, unit))
    await books.pay(9)
    await books.add(books.shop, transfer(mine, hers, 4))
    end_ms = books.time_ms
    await books.add(
        books.shop,
        close_period(unit, end_ms, books.digest({})),
        close_period(unit, end_ms + 1, OTHER),
        close_period(unit, end_ms + 1, books.digest({mine: -4, hers: 4})),
    )
    height = books.height
    await books.add(books.shop, close_period(UNIT, end_ms, OTHER))
    assert UNIT not in books.closed or books.closed[UNIT] is None
    findings = await books.findings()
    assert (findings.closed, findings.wrong) == (3, 1)
    (wrong,) = findings.kept
    assert (wrong.height, wrong.corrected_at) == (height, height)
    assert wrong.expected == books.digest({mine: -4, hers: 4})


async def test_of_more_ends_than_are_noted_the_rest_is_said_not_to_be_recomputed(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(periods, "NOTES_MAX", 1)
    await books.close(books.time_ms, books.digest({}))
    await books.close(books.time_ms, OTHER)
    assert await books.findings() == PeriodFindings(closed=2, not_recomputed=1)


async def test_what_cannot_be_read_twice_is_verified_without_its_digests(books: Books, zone: Zone) -> None:
    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return False

    await books.close(books.time_ms, OTHER)
    report = await verify_archive(Pipe(books.chain.archive()), zone.genesis)
    assert report.periods == PeriodFindings(closed=1, not_recomputed=1)


async def test_ends_are_noted_once_each_up_to_where_the_file_is_damaged(books: Books) -> None:
    end_ms = books.time_ms
    await books.close(end_ms, OTHER)
    await books.close(end_ms, OTHER)
    archive, genesis_hash = books.chain.archive(), books.zone.genesis.hash
    notes = [Note(end_ms, UNIT, FEDERATION)]
    assert note_ends(BytesIO(archive).read, genesis_hash) == notes
    assert note_ends(BytesIO(archive[:-1]).read, genesis_hash) == notes
    assert note_ends(BytesIO(archive[:60]).read, genesis_hash) == []


async def test_only_the_ends_of_a_unit_s_own_authority_are_looked_up(books: Books) -> None:
    """Else anybody could have the audit go over all accounts at every block."""
    await books.close(books.time_ms, books.digest({}))
    records = books.chain.ledger.state.records[-1]  # type: ignore[attr-defined]
    period = books.closed[UNIT]
    assert period is not None
    for acting, looked_up in ((FEDERATION, True), (books.ana.principal, False)):
        check = PeriodCheck(books.zone.genesis.hash, [Note(period.end_time_ms, UNIT, acting)])
        check.pass_to(period.end_time_ms - 1, records)
        check.pass_to(period.end_time_ms, records)
        check.take(PeriodClosed(b"", UNIT, period))
        assert check.findings == PeriodFindings(closed=1, not_recomputed=int(not looked_up))
