"""Settings of consensus, all from the environment (``ICN_CONSENSUS_…``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from icn_kit.settings import DatabaseUrl, ServiceSettings
from icn_kit.tls import TlsFiles
from pydantic import Field, model_validator

from icn_consensus.usecases.pool import POOL_BYTES_MAX, POOL_TRANSACTIONS_MAX

Address = Annotated[str, Field(min_length=3, max_length=256)]


class ConsensusSettings(ServiceSettings, service="consensus"):
    """What a validator's consensus needs to know."""

    genesis: Path
    """The zone's genesis file."""
    key_file: Path
    """Who this validator is: it votes where a set names its key. JSON object with the 32-byte seed of each
    consensus key in hex: ``ed25519``, ``ml_dsa_65``."""
    given_key_file: Path | None = None
    """Where the key is given, if ``key_file`` is to be a copy of it (``icn-consensus bring-key``)."""
    key_notes: Annotated[str, Field(max_length=253)] = ""
    """With it: the ConfigMap of Kubernetes that keeps which record log a key votes with."""
    database_url: DatabaseUrl
    """The validator's own Postgres, as the role ``consensus``."""
    record_directory: Path
    """The write-ahead log, on a local disk; never restored from a backup."""
    application_address: Annotated[str, Field(max_length=256)] = ""
    """Where this validator's application listens: ``unix:/path``. Empty where it is in the same process."""
    address: Address
    """Where PeerService and ConsensusService listen, ``host:port``."""
    peers: Annotated[list[Address], Field(max_length=64)]
    """Where others listen, JSON in the environment. The own may be among them; who is missing has to dial."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_authority: Path | None = None
    """Mutual TLS between validators and with clients: all three or none."""
    pool_transactions_max: Annotated[int, Field(ge=1, le=1_000_000)] = POOL_TRANSACTIONS_MAX
    pool_bytes_max: Annotated[int, Field(ge=65_536)] = POOL_BYTES_MAX
    state_sync_heights_min: Annotated[int, Field(ge=1)] = 10_000
    """How far ahead another must be for a validator without a state to take theirs: a few minutes of
    executing. Below it every block is executed, which leaves the validator with all history."""
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Metrics and probes where consensus is a process of its own; 0 takes a free port."""

    @model_validator(mode="after")
    def _check(self) -> ConsensusSettings:
        files = (self.tls_certificate, self.tls_key, self.tls_authority)
        if any(files) and not all(files):
            raise ValueError("tls_certificate, tls_key and tls_authority go together")
        return self

    @property
    def tls(self) -> TlsFiles | None:
        """Files for mutual TLS, None for plain text over loopback."""
        if self.tls_certificate and self.tls_key and self.tls_authority:
            return TlsFiles(self.tls_certificate, self.tls_key, self.tls_authority)
        return None
