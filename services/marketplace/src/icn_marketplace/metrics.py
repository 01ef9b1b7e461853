"""What the service counts, beside what kit counts for every service."""

from __future__ import annotations

from prometheus_client import Counter

AGREEMENTS_EXPIRED = Counter(
    "icn_marketplace_agreements_expired_total", "Agreements that were moved because their time was up."
)
