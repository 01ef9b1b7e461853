"""Settings of a service, read from the environment in ``main.py`` and nowhere else."""

from __future__ import annotations

from typing import Any

from pydantic_settings import BaseSettings, SettingsConfigDict


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
