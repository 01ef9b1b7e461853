"""The log of a run's events: equal digests are equal runs."""

from __future__ import annotations

from icn_consensus.domain.events import CertificateReceived, Event, TimerFired, VoteReceived
from icn_sim import event_log
from icn_sim.event_log import EventLog

VOTE, CERTIFICATE = VoteReceived(b"peer", b"bytes"), CertificateReceived(b"peer", b"bytes")
Line = tuple[int, int, Event]


def digest_of(*lines: Line) -> str:
    log = EventLog()
    for line in lines:
        log.note(*line)
    return log.digest()


def test_whatever_differs_between_two_runs_differs_in_the_digest() -> None:
    runs: list[list[Line]] = [
        [],
        [(1, 0, VOTE)],
        [(2, 0, VOTE)],
        [(1, 1, VOTE)],
        [(1, 0, CERTIFICATE)],
        [(1, 0, VoteReceived(b"other", b"bytes"))],
        [(1, 0, VoteReceived(b"peer", b"other"))],
        [(1, 0, VoteReceived(b"pee", b"rbytes"))],
        [(1, 0, TimerFired())],
        [(1, 0, VOTE), (1, 0, VOTE)],
        [(1, 0, VOTE), (1, 0, TimerFired())],
        [(1, 0, TimerFired()), (1, 0, VOTE)],
        [(1, 0, VOTE), (1, 1, CERTIFICATE), (1, 2, VOTE)],
        [(1, 0, VOTE), (1, 1, CERTIFICATE), (1, 2, CERTIFICATE)],
    ]
    assert len({digest_of(*run) for run in runs}) == len(runs)
    assert all(digest_of(*run) == digest_of(*run) for run in runs)


def test_a_digest_can_be_asked_for_at_any_time() -> None:
    lines = [(time, 0, VoteReceived(b"peer", b"%d" % time)) for time in range(5_000)]
    log = EventLog()
    for line in lines:
        log.note(*line)
        if line[0] in (0, 17, 4_000):
            assert log.digest() == digest_of(*lines[: line[0] + 1])
    assert len(log._undigested) <= event_log.UNDIGESTED_BYTES_MAX < 20 * len(lines)
