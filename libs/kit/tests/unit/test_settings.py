from __future__ import annotations

import pytest
from icn_kit.settings import ServiceSettings
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
