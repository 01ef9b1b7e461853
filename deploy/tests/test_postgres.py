"""The bundled Postgres is set as the one that every other test runs on."""

from __future__ import annotations

import re
from pathlib import Path

from icn_localnet.postgres_settings import SETTINGS

CONFIGURATION = (
    Path(__file__).resolve().parents[1] / "helm" / "icn" / "files" / "postgres" / "postgresql.conf"
)
OF_THE_CHART = {"max_connections", "unix_socket_directories"}
"""Two gateways and their like want more; where the socket is."""
OF_LOCALNET = {"unix_socket_permissions", "wal_recycle", "autovacuum", "listen_addresses"}
"""Its socket lies in a folder of its own; the next two are Postgres' defaults; the last is an argument in the
chart, since one in the file that an argument differs from is an error at each reload."""


def test_both_are_durable_and_small_in_the_same_way() -> None:
    found = dict(re.findall(r"^(\w+) = '(.*)'$", CONFIGURATION.read_text("utf-8"), re.MULTILINE))
    ours = {name: value for name, value in found.items() if name not in OF_THE_CHART}
    theirs = {name: SETTINGS[name] for name in SETTINGS if name not in OF_THE_CHART | OF_LOCALNET}
    assert ours == theirs
