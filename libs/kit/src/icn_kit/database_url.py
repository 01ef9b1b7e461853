"""How a Postgres is addressed, and what of it may be told."""

from __future__ import annotations


def check_database_url(url: str) -> None:
    """Refuse what libpq does not understand, without saying what it is: a password may be in it.

    Raises:
        ValueError: see there.
    """
    from psycopg import ProgrammingError  # stays out of processes that only name the type
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(url)
    except ProgrammingError:
        raise ValueError(
            "is not how Postgres is addressed: postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE, with %XX for "
            "what of the password is no letter, digit, - or _"
        ) from None


def database_place(url: str) -> str:
    """Role, server and database of an address that `check_database_url` takes; never its password."""
    from psycopg.conninfo import conninfo_to_dict

    named = conninfo_to_dict(url)
    server = f"{named.get('host', 'localhost')}:{named.get('port', 5432)}"
    return f"as role {named.get('user')} of {server}, database {named.get('dbname')}"
