"""Settings of vm, all from the environment (``ICN_VM_…``)."""

from __future__ import annotations

from typing import Annotated

from icn_kit.settings import Address, DatabaseUrl, ServiceSettings
from pydantic import Field


class VmSettings(ServiceSettings, service="vm"):
    """What a vm needs to know. It holds no key and knows no network."""

    database_url: DatabaseUrl
    """The validator's own Postgres, as the role ``vm``."""
    address: Address
    """Where its ledger calls: ``unix:/path``, in a folder that only this validator can enter."""
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Private door for metrics and probes; 0 takes a free port."""
