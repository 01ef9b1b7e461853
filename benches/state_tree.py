"""CPU-µs per changed leaf of the state tree, plain Python: `.venv/bin/python benches/state_tree.py`.

Existing leaves get new values, as blocks of transfers do; the source hands out the pages as stored bytes.
`hashes` says the same in SHA-256 calls of 65 bytes timed in the same rounds, which compares between machines.
"""

import argparse
import hashlib
import random
import statistics
import time

from icn_crypto.state_tree import StateTree, build, missing_prefixes

VALUE_BYTES = 90
"""About an AccountLeaf."""


CALIBRATION_CALLS = 3_000
"""About 2 ms."""


def one_hash_micros() -> float:
    """CPU-µs of one SHA-256 call, as the tree makes them."""
    left, right = bytes(32), bytes(32)
    started = time.process_time()
    for _ in range(CALIBRATION_CALLS):
        hashlib.sha256(b"\x01" + left + right).digest()
    return (time.process_time() - started) / CALIBRATION_CALLS * 1e6


def measure(leaves: int, changes: int, rounds: int, randomness: random.Random) -> dict[str, float]:
    """Median CPU-µs per changed leaf over the rounds, and what the pages written weigh."""
    keys = [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(leaves)]
    pages: dict[bytes, bytes | None] = dict(build({key: bytes(VALUE_BYTES) for key in keys}).pages)
    tree = StateTree(pages)
    micros: list[float] = []
    prefetch_micros: list[float] = []
    page_counts: list[int] = []
    page_bytes: list[int] = []
    in_hashes: list[float] = []
    for _ in range(rounds):
        batch: dict[bytes, bytes | None] = {
            key: randomness.randbytes(VALUE_BYTES) for key in randomness.sample(keys, changes)
        }
        hash_before = one_hash_micros()
        started = time.process_time()
        assert not missing_prefixes(pages, batch)
        prefetched = time.process_time()
        update = tree.update(batch)
        finished = time.process_time()
        in_hashes.append((finished - prefetched) / changes * 2e6 / (hash_before + one_hash_micros()))
        pages.update(update.pages)
        micros.append((finished - prefetched) / changes * 1e6)
        prefetch_micros.append((prefetched - started) / changes * 1e6)
        page_counts.append(len(update.pages))
        page_bytes.append(sum(len(page or b"") for page in update.pages.values()))
    return {
        "micros": statistics.median(micros),
        "hashes": statistics.median(in_hashes),
        "prefetch": statistics.median(prefetch_micros),
        "pages": statistics.median(page_counts) / changes,
        "bytes": statistics.median(page_bytes) / changes,
    }


def main() -> None:
    """Print one line per tree size and batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}; CPU-µs, pages and bytes per changed leaf")
    print(f"{'leaves':>8} {'changes':>8} {'µs':>7} {'hashes':>7} {'prefetch':>9} {'pages':>7} {'bytes':>7}")
    for leaves in (10_000, 100_000):
        for changes in (200, 2_000):
            figures = measure(leaves, changes, arguments.rounds, random.Random(arguments.seed))
            print(
                f"{leaves:>8} {changes:>8} {figures['micros']:>7.1f} {figures['hashes']:>7.1f}"
                f" {figures['prefetch']:>9.1f} {figures['pages']:>7.2f} {figures['bytes']:>7.0f}"
            )


if __name__ == "__main__":
    main()
