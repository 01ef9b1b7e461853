"""The events that reputation publishes."""

from __future__ import annotations

from icn.kit.v1.envelope_pb2 import EventEnvelope
from icn.reputation.v1.events_pb2 import ScoreChange, ScoresUpdated
from icn_kit.envelope import new_event_id
from icn_kit.trace import current_trace

from icn_reputation.domain.principals import name_of
from icn_reputation.usecases.ports import Changes, ComputationRow

SCORES_UPDATED = "icn.reputation.v1.scores_updated"
SCHEMA_VERSION = 1


def scores_updated(zone: bytes, row: ComputationRow, changes: Changes) -> EventEnvelope:
    """The event of a computation that changed a score."""
    basis = row.basis
    trace = current_trace.get()
    return EventEnvelope(
        id=new_event_id(),
        zone=zone,
        schema_version=SCHEMA_VERSION,
        subject=SCORES_UPDATED,
        aggregate=f"dimensions/{basis.dimension}",
        traceparent=trace.traceparent if trace is not None and trace.is_sampled else "",
        payload=ScoresUpdated(
            dimension=basis.dimension,
            evidence_count=basis.evidence_count,
            as_of_time_ms=basis.as_of_ms,
            members=row.members,
            changes=[
                ScoreChange(
                    principal=name_of(change.principal),
                    previous_score_nano=change.previous_nano,
                    score_nano=change.score_nano,
                )
                for change in changes.largest
            ],
            changed_count=changes.total,
        ).SerializeToString(),
    )
