"""Which leaders are not worth waiting for. Local knowledge: it moves timers, never the rotation.

Source: docs/spec/consensus.md, "Silent leaders".
"""

from __future__ import annotations

from typing import Final

from icn_chain.validator_set import ValidatorSet

PENALTY_TURNS_MAX: Final = 16
MISSED_TURNS: Final = 2
"""A leader who votes may miss one turn: its proposal can be late by bad luck."""
NEVER: Final = -1


class Attendance:
    """Who was heard in which view, and who let turns pass."""

    def __init__(self, validators: ValidatorSet, seat: int, view: int) -> None:
        self._validators = validators
        self._seat = seat
        self._window = 2 * validators.seats
        self._since = view
        self._heard = [NEVER] * validators.seats
        self._missed_turns = [0] * validators.seats
        self._penalty_left = [0] * validators.seats
        self._penalty_next = [1] * validators.seats
        self.kept_turns = [0] * validators.seats
        """By seat, views whose proposal was notarized, as far as seen here since these seats decide."""
        self.lost_turns = [0] * validators.seats
        """By seat, views that were nullified instead."""

    def hear(self, seat: int, view: int) -> None:
        """A signed message of this seat about this view (not later than the current one) was seen."""
        self._heard[seat] = max(self._heard[seat], view)

    def restart_window(self, view: int) -> None:
        """Views were jumped over: nothing is known of who spoke in them, so watch anew from this view."""
        self._since = view

    def restart_epoch(self, view: int) -> None:
        """Views may count from a lower number again in the next epoch; what was heard counts as just now."""
        self._since = min(self._since, view)
        self._heard = [min(heard, view) for heard in self._heard]

    def is_silent(self, leader: int, view: int) -> bool:
        """Whether to nullify the leader's view at once; true for at most f seats."""
        if leader == self._seat:
            return False
        seats = range(self._validators.seats)
        absent = []
        earliest = view - self._window
        if self._since <= earliest:
            absent = [seat for seat in seats if seat != self._seat and self._heard[seat] < earliest]
            if self._validators.seats - len(absent) < self._validators.quorum:
                absent = []  # too many are gone: it is us, or the network, and not the leaders
        idle = [seat for seat in seats if self._penalty_left[seat] and seat not in absent]
        return leader in (absent + idle)[: self._validators.faults_max]

    def end_turn(self, leader: int, view: int, *, was_skipped: bool, has_proposed: bool) -> None:
        """The leader's view ended in nullification; ``was_skipped``: we nullified it at once."""
        self.lost_turns[leader] += 1
        if was_skipped:
            self._penalty_left[leader] = max(0, self._penalty_left[leader] - 1)
        elif not has_proposed and self._heard[leader] >= view - self._validators.seats:
            self._missed_turns[leader] += 1
            if self._missed_turns[leader] >= MISSED_TURNS:
                self._penalty_left[leader] = self._penalty_next[leader]
                self._penalty_next[leader] = min(2 * self._penalty_next[leader], PENALTY_TURNS_MAX)

    def reset(self, leader: int) -> None:
        """A proposal of this leader was notarized."""
        self.kept_turns[leader] += 1
        self._missed_turns[leader] = 0
        self._penalty_left[leader] = 0
        self._penalty_next[leader] = 1
