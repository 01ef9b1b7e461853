"""Ledgers over real databases."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from icn_localnet.pytest_plugin import DatabaseFor


@pytest.fixture
def dsn(database_for: DatabaseFor) -> str:
    """Connection string of a fresh database with the ledger's tables."""
    return database_for("icn_ledger")


Query = Callable[..., list[tuple[object, ...]]]


@pytest.fixture
def query(dsn: str) -> Query:
    """Runs one statement in the ledger's schema, on a connection of its own."""

    def run(text: str, *parameters: object) -> list[tuple[object, ...]]:
        with psycopg.connect(dsn, autocommit=True, options="-c search_path=ledger") as connection:
            cursor = connection.execute(text, parameters)
            return cursor.fetchall() if cursor.description else []

    return run
