"""What happens now, for people: the newest events of every stream that somebody would tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from icn_gateway.domain.events import LEDGER, CommittedEvent
from icn_gateway.usecases.ports import EventFeed

SHOWN_MAX = 12
"""What fits a phone's screen and a half."""

_TIMES: Mapping[str, tuple[str, ...]] = {
    "icn.ledger.v1.transfer_committed": ("block_time_ms",),
    "icn.ledger.v1.membership_changed": ("block_time_ms",),
    "icn.ledger.v1.decision_enacted": ("block_time_ms",),
    "icn.ledger.v1.poll_opened": ("poll", "open_time_ms"),
    "icn.ledger.v1.ballot_cast": ("ballot", "cast_time_ms"),
    "icn.marketplace.v1.resource_added": ("occurred_time_ms",),
    "icn.marketplace.v1.booking_made": ("occurred_time_ms",),
    "icn.marketplace.v1.booking_queued": ("occurred_time_ms",),
    "icn.marketplace.v1.booking_promoted": ("occurred_time_ms",),
    "icn.marketplace.v1.offer_published": ("occurred_time_ms",),
    "icn.marketplace.v1.agreement_made": ("occurred_time_ms",),
    "icn.marketplace.v1.agreement_ended": ("occurred_time_ms",),
    "icn.governance.v1.organization_registered": (),
    "icn.governance.v1.proposal_drafted": (),
    "icn.governance.v1.result_computed": (),
    "icn.governance.v1.countersignature_received": (),
}
"""Subjects that are told, and where their payload says when; an empty path: by the event's own id."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to tell."""

    subject: str
    time_ms: int
    payload: Mapping[str, Any]
    aggregate: str

    @property
    def kind(self) -> str:
        """The last part of the subject."""
        return self.subject.rpartition(".")[2]


def happenings(feed: EventFeed) -> list[Happening]:
    """The newest of all streams, newest first; none while there is no bus."""
    found = [_read(event) for event in feed.recent(_TIMES.__contains__, SHOWN_MAX)]
    return sorted(found, key=lambda happening: happening.time_ms, reverse=True)[:SHOWN_MAX]


def _read(event: CommittedEvent) -> Happening:
    document = msgspec.json.decode(event.document)
    payload = document["payload"]
    value: Any = payload
    for name in _TIMES[event.subject]:
        value = value[name] if value is not None else 0
    time_ms = event.position if value is payload and event.service != LEDGER else value
    return Happening(event.subject, int(time_ms or 0), payload, document["aggregate"])
