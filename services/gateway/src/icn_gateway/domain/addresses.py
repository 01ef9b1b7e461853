"""Where the services of the host listen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Where one service listens."""

    address: str
    """``host:port`` or ``unix:/path``."""
    server_name: str = ""
    """Name in its certificate, where it differs from the host."""
