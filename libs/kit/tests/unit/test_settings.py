from __future__ import annotations

import pytest
from icn_kit.database_url import check_database_url, database_place
from icn_kit.lifecycle import EXIT_FATAL
from icn_kit.settings import DatabaseUrl, ServiceSettings, read_settings
from pydantic import BaseModel, ValidationError


class Consensus(BaseModel):
    seat: int = 0


class LedgerSettings(ServiceSettings, service="ledger"):
    database_url: str
    pool_size: int = 4
    consensus: Consensus = Consensus()


class GatewaySettings(ServiceSettings, service="gateway"):
    database_url: str = "none"


def test_settings_come_from_variables_with_the_name_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICN_LEDGER_DATABASE_URL", "postgresql:///ledger")
    monkeypatch.setenv("ICN_LEDGER_CONSENSUS__SEAT", "3")
    settings = LedgerSettings()
    assert (settings.database_url, settings.pool_size, settings.consensus.seat) == (
        "postgresql:///ledger",
        4,
        3,
    )
    assert GatewaySettings().database_url == "none"


def test_settings_do_not_change_after_the_start() -> None:
    settings = GatewaySettings()
    with pytest.raises(ValidationError):
        settings.database_url = "other"


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ValidationError, match="database_url"):
        LedgerSettings()


def test_a_wrong_value_is_not_repeated_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICN_LEDGER_DATABASE_URL", "postgresql:///ledger")
    monkeypatch.setenv("ICN_LEDGER_POOL_SIZE", "hunter2")
    with pytest.raises(ValidationError, match="pool_size") as refused:
        LedgerSettings()
    assert "hunter2" not in str(refused.value)


class HostSettings(ServiceSettings, service="host"):
    database_url: DatabaseUrl
    seats: int


def test_a_process_with_wrong_settings_ends_and_names_each_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ICN_HOST_DATABASE_URL", "postgresql//host:hunter2@icn-postgres")
    with pytest.raises(SystemExit) as ended:
        read_settings(HostSettings)
    assert ended.value.code == EXIT_FATAL
    said = capsys.readouterr().out
    assert "ICN_HOST_DATABASE_URL: Value error, is not how Postgres is addressed" in said
    assert "ICN_HOST_SEATS: Field required" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "url",
    ["postgresql://host:secret@icn-postgres:5432/icn?sslmode=verify-full", "host=/run/postgres user=vm", ""],
)
def test_an_address_that_libpq_takes_is_taken(url: str) -> None:
    check_database_url(url)


@pytest.mark.parametrize("url", ["hunter2", "host=a sslmood=x", "postgresql://host:%zz@a/b"])
def test_one_that_libpq_does_not_take_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE") as refused:
        check_database_url(url)
    assert "hunter2" not in str(refused.value)


def test_of_an_address_everything_but_the_password_is_told() -> None:
    assert (
        database_place("postgresql://host:hunter2@icn-postgres:5432/icn")
        == "as role host of icn-postgres:5432, database icn"
    )
