"""Seconds and CPU of scores and predictions, and how good these are: `.venv/bin/python benches/trust.py`.

Reads `trust-bitcoin-alpha` from ../shared/data or ICN_SHARED_DATA, or a file of ratings. Rounds are
interleaved, medians printed. networkx is the yardstick of the scores.
"""

import argparse
import csv
import gzip
import io
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import networkx
from icn_trust.accuracy import area_under_curve
from icn_trust.eigentrust import scores
from icn_trust.explanation import explain
from icn_trust.graph import TrustGraph
from icn_trust.prediction import first_predicted, replay
from icn_trust.ratings import Rating, read_ratings

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("ICN_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
EXPLAINED = 200


def ratings_of(path: Path) -> Sequence[Rating]:
    """The ratings of a file, sorted by time where it is not."""
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
        header, *rows = csv.reader(file)
    time_column = header.index("timestamp" if "timestamp" in header else "time")
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *sorted(rows, key=lambda row: float(row[time_column]))])
    text.seek(0)
    return read_ratings(text).rows


def rules(rows: Sequence[Rating], first: int) -> dict[str, list[float]]:
    """Scores of simpler rules, each from the rows above."""
    received: dict[str, list[float]] = defaultdict(list)
    given: dict[str, list[float]] = defaultdict(list)
    found: dict[str, list[float]] = {
        "mean received": [],
        "share received": [],
        "share given": [],
        "both shares": [],
    }
    for number, (source, target, rating) in enumerate(rows):
        if number >= first:
            of_target = share(received[target])
            of_source = share(given[source])
            found["mean received"].append(sum(received[target]) / max(1, len(received[target])))
            found["share received"].append(of_target)
            found["share given"].append(of_source)
            found["both shares"].append(of_target + of_source)
        received[target].append(rating)
        given[source].append(rating)
    return found


def share(ratings: list[float]) -> float:
    """Share of positive ratings, drawn towards nine in ten by two of them."""
    return (sum(rating > 0 for rating in ratings) + 1.8) / (len(ratings) + 2)


def main() -> None:
    """Print times, then accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--in", dest="file", type=Path, default=SHARED / "trust-bitcoin-alpha" / "ratings.csv.gz"
    )
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows = ratings_of(arguments.file)
    last = {(row.source, row.target): row.rating for row in rows if row.source != row.target}
    positive = [(*pair, rating) for pair, rating in last.items() if rating > 0]
    seeds = {row.source: 1 for row in rows[:3]}
    graph = TrustGraph.build(positive)
    found = scores(graph, seeds)
    oracle = networkx.DiGraph()
    oracle.add_weighted_edges_from(positive)
    expected = networkx.pagerank(oracle, personalization=seeds, tol=1e-12, max_iter=1000)
    highest = sorted(graph.members, key=found.of, reverse=True)[:EXPLAINED]
    first = first_predicted(len(rows), Fraction("0.8"))
    works: dict[str, Callable[[], object]] = {
        "matrix from pairs": lambda: TrustGraph.build(positive),
        "scores": lambda: scores(graph, seeds),
        "scores, networkx": lambda: networkx.pagerank(
            oracle, personalization=seeds, tol=1e-12, max_iter=1000
        ),
        f"{EXPLAINED} explanations": lambda: [explain(found, member) for member in highest],
        "replay, share 0.8": lambda: list(replay(rows, first)),
        "replay, share 0": lambda: list(replay(rows, 0)),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(arguments.rounds):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    print(f"{len(rows)} ratings, {len(graph.members)} members with trust, {len(positive)} pairs")
    for name, figures in taken.items():
        wall, cpu = (statistics.median(column) for column in zip(*figures, strict=True))
        print(f"{name:<20} {wall:>8.3f} s {cpu:>8.3f} CPU-s")
    print(
        f"largest difference from networkx {max(abs(found.of(one) - expected[one]) for one in expected):.2g}"
    )
    print("area under the curve, by share of the rows above the first predicted")
    shares = ("0.5", "0.6", "0.7", "0.8", "0.9")
    print(f"{'':<16}" + "".join(f"{text:>8}" for text in shares))
    table: dict[str, list[float]] = defaultdict(list)
    for text in shares:
        first = first_predicted(len(rows), Fraction(text))
        outcomes = [row.rating > 0 for row in rows[first:]]
        for name, predicted in (rules(rows, first) | {"icn": list(replay(rows, first))}).items():
            table[name].append(area_under_curve(predicted, outcomes))
    for name, areas in table.items():
        print(f"{name:<16}" + "".join(f"{area:>8.4f}" for area in areas))


if __name__ == "__main__":
    main()
