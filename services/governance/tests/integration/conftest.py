"""A world over a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from icn_kit.database import Database
from icn_localnet.pytest_plugin import DatabaseFor

from .world import World


@pytest_asyncio.fixture
async def world(database_for: DatabaseFor) -> AsyncIterator[World]:
    database = await Database.open(database_for("icn_governance"), "governance")
    yield World(database)
    await database.close()
