"""What a ledger counts. Times of calls are counted by the kit's interceptor."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

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
