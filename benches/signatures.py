"""CPU-µs per Ed25519 verdict of every path: `.venv/bin/python benches/signatures.py`.

Rounds are interleaved, medians printed. The native rows appear where `icn_native` is importable.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence

from icn_crypto import ed25519
from icn_crypto.native import accelerator
from icn_crypto.suites import SigningKey, Suite

MESSAGE_BYTES = 200
"""About a transfer's preimage."""


def signatures(count: int, randomness: random.Random) -> list[ed25519.Item]:
    """Honest signatures of as many keys."""
    items = []
    for _ in range(count):
        key = SigningKey.from_seed(Suite.ED25519, randomness.randbytes(32))
        message = randomness.randbytes(MESSAGE_BYTES)
        items.append((key.public_key, message, key.sign(message)))
    return items


def micros(verify: Callable[[], object], count: int) -> float:
    """CPU-µs of one call per item."""
    started = time.process_time()
    verify()
    return (time.process_time() - started) / count * 1e6


def one_by_one(
    verify: Callable[[bytes, bytes, bytes], object], items: Sequence[ed25519.Item]
) -> Callable[[], object]:
    """All items through a function of one."""
    return lambda: [verify(*item) for item in items]


def main() -> None:
    """Print one line per path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    good = signatures(arguments.count, random.Random(arguments.seed))
    bad = [(public_key, b"another", signature) for public_key, _, signature in good[:64]]
    paths: dict[str, tuple[Callable[[], object], int]] = {
        "wheels, valid": (one_by_one(ed25519.by_wheels, good), len(good)),
        "wheels, invalid": (one_by_one(ed25519.by_wheels, bad), len(bad)),
        "integers": (one_by_one(ed25519.exact_verdict, good[:16]), 16),
    }
    if accelerator is not None:
        native = accelerator
        paths["native, verdicts"] = (lambda: native.ed25519_verdicts(good), len(good))
        paths["native, batch"] = (lambda: native.ed25519_verify_batch(good), len(good))
        paths["native, invalid"] = (lambda: native.ed25519_verdicts(bad), len(bad))
    taken: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(arguments.rounds):
        for name, (verify, count) in paths.items():
            taken[name].append(micros(verify, count))
    print(f"seed {arguments.seed}; CPU-µs per signature")
    for name, figures in taken.items():
        print(f"{name:<18} {statistics.median(figures):>8.1f}")


if __name__ == "__main__":
    main()
