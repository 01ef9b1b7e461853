"""Fixtures of the whole repository."""

pytest_plugins = ["icn_localnet.pytest_plugin"]
