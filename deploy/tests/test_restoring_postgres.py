"""The scripts of the bundled Postgres: what it is restored from, and what is refused, without a cluster."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from icn_localnet.postgres_binaries import find_postgres
from icn_localnet.processes import can_enter_user_namespace

FILES = Path(__file__).resolve().parents[1] / "helm" / "icn" / "files" / "postgres"
FOLDERS = {
    "/var/lib/postgresql": "volume",
    "/run/passwords": "passwords",
    "/run/postgres": "run",
    "/etc/postgresql": "etc",
}
"""Where the scripts have in a pod what lies in a folder of the test's own here."""
ROLES = "ledger vm"
START_SECONDS_MAX = 60.0
BASE_BACKUP = (
    "pg_basebackup", "--pgdata=-", "--format=tar", "--gzip", "--wal-method=fetch", "--checkpoint=fast",
)  # fmt: skip


class Pod:
    """One volume, and the scripts that work on it."""

    def __init__(self, home: Path, password: str) -> None:
        self.home = home
        for folder in FOLDERS.values():
            (home / folder).mkdir(parents=True)
        for name in ("administrator", *ROLES.split()):
            (home / "passwords" / f"{name}-password").write_text(f"{password}-{name}\n", "ascii")
        for file in FILES.iterdir():
            text = file.read_text("utf-8")
            for there, here in FOLDERS.items():
                text = text.replace(there, str(home / here))
            (home / "etc" / file.name).write_text(text, "utf-8")
        (home / "etc" / "pg_hba.conf").write_text(
            "local all all scram-sha-256\nlocal replication icn_administrator scram-sha-256\n", "ascii"
        )

    def command(self, script: str, *arguments: str) -> list[str]:
        """As a user who is not root."""
        shell = ["/bin/sh", str(self.home / "etc" / script), *arguments]
        if os.geteuid() != 0:
            return shell
        launch = [sys.executable, "-m", "icn_localnet.launch", "--identity", "namespace"]
        return [
            *launch,
            "--parent",
            str(os.getpid()),
            "--death-signal",
            str(signal.SIGKILL.value),
            "--",
            *shell,
        ]

    def environment(self, *, restores: bool = False) -> dict[str, str]:
        """As the chart sets it."""
        programs = find_postgres(extensions=("btree_gist",)).directory
        return {
            "PATH": f"{programs}:/usr/bin:/bin",
            "ROLES": ROLES,
            "RESTORE": str(restores).lower(),
            "LC_ALL": "C",
        }

    def run(self, script: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Until it ends."""
        return subprocess.run(
            self.command(script, *arguments),
            env=self.environment(), input=given, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    def ask(self, query: str) -> str:
        """One value, as the administrator."""
        done = self.run("administrator.sh", "psql", "--tuples-only", "--no-align", "-c", query)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    @contextmanager
    def serving(self, *, restores: bool = False) -> Iterator[Path]:
        """While it runs; the file of what it says."""
        log = self.home / "log"
        with log.open("wb") as said:
            server = subprocess.Popen(
                self.command("start.sh", "-c", "listen_addresses="),
                env=self.environment(restores=restores),
                stdout=said,
                stderr=said,
            )
        try:
            yield log
        finally:
            server.terminate()
            server.wait(30)

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while self.run("administrator.sh", "pg_isready", "--quiet").returncode != 0:
            assert time.monotonic() < deadline, (self.home / "log").read_text("utf-8")
            time.sleep(0.2)


@pytest.fixture(autouse=True)
def _not_as_root() -> None:
    if os.geteuid() == 0 and not can_enter_user_namespace():
        pytest.skip("Postgres does not run as root, and user namespaces are forbidden here")


@pytest.fixture
def backup(tmp_path: Path) -> bytes:
    """Of a server with one row of the ledger, made while it serves."""
    pod = Pod(tmp_path / "original", "old")
    with pod.serving():
        pod.wait()
        pod.ask("CREATE TABLE ledger.kept AS SELECT 7 AS seven")
        done = pod.run("administrator.sh", *BASE_BACKUP)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_server_that_is_to_be_restored_waits_and_then_has_all_with_the_passwords_of_its_own_secret(
    tmp_path: Path, backup: bytes
) -> None:
    pod = Pod(tmp_path / "restored", "new")
    with pod.serving(restores=True) as log:
        time.sleep(2)
        assert "waiting for a base backup" in log.read_text("utf-8")
        assert pod.run("administrator.sh", "pg_isready", "--quiet").returncode != 0
        done = pod.run("restore.sh", given=backup)
        assert done.returncode == 0, done.stderr
        pod.wait()
        assert pod.ask("SELECT seven FROM ledger.kept") == "7"
        again = pod.run("restore.sh", given=backup)
        assert again.returncode == 1 and b"has a cluster already" in again.stderr
        assert pod.ask("SELECT seven FROM ledger.kept") == "7"
    with pod.serving(restores=True):
        pod.wait()


def test_a_server_that_waits_for_its_backup_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    pod = Pod(tmp_path / "restored", "new")
    with pod.serving(restores=True) as log:
        deadline = time.monotonic() + START_SECONDS_MAX
        while "waiting for a base backup" not in log.read_text("utf-8"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert not list((pod.home / "volume").glob("cluster*"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[: len(packed) // 2],
        lambda packed: gzip.compress(gzip.decompress(packed).replace(b"PG_VERSION", b"PG_VERSIOM", 1), 1),
        lambda _packed: b"",
    ],
    ids=["cut off", "a file missing", "empty"],
)
def test_a_backup_that_is_not_whole_is_refused_and_leaves_the_volume_empty(
    tmp_path: Path, backup: bytes, damage: Callable[[bytes], bytes]
) -> None:
    pod = Pod(tmp_path / "restored", "new")
    done = pod.run("restore.sh", given=damage(backup))
    assert done.returncode != 0 and done.stderr
    assert not (pod.home / "volume" / "cluster").exists()
    assert pod.run("restore.sh", given=backup).returncode == 0, "and the whole one is taken afterwards"
