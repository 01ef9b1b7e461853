"""An old copy of the permissions does not answer for a newer block."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from icn_kit.permissions import HeightNotReached, PermissionReplica
from icn_marketplace.events.known_permissions import KnownPermissions

ORGANIZATION, OFFICER = b"o" * 16, b"p" * 16


def known(newest: int | None) -> KnownPermissions:
    """A copy that ends at height 10, where somebody holds an office since 5."""
    replica = PermissionReplica()
    replica.write(f"organizations/{ORGANIZATION.hex()}", "office.treasurer", f"principals/{OFFICER.hex()}", 5)
    replica.reach(10)
    block = None if newest is None else SimpleNamespace(height=newest, time_ms=0)
    projection: Any = SimpleNamespace(replica=replica)
    clock: Any = SimpleNamespace(newest=block)
    return KnownPermissions(projection, clock)


@pytest.mark.parametrize(("newest", "asked"), [(1_000_000, 1_000_000), (11, 11), (None, 11)])
def test_who_held_an_office_long_ago_is_not_let_through_at_the_newest_block(
    newest: int | None, asked: int
) -> None:
    permissions = known(newest)
    with pytest.raises(HeightNotReached) as refusal:
        permissions.is_related(OFFICER, ("officer",), ORGANIZATION, permissions.newest_height())
    assert (refusal.value.asked, refusal.value.reached) == (asked, 10)


@pytest.mark.parametrize("newest", [3, 10])
def test_a_copy_that_has_reached_the_newest_block_answers_at_its_own_height(newest: int) -> None:
    permissions = known(newest)
    assert permissions.newest_height() == 10
    assert permissions.is_related(OFFICER, ("officer",), ORGANIZATION, 10)
    assert not permissions.is_related(OFFICER, ("officer",), b"x" * 16, 10)
