"""What Prometheus is told."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

EVIDENCE = Counter("icn_reputation_evidence_total", "Pieces of evidence recorded.", ["dimension", "kind"])
COMPUTATIONS = Counter(
    "icn_reputation_computations_total",
    "Looks at a dimension: stored, unneeded, overtaken by another process, or refused for size.",
    ["dimension", "outcome"],
)
COMPUTATION_SECONDS = Histogram(
    "icn_reputation_computation_seconds",
    "Time of one computation with reading its evidence.",
    ["dimension"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0),
)
