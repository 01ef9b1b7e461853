"""What a ledger counts. Times of calls are counted by the kit's interceptor."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

EXECUTED_HEIGHT = Gauge("icn_ledger_executed_height", "Height of the block executed last.")
TRANSACTIONS = Counter("icn_ledger_transactions_total", "Transactions executed, applied or refused.")
