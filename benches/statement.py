"""What an entry of a statement costs: written, and read with its place in the chain; CPU time of one core.

``python benches/statement.py [--entries N]``. Proofs are left out: there are two or three to a statement.
"""

from __future__ import annotations

import argparse
import os
import time

from icn_client.light.statement import entry_line, read_entry, read_lines
from icn_machine.entries import Entry, EntryChain, PostingKind


def main() -> None:
    """Write, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=10_000)
    count = parser.parse_args().entries
    entries = [
        Entry(
            number,
            number // 3 + 1,
            1_700_000_000_000 + number,
            os.urandom(32),
            PostingKind.TRANSFER,
            5,
            5 * number,
            os.urandom(16),
            os.urandom(32) if number % 2 else b"",
            b"",
            b"",
        )
        for number in range(1, count + 1)
    ]
    started = time.process_time()
    lines = [entry_line(entry) for entry in entries]
    written = time.process_time()
    chain, end = EntryChain(bytes(32)), b""
    for number, members, data in read_lines(lines):
        end = chain.extend(end, read_entry(number, members, data))
    read = time.process_time()
    each = [seconds / count * 1e6 for seconds in (written - started, read - written)]
    print(
        f"{count} entries: written {each[0]:.1f} us, read and chained {each[1]:.1f} us, "
        f"{1e6 / sum(each):,.0f} a CPU-second for both"
    )


if __name__ == "__main__":
    main()
