"""Settings of the ledger, all from the environment (``ICN_LEDGER_…``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from icn_kit.password import Password, password_of
from icn_kit.settings import DatabaseUrl, ServiceSettings
from icn_kit.tls import TlsFiles
from pydantic import Field, SecretStr, model_validator


class LedgerSettings(ServiceSettings, service="ledger"):
    """What a ledger needs to know. It holds no key but its own TLS key."""

    genesis: Path
    """The zone's genesis file."""
    database_url: DatabaseUrl
    """The validator's own Postgres, as the role ``ledger``."""
    application_address: Annotated[str, Field(max_length=256)] = ""
    """Where its consensus calls: ``unix:/path``, in a folder that only this validator can enter. Empty where
    consensus is in the same process."""
    address: Annotated[str, Field(min_length=3, max_length=256)]
    """Where LedgerService listens, ``host:port``."""

    vm_address: str = ""
    """Where its vm listens: ``unix:/path``; empty: contract calls cannot be executed."""

    checkpoint: Path | None = None
    """A file that ``icn proof checkpoint`` wrote. Another validator's snapshot is taken only if its history
    comes by it: keys that left their seats long ago may have been stolen, and could sign another history from
    genesis on. Get one from somebody you trust; it matters only while this ledger has executed nothing."""

    nats_url: str = ""
    """``nats://host:port``, or ``tls://host:port`` for mutual TLS; empty: events stay in the outbox."""
    nats_user: str = ""
    nats_password: SecretStr = SecretStr("")
    nats_password_file: Path | None = None
    """Where the password is instead; read again for each connection, so that it may be changed."""
    nats_stream_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Servers of a NATS cluster that keep each stream."""
    name: str = "ledger"
    """Shown to people: on the bus and as holder of the relay's lease."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_authority: Path | None = None
    """Mutual TLS of LedgerService: all three or none."""
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Metrics and probes where the ledger is a process of its own; 0 takes a free port."""

    @model_validator(mode="after")
    def _check(self) -> LedgerSettings:
        files = (self.tls_certificate, self.tls_key, self.tls_authority)
        if any(files) and not all(files):
            raise ValueError("tls_certificate, tls_key and tls_authority go together")
        return self

    @property
    def bus_password(self) -> Password | None:
        """As `icn_kit.bus.Bus.connect` wants it."""
        return password_of(self.nats_password, self.nats_password_file)

    @property
    def tls(self) -> TlsFiles | None:
        """Files for mutual TLS, None for plain text over loopback."""
        if self.tls_certificate and self.tls_key and self.tls_authority:
            return TlsFiles(self.tls_certificate, self.tls_key, self.tls_authority)
        return None
