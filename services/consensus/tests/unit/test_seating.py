"""Which sets decide, and which seat is the own one. Rules: docs/spec/consensus.md, "Epochs"."""

from __future__ import annotations

from dataclasses import replace

from icn_chain.validator_set import NO_SEAT, ValidatorSet
from icn_consensus.domain.seating import Seating

from .bench import Bench

BENCH = Bench(epoch_ms=10_000)
FOUR = BENCH.config.validators
FIVE = Bench(5).config.validators
SEVEN = Bench(7).config.validators
GENESIS = BENCH.genesis
EDGE = replace(GENESIS, time_ms=GENESIS.time_ms + 10_000, next_validator_set_hash=FIVE.hash)


def seating(newest: ValidatorSet = FOUR, *known: ValidatorSet, seat: int = 0) -> Seating:
    config = replace(BENCH.config, public_key=FIVE.public_keys[seat])
    return Seating(config, GENESIS, newest.data, known)


def test_after_an_edge_block_the_set_that_it_names_decides() -> None:
    config = replace(BENCH.config, public_key=FIVE.public_keys[4])
    book = Seating(config, EDGE, FIVE.data, ())
    assert (book.closed, book.current, book.own_seat, book.is_seated) == (FOUR, FIVE, 4, True)


def test_otherwise_the_set_of_the_newest_final_block_decides() -> None:
    book = seating(FIVE, seat=4)
    assert (book.closed, book.current, book.own_seat, book.is_seated) == (FOUR, FOUR, NO_SEAT, False)
    assert seating(seat=2).own_seat == 2


def test_sets_that_a_state_or_a_final_header_named_are_found() -> None:
    book = seating(FIVE, SEVEN)
    assert [book.find(item.hash) for item in (FOUR, FIVE, SEVEN)] == [FOUR, FIVE, SEVEN]
    assert book.find(bytes(32)) is None
    book = seating()
    assert book.find(FIVE.hash) is None
    book.learn(FIVE.data)
    assert book.find(FIVE.hash) == FIVE


def test_a_key_is_named_by_any_set_that_is_known() -> None:
    assert not seating().names(FIVE.public_keys[4])
    assert seating().names(FIVE.public_keys[3])
    assert seating(FIVE).names(FIVE.public_keys[4])


def test_the_next_epoch_keeps_the_sets_that_may_still_decide() -> None:
    book = seating(FOUR, SEVEN, seat=4)
    book.learn(FIVE.data)
    assert book.move_on(FOUR, FIVE)
    assert (book.closed, book.current, book.own_seat) == (FOUR, FIVE, 4)
    assert [book.find(item.hash) for item in (FOUR, FIVE, SEVEN)] == [FOUR, FIVE, None]
    book.learn(SEVEN.data)
    assert not book.move_on(FIVE, FIVE)
    assert [book.find(item.hash) for item in (FOUR, FIVE, SEVEN)] == [None, FIVE, SEVEN], "it may be next"
