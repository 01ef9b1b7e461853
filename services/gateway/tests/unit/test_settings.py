from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from icn_gateway.settings import GatewaySettings
from pydantic import ValidationError

VALIDATORS = [
    {"seat": seat, "consensus": f"127.0.0.1:{7_000 + seat}", "ledger": f"127.0.0.1:{7_100 + seat}"}
    for seat in range(4)
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    def set_(**values: str) -> None:
        for name, value in {
            "GENESIS": "/zone/genesis.json",
            "VALIDATORS": json.dumps(VALIDATORS),
            **values,
        }.items():
            monkeypatch.setenv(f"ICN_GATEWAY_{name}", value)

    return set_


def settings() -> GatewaySettings:
    return GatewaySettings()  # type: ignore[call-arg]


def test_genesis_and_validators_are_enough(environment: Any) -> None:
    environment()
    assert settings().genesis == Path("/zone/genesis.json")
    assert [address.ledger for address in settings().addresses] == [item["ledger"] for item in VALIDATORS]
    assert settings().tls is None


def test_tls_files_go_together(environment: Any) -> None:
    environment(TLS_CERTIFICATE="/a", TLS_KEY="/b", TLS_AUTHORITY="/c")
    tls = settings().tls
    assert tls is not None
    assert tls.key == Path("/b")


@pytest.mark.parametrize(
    "values",
    [
        {"TLS_CERTIFICATE": "/a"},
        {"VALIDATORS": "[]"},
        {"VALIDATORS": json.dumps([VALIDATORS[0], VALIDATORS[0]])},
        {"VALIDATORS": json.dumps([{**VALIDATORS[0], "seat": 50}])},
        {"VALIDATORS": json.dumps([{**VALIDATORS[0], "key": "x"}])},
        {"PORT": "0"},
        {"REQUESTS_PER_SECOND": "0"},
        {"TRUSTED_PROXY_HOPS": "-1"},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(environment: Any, values: dict[str, str]) -> None:
    environment(**values)
    with pytest.raises(ValidationError):
        settings()


def test_a_password_does_not_show_when_settings_are_printed(environment: Any) -> None:
    environment(NATS_PASSWORD="tell-nobody")
    assert "tell-nobody" not in repr(settings())
