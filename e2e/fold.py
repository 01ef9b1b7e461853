"""The balances a transaction file must lead to, computed in the plainest way; shares no code with the
platform.

`python e2e/fold.py FILE.csv[.gz]` prints party,balance in minor units (10^-6), in order of first appearance.
"""

from __future__ import annotations

import csv
import gzip
import sys
from decimal import ROUND_HALF_EVEN, Decimal, localcontext


def fold(path: str) -> tuple[dict[str, int], list[int]]:
    """Balances by party, and the numbers of rows whose party had too little at its turn."""
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    issuers = {row["source"] for row in rows if row["transfer_subtype"] == "DISBURSEMENT"}
    balances: dict[str, int] = {}
    refused: list[int] = []
    for number, row in enumerate(rows):
        source, target = row["source"], row["target"]
        with localcontext(prec=80):
            amount = int((Decimal(row["weight"]) * 10**6).quantize(Decimal(1), ROUND_HALF_EVEN))
        balances.setdefault(source, 0)
        balances.setdefault(target, 0)
        if source not in issuers and balances[source] < amount:
            refused.append(number)
            continue
        balances[source] -= amount
        balances[target] += amount
    return balances, refused


if __name__ == "__main__":
    found, _ = fold(sys.argv[1])
    csv.writer(sys.stdout, lineterminator="\n").writerows([("party", "balance"), *found.items()])
