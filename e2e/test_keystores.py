"""No process of the platform can open members' keystores: it is not told of them and does not need them."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from icn_localnet import processes
from icn_localnet.parts import stages

SECRETS = {"ICN_PASSPHRASE", "ICN_PASSPHRASE_FILE", "ICN_KEYSTORE"}
PRIVATE_FILES = ("*.json", "passphrase")
"""In a folder of keystores."""
TEXT_BYTES_MAX = 4 * 1024 * 1024


def processes_of(platform: Any) -> Iterator[tuple[str, psutil.Process]]:
    """Every process of the platform with its part's name: supervisor, parts, and all their children."""
    supervisor = psutil.Process(
        json.loads((platform.directory / "network.json").read_text())["supervisor_pid"]
    )
    names = {part["pid"]: name for name, part in platform.processes().items()}
    yield "supervisor", supervisor
    for process in supervisor.children(recursive=True):
        owner = process
        while owner.pid not in names and owner.pid != supervisor.pid and (above := owner.parent()):
            owner = above
        yield names.get(owner.pid, "supervisor"), process


def open_paths(process: psutil.Process) -> list[str]:
    """Everything that the process holds open or has mapped, its own folder and program too."""
    home = Path("/proc") / str(process.pid)
    links = [home / "cwd", home / "exe", *(home / "fd").iterdir()]
    found = []
    for link in links:
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue  # closed meanwhile
    mapped = [line.split(maxsplit=5)[5] for line in (home / "maps").read_text().splitlines() if "/" in line]
    return [*found, *mapped]


@pytest.fixture
def keystores(federation: Any) -> Path:
    """Where the founders' keys are."""
    folder: Path = federation.directory / "keystores"
    assert list(folder.glob("*.json")), "the founders have keystores"
    return folder


def test_every_part_has_processes_that_are_looked_at(federation: Any) -> None:
    seen = {name for name, _ in processes_of(federation)}
    assert seen == {"supervisor", *federation.processes()}
    assert {
        "identity",
        "governance",
        "marketplace",
        "reputation",
        "gateway",
        "nats",
        "postgres-shared",
    } <= seen
    assert {f"{kind}-{seat}" for kind in ("validator", "vm", "postgres") for seat in range(4)} <= seen


def test_no_process_is_told_of_a_keystore_or_holds_one_open(federation: Any, keystores: Path) -> None:
    secrets = [(keystores / "passphrase").read_text().strip(), str(keystores)]
    for name, process in processes_of(federation):
        try:
            arguments, environment, paths = process.cmdline(), process.environ(), open_paths(process)
        except (psutil.NoSuchProcess, FileNotFoundError):
            continue  # a server's helper that has ended
        for secret in secrets:
            assert not any(secret in argument for argument in arguments), name
            assert not any(secret in value for value in environment.values()), name
        assert not SECRETS & environment.keys(), name
        assert not any(path.startswith(str(keystores)) for path in paths), name


def test_the_kernel_lets_no_part_open_a_keystore_or_what_is_another_parts(
    federation: Any, keystores: Path, tmp_path: Path
) -> None:
    network = federation.network
    parts = {name: part for stage in stages(network) for name, part in stage.parts.items()}
    assert parts.keys() == federation.processes().keys()
    private = [path for pattern in PRIVATE_FILES for path in keystores.glob(pattern)]
    private += network.directory.glob("validator-*/keys/*.json")
    private += [network.shared_directory / "authority" / "authority.key"]
    program = (
        "import sys\nfor path in sys.argv[1:]:\n  try: open(path)\n  except PermissionError: print(path)"
    )
    for name, part in parts.items():
        log = tmp_path / f"{name}.log"
        command = [sys.executable, "-I", "-S", "-c", program, *map(str, private)]
        assert processes.spawn(command, log=log, confinement=part.confinement).wait(60) == 0
        own = network.directory / name / "keys"
        closed = {str(path) for path in private if path.parent != own}
        assert set(log.read_text().splitlines()) == closed, name


def test_every_process_of_a_part_runs_confined(federation: Any) -> None:
    for name, process in processes_of(federation):
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):  # a server's helper that has ended
            status = Path(f"/proc/{process.pid}/status").read_text()
            # Landlock shows nothing of itself in /proc but what it asks for first.
            assert ("NoNewPrivs:\t1" in status) == (name != "supervisor"), name


def test_no_file_that_the_platform_reads_names_a_keystore(federation: Any, keystores: Path) -> None:
    passphrase = (keystores / "passphrase").read_bytes().strip()
    looked_at = 0
    for folder, folders, names in os.walk(federation.directory):
        folders[:] = [
            one
            for one in folders
            if Path(folder) / one != keystores and one not in ("base", "pg_wal", "store")
        ]
        for name in names:
            path = Path(folder) / name
            if not path.is_file() or path.stat().st_size > TEXT_BYTES_MAX:
                continue
            content = path.read_bytes()
            assert str(keystores).encode() not in content, path
            assert passphrase not in content, path
            looked_at += 1
    assert looked_at > 100


def test_only_their_owner_can_read_keystores(keystores: Path) -> None:
    assert stat.S_IMODE(keystores.stat().st_mode) == 0o700
    files = [path for pattern in PRIVATE_FILES for path in keystores.glob(pattern)]
    assert len(files) >= 5
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert path.stat().st_uid == os.getuid(), path


def test_what_a_process_keeps_for_itself_is_private_too(federation: Any) -> None:
    found = [
        path
        for pattern in (
            "validator-*/keys/*.json",
            "*/tls/key.pem",
            "shared/*/tls/key.pem",
            "shared/*/sealing.key",
        )
        for path in federation.directory.glob(pattern)
    ]
    assert len(found) >= 8
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_every_process_starts_and_serves_while_the_keystores_are_gone(
    federation: Any, keystores: Path, icn: Any
) -> None:
    aside = keystores.with_name("elsewhere")
    keystores.rename(aside)
    try:
        for name in ("identity", "governance", "marketplace", "reputation", "gateway", "vm-0", "validator-1"):
            federation.kill_process(name)
        with httpx.Client(base_url=federation.gateway_url, timeout=60) as client:
            assert client.get("/v1/validators").status_code == 200
        assert all(part["state"] == "running" for part in federation.processes().values())
    finally:
        aside.rename(keystores)
    assert icn("status", "--data", str(federation.directory)).returncode == 0
