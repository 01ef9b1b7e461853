"""What keeps a validator from being where the others are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from icn_consensus.domain.replica import Status
from icn_consensus.usecases.get_status import HEAR_SECONDS_MAX, StatusReader
from icn_kit.preference import HEIGHTS_BEHIND_MAX

SEATS = [b"0", b"1", b"2", b"3"]


@dataclass
class Core:
    """What is read of a status."""

    final_height: int = 100
    executed_height: int = 100
    is_catching_up: bool = False


@dataclass
class Validator:
    """Seat 0 of four, or whoever ``key`` is."""

    told: dict[bytes, int]
    core: Core = field(default_factory=Core)
    seats: list[bytes] = field(default_factory=lambda: list(SEATS))
    key: bytes = b"0"

    def lag(self, seconds: float = 0.0) -> str:
        def unused(*_: Any) -> Any:
            raise AssertionError

        reader = StatusReader(
            self.key,
            b"genesis",
            lambda: cast("Status", self.core),
            unused,
            lambda: self.seats,
            unused,
            lambda key: (key in self.told, self.told.get(key, 0)),
            unused,
            1,
        )
        return reader.lag(seconds)


def test_who_is_where_two_others_are_lags_behind_nobody() -> None:
    assert Validator({b"1": 100, b"2": 104}).lag() == ""


def test_a_few_heights_are_on_their_way_and_more_are_a_lag() -> None:
    edge = 100 + HEIGHTS_BEHIND_MAX
    assert Validator({b"1": edge, b"2": edge}).lag() == ""
    assert (
        Validator({b"1": edge + 1, b"2": edge + 1}).lag() == f"it is catching up: at height 100 of {edge + 1}"
    )


def test_what_fewer_than_f_plus_one_say_holds_nobody_back() -> None:
    assert Validator({b"1": 2**62, b"2": 100, b"3": 99}).lag() == ""


@pytest.mark.parametrize("told", [{}, {b"1": 100}])
def test_who_has_just_begun_is_not_ready_before_it_has_heard_enough_others(told: dict[bytes, int]) -> None:
    assert Validator(told).lag() == (
        f"it has heard {len(told)} other validators, and needs 2 to know how far the chain is"
    )


def test_who_can_reach_nobody_is_not_held_back_for_ever() -> None:
    assert Validator({}).lag(HEAR_SECONDS_MAX) == ""


def test_blocks_that_are_not_executed_yet_are_a_lag_whoever_was_heard() -> None:
    core = Core(final_height=300, executed_height=120, is_catching_up=True)
    for told in ({}, {b"1": 290, b"2": 290}):
        assert Validator(told, core).lag() == "it is catching up: at height 120 of 300"


def test_a_follower_is_held_to_the_same_as_a_seat() -> None:
    follower = Validator({b"1": 200, b"2": 200}, key=b"follower")
    assert follower.lag() == "it is catching up: at height 100 of 200"
    follower.told = {b"1": 101, b"2": 100}
    assert follower.lag() == ""


def test_a_validator_alone_in_its_zone_waits_for_nobody() -> None:
    assert Validator({}, seats=[b"0"]).lag() == ""
