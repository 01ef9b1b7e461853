"""Settings of the gateway, all from the environment (``ICN_GATEWAY_…``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from icn_chain.quorum import SEATS_MAX
from icn_kit.password import Password, password_of
from icn_kit.preference import ValidatorAddress
from icn_kit.settings import (
    Address,
    DatabaseUrl,
    ServiceSettings,
    ValidatorSettings,
    tls_files,
    validator_addresses,
)
from icn_kit.tls import TlsFiles
from pydantic import Field, SecretStr, model_validator

from icn_gateway.domain.rate_limit import REQUESTS_BURST, REQUESTS_PER_SECOND

ORIGIN = r"^https?://[a-z0-9.-]+(:[1-9][0-9]{0,4})?$"
"""Lower case, no path, no slash at the end: what a browser sends as Origin."""
REPOSITORY_WEB = Path(__file__).parents[4] / "web"
"""Where templates and style sheets are in a checkout; an image says where it has put them."""


class GatewaySettings(ServiceSettings, service="gateway"):
    """What a gateway needs to know; it is given no key of anybody but its own TLS key."""

    genesis: Path
    """The zone's genesis file."""
    validators: Annotated[tuple[ValidatorSettings, ...], Field(min_length=1, max_length=SEATS_MAX)]
    """As JSON: ``[{"seat": 0, "consensus": "127.0.0.1:7001", "ledger": "127.0.0.1:7001"}, …]``."""
    services: Mapping[str, Address] = {}
    """Addresses of the services of the host by name, as JSON: ``{"marketplace": "127.0.0.1:7101", …}``.
    One that is missing answers 503."""
    nats_url: str = ""
    """``nats://host:port``, or ``tls://host:port`` for mutual TLS; empty: no live events, all else works."""
    nats_user: str = ""
    nats_password: SecretStr = SecretStr("")
    nats_password_file: Path | None = None
    """Where the password is instead; read again for each connection, so that it may be changed."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8_080
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Private door for metrics and probes; 0 takes a free port."""
    trusted_proxy_hops: Annotated[int, Field(ge=0, le=8)] = 0
    """How many proxies of ours stand in front and append to X-Forwarded-For."""
    requests_per_second: Annotated[float, Field(gt=0)] = REQUESTS_PER_SECOND
    requests_burst: Annotated[float, Field(ge=1)] = REQUESTS_BURST
    database_url: DatabaseUrl = SecretStr("")
    """The host's Postgres, as the role and schema ``gateway``, for sessions; empty: nobody can sign in."""
    origins: tuple[Annotated[str, Field(pattern=ORIGIN)], ...] = ()
    """How members reach this gateway, as JSON: ``["https://icn.example"]``; the first is put into links.
    Empty: ``http://HOST:PORT``."""
    web_folder: Path = REPOSITORY_WEB
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the requests that are traced, of those whose caller has not decided it (`traceparent`)."""

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_authority: Path | None = None
    """Mutual TLS towards the validators: all three or none."""

    @model_validator(mode="after")
    def _check(self) -> GatewaySettings:
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
    def addresses(self) -> tuple[ValidatorAddress, ...]:
        """Where the validators listen."""
        return validator_addresses(self.validators)

    @property
    def public_origins(self) -> tuple[str, ...]:
        """How members reach this gateway; at least one."""
        return self.origins or (f"http://{self.host}:{self.port}",)
