"""Ed25519 verdicts of the accelerator beside those of the wheels, on mutated signatures by the
hundred thousand (`make campaign`, or ``python -m scripts.verdicts``).

The two must agree one by one, and the accelerator's batches with both. The last line is JSON; exit status 1
when a case differs, 2 without the accelerator (`make native`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections import Counter
from typing import Final

from icn_crypto.ed25519 import Item, Verdict

from libs.crypto.tests.crafted_signatures import compare

CASES_PER_SEED: Final = 10_000
SHOWN_MAX: Final = 10


def main() -> int:
    """Compare on so many signatures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first-seed", type=int, default=1)
    options = parser.parse_args()
    if importlib.util.find_spec("icn_native") is None:
        print("The accelerator is not built: `make native` does it.", file=sys.stderr)
        return 2
    verdicts: Counter[Verdict] = Counter()
    differing: list[Item] = []
    for place in range(-(-options.cases // CASES_PER_SEED)):
        cases = min(CASES_PER_SEED, options.cases - place * CASES_PER_SEED)
        found = compare(options.first_seed + place, cases)
        verdicts += found.verdicts
        differing += found.differing
    for item in differing[:SHOWN_MAX]:
        print(*(part.hex() for part in item))
    counts = {verdict.name.lower(): verdicts[verdict] for verdict in Verdict}
    print(json.dumps({"cases": verdicts.total(), **counts, "differing": len(differing)}))
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
