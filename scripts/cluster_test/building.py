"""What the images weigh, how long a changed line takes to be in one, and whether a build can be repeated."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import time
import zlib
from typing import Any

from scripts.cluster_test.release import ROOT, Cluster
from scripts.images import SERVICES, images

MEGABYTE = 10**6
COMPRESSED_BYTES_BAR = 120 * MEGABYTE
REBUILD_SECONDS_BAR = 15.0
COMPRESSION_LEVEL = 1
"""Quick; registries compress better, so that what is found is more than what they keep."""
REBUILT = "gateway"
REPEATED = "ledger"
"""The image with the most kinds of parts: wheels, the native module, packages of ours."""


def measure_images(cluster: Cluster) -> None:
    """Weigh every image, change a line, build without what was built before."""
    weights = {name: compressed_bytes(cluster, name) for name in images()}
    cluster.note(
        "compressed size of an image over the base, of each service",
        f"≤ {COMPRESSED_BYTES_BAR // MEGABYTE} MB",
        ", ".join(f"{name} {weight / MEGABYTE:.0f} MB" for name, weight in sorted(weights.items())),
        max(weights[name] for name in SERVICES) <= COMPRESSED_BYTES_BAR,
    )
    seconds = rebuild_seconds(cluster)
    cluster.note(
        "build of an image after a change of code",
        f"≤ {REBUILD_SECONDS_BAR:.0f} s",
        f"{seconds:.1f} s",
        seconds <= REBUILD_SECONDS_BAR,
    )
    build(cluster, REPEATED, f"{cluster.tag}-again", "--no-cache")
    first, again = (identifier(cluster, REPEATED, tag) for tag in (cluster.tag, f"{cluster.tag}-again"))
    cluster.note(
        "two builds of one input, the second without a cache",
        "the same digest",
        f"{first[:19]} and {again[:19]}",
        first == again,
    )


def build(cluster: Cluster, name: str, tag: str, *options: str) -> None:
    """One image."""
    program = (sys.executable, "-m", "scripts.images", name, "--docker", "/usr/bin/docker")
    cluster.run(*program, "--tag", tag, *options, seconds=600)


def identifier(cluster: Cluster, name: str, tag: str) -> str:
    """Digest of an image's configuration, which names its layers' digests."""
    return cluster.run(
        "/usr/bin/docker", "image", "inspect", "--format", "{{.Id}}", f"icn/{name}:{tag}"
    ).strip()


def compressed_bytes(cluster: Cluster, name: str) -> int:
    """Of the layers that the base does not have."""
    base = set(layers(cluster, "icn/base:1"))
    digests = layers(cluster, f"icn/{name}:{cluster.tag}")
    command = ["/usr/bin/docker", "save", f"icn/{name}:{cluster.tag}"]
    with subprocess.Popen(command, env=cluster.environment, stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None, "it is a pipe"
        sizes: dict[str, int] = {}
        names: list[str] = []
        with tarfile.open(fileobj=saving.stdout, mode="r|") as archive:
            for entry in archive:
                if entry.name == "manifest.json":
                    names = json.loads(read(archive, entry))[0]["Layers"]
                elif entry.name.endswith("layer.tar") and entry.isfile():
                    sizes[entry.name] = compressed(archive, entry)
    places = zip(names, digests, strict=True)
    return sum(sizes[place] for place, digest in places if digest not in base)


def layers(cluster: Cluster, image: str) -> list[str]:
    """Digests of an image's layers, in order."""
    shown = cluster.run("/usr/bin/docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", image)
    return list(json.loads(shown))


def read(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    """A small file of an archive."""
    file = archive.extractfile(entry)
    assert file is not None, "it is a file"
    return file.read()


def compressed(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> int:
    """Bytes of a layer, compressed."""
    file: Any = archive.extractfile(entry)
    packing = zlib.compressobj(COMPRESSION_LEVEL)
    total = 0
    while piece := file.read(MEGABYTE):
        total += len(packing.compress(piece))
    return total + len(packing.flush())


def rebuild_seconds(cluster: Cluster) -> float:
    """How long it takes until a changed line is in an image."""
    changed = ROOT / "services" / REBUILT / "src" / f"icn_{REBUILT}" / "rebuilt_by_cluster_test.py"
    changed.write_text(f'"""Made at {time.time_ns()}, and removed again."""\n', "utf-8")
    try:
        began = time.monotonic()
        build(cluster, REBUILT, f"{cluster.tag}-changed")
        return time.monotonic() - began
    finally:
        changed.unlink()
