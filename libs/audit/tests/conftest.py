"""The test zone, and an archive of a chain of it with every kind of message and two ends of epochs."""

from __future__ import annotations

import pytest

from libs.audit.tests.chain import Chain
from libs.machine.tests.workload import Workload
from libs.machine.tests.zone import Zone, make_zone

SEED = 11


@pytest.fixture
def zone() -> Zone:
    return make_zone()


async def grow(chain: Chain, seed: int, blocks: int) -> None:
    """Play a workload, some of its blocks without news of finality, with an end of an epoch in the middle."""
    for number, transactions in enumerate(Workload(chain.zone, seed).blocks(blocks)):
        await chain.add(*transactions, is_lazy=number % 5 == 3)


@pytest.fixture
async def chain(zone: Zone) -> Chain:
    made = Chain(zone)
    await grow(made, SEED, 40)
    await made.pass_edge()
    await made.add()
    await made.pass_edge()
    await made.add()
    return made
