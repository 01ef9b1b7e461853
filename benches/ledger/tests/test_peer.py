"""The peer does what a ledger must: floors, both balances, and a repeated call that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from icn_localnet.postgres import PostgresServer

from benches.ledger.peer import ACCOUNTS_OPENED, SQL

MEMO = bytes(32)
FLOOR_MINOR = -100


@pytest.fixture
def connection(database_for: Any, postgres_server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    name = psycopg.conninfo.conninfo_to_dict(database_for("icn_ledger"))["dbname"]
    with postgres_server.connect(str(name)) as connection:
        connection.execute("CREATE SCHEMA peer; SET search_path = peer")
        connection.execute(SQL.read_text())
        connection.execute(ACCOUNTS_OPENED, [FLOOR_MINOR, 3])
        yield connection
        connection.execute("DROP SCHEMA peer CASCADE")


def transfer(connection: psycopg.Connection[Any], wanted: int, payer: int, payee: int, amount: int) -> int:
    row = connection.execute(
        "SELECT transfer(%s, %s, %s, %s, %s)", [wanted, payer, payee, amount, MEMO]
    ).fetchone()
    assert row is not None
    return int(row[0])


def balances(connection: psycopg.Connection[Any]) -> list[tuple[int, int]]:
    return connection.execute("SELECT balance_minor, entries FROM accounts ORDER BY account").fetchall()


def test_a_transfer_moves_both_balances_whichever_way_it_goes(connection: psycopg.Connection[Any]) -> None:
    assert transfer(connection, 1, 1, 2, 60) == -60
    assert transfer(connection, 2, 3, 2, 5) == -5
    assert balances(connection) == [(-60, 1), (65, 2), (-5, 1)]


def test_the_floor_may_be_reached_and_not_passed(connection: psycopg.Connection[Any]) -> None:
    assert transfer(connection, 1, 3, 1, 100) == FLOOR_MINOR
    for payee in (1, 2):
        with pytest.raises(psycopg.errors.CheckViolation):
            transfer(connection, 2, 3, payee, 1)
    assert balances(connection) == [(100, 1), (0, 0), (-100, 1)]


def test_a_repeated_call_changes_nothing_and_gets_the_first_answer(
    connection: psycopg.Connection[Any],
) -> None:
    assert transfer(connection, 1, 1, 2, 10) == -10
    assert transfer(connection, 2, 1, 2, 10) == -20
    assert transfer(connection, 1, 1, 2, 10) == -10
    assert balances(connection) == [(-20, 2), (20, 2), (0, 0)]
