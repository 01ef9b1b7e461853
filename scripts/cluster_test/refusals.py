"""What cannot work is refused by a sentence."""

from __future__ import annotations

from scripts.cluster_test.release import CHART, RELEASE, Cluster, values

SENTENCE_CHARACTERS = 200
"""Of a refusal, shown in the table."""
REFUSALS: dict[str, tuple[tuple[str, ...], str]] = {
    "fewer than 4 validators": (
        ("--set", "validators.seats={0,1,2}"),
        "fewer than 4 cannot bear that one fails",
    ),
    "images of no version": (("--set", "images.tag=latest"), "images.tag"),
    "an unknown value": (("--set", "validators.seat=1"), "seat"),
    "a missing Secret": (
        ("--set", "secrets.gateway=nowhere"),
        "does not have what the pods need: Secret nowhere",
    ),
}


def refuse(cluster: Cluster) -> None:
    """What cannot work is refused by a sentence before anything is changed."""
    history = cluster.helm("history", RELEASE, "-o", "json")
    for name, (flags, sentence) in REFUSALS.items():
        said = cluster.refusal("upgrade", RELEASE, str(CHART), *values(cluster), *flags)
        cluster.note(
            f"refused: {name}", "a sentence", said[-SENTENCE_CHARACTERS:] or "accepted", sentence in said
        )
    said = cluster.refusal("install", "second", str(CHART), *values(cluster))
    sentence = f"namespace {cluster.namespace} has the release {RELEASE} already"
    cluster.note(
        "refused: a second release in the namespace",
        "a sentence",
        said[:SENTENCE_CHARACTERS] or "accepted",
        sentence in said,
    )
    same = cluster.helm("history", RELEASE, "-o", "json") == history
    cluster.note("the same: what they changed", "nothing", "nothing" if same else "the history", same)
