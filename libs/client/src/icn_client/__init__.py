"""Typed client, light client and the `icn` command."""
