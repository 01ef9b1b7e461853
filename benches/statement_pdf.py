"""What the pages of a statement cost: CPU time, and the memory at its peak, of a process that makes them.

``python -m benches.statement_pdf [--entries N]``. Verifying the file before is in `benches/statement.py`.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from icn_client.light.statement import bounded_lines
from icn_client.statement_pdf import write_pdf

from libs.client.tests.unit.told import invented, make_up


def main() -> None:
    """Write a statement, make its pages, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    count = parser.parse_args().entries
    with TemporaryDirectory() as folder:
        file, pages = Path(folder) / "statement.jsonl", Path(folder) / "statement.pdf"
        with file.open("wb") as written:
            found = make_up(invented(n * 7_919 % 100_000 - 50_000 for n in range(count)), written.write)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        with file.open("rb") as lines, pages.open("wb") as out:
            write_pdf(bounded_lines(lines), found, {}, out)
        seconds = time.process_time() - started
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sizes = [one.stat().st_size / 1e6 for one in (file, pages)]
        print(
            f"{count} entries, {sizes[0]:.1f} MB: {sizes[1]:.1f} MB of pages in {seconds:.1f} CPU-seconds; "
            f"memory {before / 1024:.0f} MiB before, {after / 1024:.0f} MiB at most"
        )


if __name__ == "__main__":
    main()
