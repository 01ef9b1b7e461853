"""What consensus counts and measures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

HEIGHT = Gauge(
    "icn_consensus_height_blocks",
    "Newest final and newest executed height; the highest final one that another validator told of.",
    ["seat", "which"],
)
VIEW = Gauge("icn_consensus_view_number", "View this validator is in.", ["seat"])
VIEW_TIMEOUT_SECONDS = Gauge(
    "icn_consensus_view_timeout_seconds", "How long the view may take before its timer runs out.", ["seat"]
)
EPOCH = Gauge("icn_consensus_epoch_number", "Epoch this validator is in.", ["seat"])
CATCHING_UP = Gauge(
    "icn_consensus_catching_up_bool", "1 while blocks are fetched that others have.", ["seat"]
)
PROTOCOL = Gauge(
    "icn_consensus_protocol_version",
    "Protocol versions: in force, of the next epoch, and the newest that this validator can decide by.",
    ["seat", "which"],
)
POOL_TRANSACTIONS = Gauge("icn_consensus_pool_transactions", "Transactions that wait in the pool.", ["seat"])
POOL_BYTES = Gauge("icn_consensus_pool_bytes", "Bytes of the transactions in the pool.", ["seat"])
POOL_DEFERRED_TRANSACTIONS = Gauge(
    "icn_consensus_pool_deferred_transactions",
    "Of those in the pool, the ones that no block could take yet: there is a gap in their lane.",
    ["seat"],
)
POOL_OLDEST_AGE_SECONDS = Gauge(
    "icn_consensus_pool_oldest_age_seconds", "How long the oldest in the pool has waited.", ["seat"]
)
WAITING_CLIENTS = Gauge(
    "icn_consensus_waiting_transactions", "Transactions whose end a client waits for.", ["seat"]
)
EXECUTION_BACKLOG = Gauge(
    "icn_consensus_execution_backlog_blocks", "Final blocks not executed yet.", ["seat"]
)
PEERS_CONNECTED = Gauge(
    "icn_consensus_peers_connected_streams", "Streams open to other validators.", ["seat"]
)
RECORD_LOG_BYTES = Gauge("icn_consensus_record_log_bytes", "Size of the write-ahead log.", ["seat"])

SUBMITTED = Counter(
    "icn_consensus_submitted_transactions_total",
    "Transactions checked for the pool, per source and verdict.",
    ["source", "verdict"],
)
COMMITTED = Counter("icn_consensus_committed_transactions_total", "Transactions in executed blocks.")
BLOCKS = Counter("icn_consensus_executed_blocks_total", "Blocks executed.")
REPORTS = Counter("icn_consensus_reports_total", "What the core reported, per kind.", ["kind"])
EVIDENCE = Counter(
    "icn_consensus_evidence_proofs_total", "First proofs against a seat in an epoch that were kept."
)
STATE_SYNC_CHUNKS = Counter(
    "icn_consensus_state_sync_chunks_total", "Chunks of a snapshot that were restored from others."
)
STATE_SYNC_MISSING_CHUNKS = Gauge(
    "icn_consensus_state_sync_missing_chunks",
    "Chunks still missing of the snapshot that is being restored; 0 when none is.",
)
PEER_BYTES = Counter("icn_consensus_peer_bytes_total", "Bytes on the streams of all peers.", ["direction"])
PEER_FRAMES_DROPPED = Counter(
    "icn_consensus_peer_frames_dropped_total", "Frames dropped because a peer was too slow."
)
PEER_FAULTS = Counter(
    "icn_consensus_peer_faults_total",
    "Frames and messages that no honest validator sends.",
    ["what"],
)
CLOCK_DISTANCE_SECONDS = Gauge(
    "icn_consensus_clock_distance_seconds",
    "Block time less this clock, of the last proposal refused for it; 0 since the last one in time.",
    ["seat"],
)
EVENTS_DROPPED = Counter(
    "icn_consensus_events_dropped_total", "Work refused because a queue was full.", ["what"]
)

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 4.0, 16.0)
NOTARIZATION_SECONDS = Histogram(
    "icn_consensus_notarization_seconds",
    "From a proposal's arrival to its notarization.",
    buckets=LATENCY_BUCKETS,
)
FINALITY_SECONDS = Histogram(
    "icn_consensus_finality_seconds",
    "From a proposal's arrival to its finality.",
    buckets=LATENCY_BUCKETS,
)
BLOCK_INTERVAL_SECONDS = Histogram(
    "icn_consensus_block_interval_seconds",
    "Block time between a block and the one before it.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
SYNC_SECONDS = Histogram(
    "icn_consensus_record_sync_seconds",
    "Time that writing and syncing records to the log took.",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 1.0),
)
EXECUTION_SECONDS = Histogram(
    "icn_consensus_execution_seconds",
    "Time that the application took for a block.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)


class TurnsCollector(Collector):
    """Turns of the seats that decide, read when it is scraped: other seats may decide in the next epoch."""

    def __init__(self) -> None:
        self.counts: Callable[[], tuple[Sequence[int], Sequence[int]]] = lambda: ((), ())
        """Turns kept and lost by seat; set by the validator of this process."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The family, two samples per seat."""
        turns = GaugeMetricFamily(
            "icn_consensus_turns_views",
            "Views by the seat that led them and their end, as far as seen here since these seats decide.",
            labels=("leader", "end"),
        )
        for end, by_seat in zip(("notarized", "nullified"), self.counts(), strict=True):
            for seat, count in enumerate(by_seat):
                turns.add_metric((str(seat), end), count)
        yield turns


TURNS = TurnsCollector()
REGISTRY.register(TURNS)
