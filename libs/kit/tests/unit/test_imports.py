"""Processes stay small because no module of the kit brings what its users do not need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("grpc", "sqlalchemy", "alembic", "pydantic", "pydantic_settings", "nats", "psycopg", "opentelemetry")
ALLOWED = {
    "bus": {"nats"},
    "channel": {"grpc"},
    "clock": set(),
    "database": {"psycopg"},
    "envelope": set(),
    "errors": set(),
    "inbox": {"nats", "psycopg"},
    "interceptor": {"grpc"},
    "lease": {"nats"},
    "lifecycle": set(),
    "migrate": set(),
    "outbox": {"psycopg"},
    "relay": {"nats", "psycopg"},
    "saga": set(),
    "server": {"grpc"},
    "settings": {"pydantic", "pydantic_settings"},
    "telemetry": set(),
    "tls": set(),
    "trace": set(),
    "unit_of_work": {"psycopg"},
}


@pytest.mark.parametrize("module", sorted(ALLOWED))
def test_a_module_brings_only_what_it_needs(module: str) -> None:
    program = (
        f"import json, sys, icn_kit.{module}; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(json.loads(finished.stdout)) <= ALLOWED[module]
