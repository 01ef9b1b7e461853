"""Asks a process of the platform from where it runs.

`icn doctor` sends this file to the Python of a container as it is (``python - ASKED``), whose image may be of
another release: it uses the standard library, and psycopg where the container has it. Of what it is asked it
answers one JSON object on stdout.
"""

import contextlib
import importlib.util
import json
import os
import re
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

CALL_SECONDS_MAX = 5.0
BODY_BYTES_MAX = 4 * 1024 * 1024


def answer_to(asked: dict[str, Any]) -> dict[str, Any]:
    """Look at all of ``urls``, ``paths``, ``connect`` (host:port) and ``package`` that are named."""
    began = time.time()
    return {
        "time_seconds": began,
        "bodies": {url: body_of(url) for url in asked.get("urls", ())},
        "volumes": {path: volume_of(path) for path in asked.get("paths", ()) if Path(path).exists()},
        "connected": can_connect(asked["connect"]) if asked.get("connect") else None,
        "schema": schema_of_package(asked["package"]) if asked.get("package") else None,
        "seconds": time.time() - began,
    }


def body_of(url: str) -> str | None:
    """What is answered there, whatever its status; None where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=CALL_SECONDS_MAX) as answer:  # noqa: S310 - ours
            return str(answer.read(BODY_BYTES_MAX).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return None


def volume_of(path: str) -> tuple[int, int]:
    """Size and free bytes of the volume that a path is on."""
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def can_connect(address: str) -> bool:
    """Whether somebody accepts a connection there."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), CALL_SECONDS_MAX):
        return True
    return False


def schema_of_package(package: str, dsn: str | None = None) -> dict[str, str]:
    """Revision of a service's schema and the newest that its code knows, or why they are not known."""
    schema = package.removeprefix("icn_")
    if dsn is None:
        dsn = os.environ.get(f"ICN_{schema.upper()}_DATABASE_URL", "")
    newest = newest_revision(package)
    import psycopg

    try:
        with psycopg.connect(dsn, connect_timeout=int(CALL_SECONDS_MAX)) as connection:
            row = connection.execute(
                f"SELECT version_num, coalesce(obj_description(to_regclass(%s)), '')"  # noqa: S608 - a package
                f' FROM "{schema}".schema_revision',
                [f'"{schema}".schema_revision'],
            ).fetchone()
    except psycopg.OperationalError as error:
        return {"schema": schema, "known": newest, "fault": " ".join(str(error).split())}
    except psycopg.Error as error:  # may quote the address
        return {"schema": schema, "known": newest, "fault": type(error).__name__}
    revision, oldest = row if row is not None else ("", "")
    return {"schema": schema, "revision": str(revision), "known": newest, "oldest": str(oldest)}


def newest_revision(package: str) -> str:
    """The newest of a package's migrations; empty where it has none."""
    specification = importlib.util.find_spec(package)
    if specification is None or specification.origin is None:
        return ""
    home = Path(specification.origin).parent
    found = [
        revision
        for folder in (home / "migrations", home.parent.parent / "migrations")
        for file in folder.glob("*.py")
        for revision in re.findall(r'^revision = "(\w+)"', file.read_text("utf-8"), re.MULTILINE)
    ]
    return max(found, default="")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer_to(json.loads(sys.argv[1]))))
