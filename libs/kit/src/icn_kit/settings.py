"""Settings of a service, read from the environment in ``main.py`` and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import structlog
from icn_chain.quorum import SEATS_MAX
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from icn_kit.database_url import check_database_url
from icn_kit.lifecycle import EXIT_FATAL, leave_reason
from icn_kit.password import Password, password_of
from icn_kit.preference import ValidatorAddress
from icn_kit.tls import TlsFiles

Address = Annotated[str, Field(min_length=3, max_length=256)]
"""``host:port`` or ``unix:/path``."""

_log = structlog.get_logger(__name__)


def _checked_database_url(url: SecretStr) -> SecretStr:
    check_database_url(url.get_secret_value())
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(_checked_database_url)]
"""How a role reaches its Postgres, as libpq takes it."""


class ServiceSettings(BaseSettings):
    """Base of a service's settings; frozen, unknown names refused.

    A subclass names its service and so its prefix::

        class LedgerSettings(ServiceSettings, service="ledger"):
            database_url: str          # ICN_LEDGER_DATABASE_URL

    Raises:
        pydantic.ValidationError: a value is missing or wrong; the message names the variable, not its value.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __init_subclass__(cls, *, service: str = "", **keywords: Any) -> None:
        super().__init_subclass__(**keywords)

    @classmethod
    def __pydantic_init_subclass__(cls, *, service: str = "", **keywords: Any) -> None:
        super().__pydantic_init_subclass__(**keywords)
        if service:
            cls.model_config["env_prefix"] = f"ICN_{service.upper()}_"
            cls.model_config["env_nested_delimiter"] = "__"


AnySettings = TypeVar("AnySettings", bound=ServiceSettings)


def read_settings(settings_type: type[AnySettings]) -> AnySettings:
    """The settings of this process, from its environment. Where one is missing or wrong the process ends, and
    tells which by the name of its variable, never by its value.
    """
    try:
        return settings_type()
    except ValidationError as error:
        prefix = str(settings_type.model_config.get("env_prefix", ""))
        wrong = "; ".join(
            f"{prefix}{'__'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()
        )
        why = f"settings are missing or wrong: {wrong}"
        _log.critical("process failed", why=why)
        leave_reason(why)
        sys.exit(EXIT_FATAL)


class ValidatorSettings(BaseModel):
    """Where one validator listens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seat: Annotated[int, Field(ge=0, lt=SEATS_MAX)]
    consensus: Address
    """Of its ConsensusService."""
    ledger: Address
    """Of its LedgerService."""
    server_name: str = ""
    """Name in its certificate, where it differs from the host."""


class HostedSettings(ServiceSettings):
    """What every service of the host is told; it is given no key of anybody but its own TLS key.

    A service names itself and adds what is its own::

        class IdentitySettings(HostedSettings, service="identity"): ...
    """

    genesis: Path
    """The zone's genesis file."""
    validators: Annotated[tuple[ValidatorSettings, ...], Field(min_length=1, max_length=SEATS_MAX)]
    """As JSON: ``[{"seat": 0, "consensus": "127.0.0.1:7001", "ledger": "127.0.0.1:7001"}, …]``."""
    database_url: DatabaseUrl
    """The host's Postgres, as the role and schema of the service's name."""
    sealing_key_file: Path
    """32 private bytes, under which the keys of subjects are kept (docs/spec/blobs.md)."""
    address: Address
    """Where the service listens."""
    services: Mapping[str, Address] = {}
    """Addresses of the services of the host by name, as JSON, this one included."""

    nats_url: str
    """``nats://host:port``, or ``tls://host:port`` for mutual TLS with the files below."""
    nats_user: str = ""
    nats_password: SecretStr = SecretStr("")
    nats_password_file: Path | None = None
    """Where the password is instead; read again for each connection, so that it may be changed."""
    nats_stream_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Servers of a NATS cluster that keep each stream."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_authority: Path | None = None
    """Mutual TLS towards callers and called: all three or none."""
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Private door for metrics and probes; 0 takes a free port."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        seats = [validator.seat for validator in self.validators]
        if len(set(seats)) != len(seats):
            raise ValueError("validators: a seat is listed twice")
        tls_files(self.tls_certificate, self.tls_key, self.tls_authority)
        return self

    @property
    def bus_password(self) -> Password | None:
        """As `icn_kit.bus.Bus.connect` wants it."""
        return password_of(self.nats_password, self.nats_password_file)

    @property
    def tls(self) -> TlsFiles | None:
        """Files for mutual TLS, None for plain text over loopback."""
        return tls_files(self.tls_certificate, self.tls_key, self.tls_authority)

    @property
    def validator_addresses(self) -> tuple[ValidatorAddress, ...]:
        """Where the validators listen."""
        return validator_addresses(self.validators)


def validator_addresses(validators: tuple[ValidatorSettings, ...]) -> tuple[ValidatorAddress, ...]:
    """The settings as `icn_kit.validators` wants them."""
    return tuple(
        ValidatorAddress(validator.seat, validator.consensus, validator.ledger, validator.server_name)
        for validator in validators
    )


def tls_files(certificate: Path | None, key: Path | None, authority: Path | None) -> TlsFiles | None:
    """The three files together, None where there are none.

    Raises:
        ValueError: some are given and some are not.
    """
    if certificate and key and authority:
        return TlsFiles(certificate, key, authority)
    if certificate or key or authority:
        raise ValueError("tls_certificate, tls_key and tls_authority go together")
    return None
