"""Settings of the service, all from the environment (``ICN_IDENTITY_…``)."""

from __future__ import annotations

from icn_kit.settings import HostedSettings


class IdentitySettings(HostedSettings, service="identity"):
    """What every service of the host is told; nothing more so far."""
