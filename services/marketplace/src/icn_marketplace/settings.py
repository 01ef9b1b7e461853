"""Settings of the service, all from the environment (``ICN_MARKETPLACE_…``)."""

from __future__ import annotations

from icn_kit.settings import HostedSettings


class MarketplaceSettings(HostedSettings, service="marketplace"):
    """What every service of the host is told; nothing more so far."""
