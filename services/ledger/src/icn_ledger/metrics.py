"""What a ledger counts. Times of calls are counted by the kit's interceptor."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from icn_machine.duty import DutyCounts
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

EXECUTED_HEIGHT = Gauge("icn_ledger_executed_height", "Height of the block executed last.")
TRANSACTIONS = Counter("icn_ledger_transactions_total", "Transactions executed, applied or refused.")
UNFINISHED_CALLS = Counter(
    "icn_ledger_vm_unfinished_calls_total",
    "Times that the vm was given a contract call and did not finish it; the log names block and call.",
)
UNFINISHED_HEIGHT = Gauge(
    "icn_ledger_vm_unfinished_height",
    "Height of the block whose contract call the vm did not finish when it was asked last; 0 for none.",
)
COMMIT_SECONDS = Histogram(
    "icn_ledger_commit_seconds",
    "Time that Postgres took to make a block durable.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
SNAPSHOT_HEIGHT = Gauge(
    "icn_ledger_snapshot_height", "Height of the snapshot that this process wrote last; 0 before the first."
)


class DutyCollector(Collector):
    """What the seats did in the epoch under way, read when it is scraped: an epoch may have other seats."""

    def __init__(self) -> None:
        self.counts: Callable[[], DutyCounts] = lambda: DutyCounts.start(0, 0)
        """Set by the ledger that serves in this process."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The families, a sample per seat."""
        counts = self.counts()
        blocks = GaugeMetricFamily("icn_ledger_epoch_blocks", "Final blocks of the epoch so far.")
        blocks.add_metric((), counts.blocks)
        proposed = GaugeMetricFamily(
            "icn_ledger_epoch_proposed_blocks", "Of them, those the seat proposed.", labels=("seat",)
        )
        signed = GaugeMetricFamily(
            "icn_ledger_epoch_signed_blocks",
            "Of them, those whose parent's certificate the seat signed.",
            labels=("seat",),
        )
        for seat in range(counts.seats):
            proposed.add_metric((str(seat),), counts.proposed[seat])
            signed.add_metric((str(seat),), counts.signed[seat])
        yield from (blocks, proposed, signed)


DUTY = DutyCollector()
REGISTRY.register(DUTY)
