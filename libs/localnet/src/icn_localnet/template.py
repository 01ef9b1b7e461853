"""A Postgres cluster with every service's tables, made once and copied for each validator.

Making one takes seconds, copying it a tenth of one. Templates are kept in the user's cache, named after
everything they were made from; copies get passwords of their own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from icn_kit.migrate import schema_of, versions_folder_of
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from icn_localnet import files, processes
from icn_localnet.postgres import ADMINISTRATOR, DATABASE, PostgresServer
from icn_localnet.postgres_binaries import PostgresBinaries

COPIES_AT_ONCE = 4
TEMPLATES_KEPT = 6
"""Two of each revision (validators' and shared), and earlier ones for switching branches; 60 MB each."""
MIGRATION_SECONDS_MAX = 300.0
MARK = "migrated"
"""File beside a cluster that holds the key of the template it is level with."""


def cache_directory() -> Path:
    """Where templates are kept: ICN_CACHE, else ``icn`` in the user's cache."""
    if "ICN_CACHE" in os.environ:
        return Path(os.environ["ICN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "icn"


def make_clusters(servers: Sequence[PostgresServer], packages: Sequence[str]) -> None:
    """Fill stopped, empty servers with copies of the template for ``packages``.

    Raises:
        PostgresUnavailable, ProcessFailed: the template cannot be made.
    """
    if not servers:
        return
    key = template_key(servers[0].binaries(), packages)
    roles = [ADMINISTRATOR, *map(schema_of, packages)]

    def fill(server: PostgresServer, cluster: Path) -> None:
        server.adopt(cluster)
        server.set_passwords(roles)

    with _template(key, packages) as cluster, ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        for filled in [pool.submit(fill, server, cluster) for server in servers]:
            filled.result()
    for directory in {server.directory.stat().st_dev: server.directory for server in servers}.values():
        files.sync_file_system(directory)
    for server in servers:
        files.write_atomically(server.directory / MARK, key.encode())


def is_made(server: PostgresServer) -> bool:
    """Whether `make_clusters` went through to its end for this server."""
    return (server.directory / MARK).is_file()


def migrate_again(server: PostgresServer, packages: Sequence[str]) -> None:
    """Bring the running ``server`` to the newest revision of each package, if it was made from an older one.

    Raises:
        ProcessFailed: a migration was refused; the message ends with why.
    """
    key = template_key(server.binaries(), packages)
    mark = server.directory / MARK
    if mark.is_file() and mark.read_text("ascii") == key:
        return
    for package in packages:
        server.create_role_and_schema(schema_of(package))
        migrate(package, server.dsn(schema_of(package)))
    files.write_atomically(mark, key.encode())


def migrate(package: str, dsn: str) -> None:
    """Run the migrations of ``package`` in a process of their own; a package without any is left alone.

    Raises:
        ProcessFailed: see `migrate_again`.
    """
    if not has_migrations(package):
        return
    values = conninfo_to_dict(dsn)
    password = str(values.pop("password"))  # the command line of a process is public, its environment is not
    processes.run_to_end(
        [sys.executable, "-m", "icn_kit.migrate", package, make_conninfo("", **values)],
        environment={**os.environ, "PGPASSWORD": password},
        timeout_seconds=MIGRATION_SECONDS_MAX,
    )


def has_migrations(package: str) -> bool:
    """Whether the package keeps tables."""
    try:
        versions_folder_of(package)
    except FileNotFoundError:
        return False
    return True


def template_key(binaries: PostgresBinaries, packages: Sequence[str]) -> str:
    """Name of everything a template is made from: the programs' version and each revision's text."""
    digest = hashlib.sha256(f"{binaries.major_version}\n".encode())
    for name in ("template.py", "postgres.py", "postgres_settings.py"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    for package in sorted(packages):
        digest.update(f"{package}\n".encode())
        if has_migrations(package):
            for revision in sorted(versions_folder_of(package).rglob("*.py")):
                digest.update(f"{revision.name}\n".encode() + revision.read_bytes())
    return digest.hexdigest()[:24]


@contextmanager
def _template(key: str, packages: Sequence[str]) -> Iterator[Path]:
    """The template's cluster, made if need be; it is not removed inside the block."""
    cache = cache_directory() / "postgres-template"
    try:
        files.make_private_directory(cache)
    except OSError:
        # A home that cannot be written, as service users have: use the template once.
        with tempfile.TemporaryDirectory(prefix="icn-template-") as directory:
            _make_template(Path(directory) / "template", packages)
            yield Path(directory) / "template" / "cluster"
        return
    template = cache / key
    with (cache / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (template / "complete").exists():
            _make_template(template, packages)
        (template / "complete").touch()
        forget_old(cache)
        fcntl.flock(lock, fcntl.LOCK_SH)  # others may copy at the same time, nobody may remove
        yield template / "cluster"


def _make_template(target: Path, packages: Sequence[str]) -> None:
    """Build a template in a temporary directory, where also nobody may work, and copy it to ``target``."""
    with tempfile.TemporaryDirectory(prefix="icn-template-") as directory:
        Path(directory).chmod(0o711)
        server = PostgresServer(Path(directory) / "postgres", on_any_thread=True)
        server.initialize()
        server.start()
        try:
            server.create_database(DATABASE)
            for package in packages:
                migrate(package, server.create_role_and_schema(schema_of(package)))
        finally:
            server.stop()
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copytree(server.data_directory, target / "cluster")
    files.sync_file_system(target)


def forget_old(cache: Path) -> None:
    """Keep the templates used last."""
    templates = sorted(
        (path for path in cache.iterdir() if (path / "complete").exists()),
        key=lambda path: (path / "complete").stat().st_mtime,
        reverse=True,
    )
    for template in templates[TEMPLATES_KEPT:]:
        shutil.rmtree(template, ignore_errors=True)
