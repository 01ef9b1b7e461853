"""One file with what others need to help: without secrets."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from icn_client.doctor.finding import Finding
from icn_client.doctor.kubectl import KubectlFailed
from icn_client.doctor.platform_checks import log_of
from icn_client.doctor.redaction import redact, redacted_json
from icn_client.doctor.release_state import Asked, ReleaseState

if TYPE_CHECKING:
    from icn_localnet.network import Network

LOG_LINES_MAX: Final = 2_000
LOG_CHARACTERS_MAX: Final = 512 * 1024
"""Of each container or part."""
CONTAINERS_MAX: Final = 300
CONFIG_MAP_CHARACTERS_MAX: Final = 64 * 1024
"""A dashboard or genesis is larger, is the same everywhere or public, and helps nobody here."""
EVENTS_MAX: Final = 1_000

Files = Iterator[tuple[str, bytes]]


def write_bundle(path: Path, files: Files) -> int:
    """Write a compressed archive that only its owner may read; the number of its files.

    Raises:
        OSError: it cannot be written, or exists; nothing is left behind.
    """
    count = 0
    file = path.open("xb")
    try:
        path.chmod(0o600)
        with file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, content in files:
                member = tarfile.TarInfo(f"{path.name.partition('.')[0]}/{name}")
                member.size, member.mtime, member.mode = len(content), int(time.time()), 0o600
                archive.addfile(member, io.BytesIO(content))
                count += 1
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return count


def release_files(asked: Asked, state: ReleaseState, findings: list[Finding]) -> Files:
    """Findings, objects, events, metrics and logs of a release."""
    yield from _findings(findings)
    yield (
        "versions.json",
        redacted_json({"kubernetes": state.version, "icn": _version(), "images": _images(state)}),
    )
    yield "faults.json", redacted_json(state.faults)
    yield "validators.json", redacted_json(state.validators)
    yield "secrets.json", redacted_json({name: sorted(keys) for name, keys in state.secret_keys.items()})
    for kind, objects in state.objects.items():
        if kind == "configmaps":
            objects = [_shortened(one) for one in objects]  # noqa: PLW2901
        elif kind == "events":
            objects = objects[-EVENTS_MAX:]  # noqa: PLW2901
        yield f"objects/{kind}.json", redacted_json(objects)
    for name, text in state.metrics.items():
        yield f"metrics/{name.replace('/', '.')}.txt", redact(text).encode()
    for pod, container, restarts in list(_containers(state))[:CONTAINERS_MAX]:
        for is_previous in (False, True) if restarts else (False,):
            try:
                text = asked.logs(pod, container, LOG_LINES_MAX, is_previous=is_previous)
            except KubectlFailed as failed:
                text = f"no log: {failed}\n"
            suffix = ".previous" if is_previous else ""
            yield f"logs/{pod}.{container}{suffix}.log", redact(text[-LOG_CHARACTERS_MAX:]).encode()


def platform_files(network: Network, findings: list[Finding]) -> Files:
    """Findings, addresses and logs of an embedded platform."""
    from icn_localnet.processes import tail

    yield from _findings(findings)
    yield "versions.json", redacted_json({"icn": _version()})
    network_file = json.loads((network.directory / "network.json").read_text("utf-8"))
    yield "network.json", redacted_json(network_file)
    for part in network.processes:
        if (log := log_of(network, part)) is not None:
            yield f"logs/{part}.log", redact(tail(log, LOG_CHARACTERS_MAX)).encode()


def _findings(findings: list[Finding]) -> Files:
    yield "findings.json", redacted_json([finding.to_dict() for finding in findings])


def _shortened(config_map: dict[str, object]) -> dict[str, object]:
    held = config_map.get("data")
    if not isinstance(held, dict):
        return config_map
    kept = {
        key: f"[{len(text)} characters]"
        if len(text) > CONFIG_MAP_CHARACTERS_MAX or key == "genesis.json"
        else text
        for key, text in held.items()
    }
    return {**config_map, "data": kept}


def _containers(state: ReleaseState) -> Iterator[tuple[str, str, int]]:
    for pod in state.of("pods"):
        status = pod["status"]
        for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            yield pod["metadata"]["name"], one["name"], one["restartCount"]


def _images(state: ReleaseState) -> list[str]:
    return sorted(
        {
            str(one.get("image"))
            for pod in state.of("pods")
            for one in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
        }
    )


def _version() -> str:
    from importlib.metadata import version

    return version("icn-client")
