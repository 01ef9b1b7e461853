"""What checking an archive costs: CPU time per transfer, of one core.

``python benches/audit.py [--blocks N] [--transfers N] [--members N] [--profile]``. A chain of signed
transfers between members is made and executed in memory, with the certificates of four seats; then its
archive is verified as `icn audit verify` does, in this process. Without the accelerator: hide `icn_native`
(the output says which it was).
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import random
import sys
import time
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from icn_audit.verify import Report, seldom_collecting, verify_archive
from icn_crypto.native import accelerator

from libs.audit.tests.chain import Chain, write
from libs.machine.tests.zone import (
    Zone,
    create_unit,
    identifier,
    make_zone,
    open_account,
    open_controller,
    transfer,
)

UNIT = identifier("unit")
MEMBERS_PER_TRANSACTION = 16
BLOCK_MS = 1_000


async def make(zone: Zone, blocks: int, transfers: int, members: int) -> bytes:
    """An archive of so many blocks of transfers, behind those that open the accounts."""
    chain, chance = Chain(zone), random.Random(7)
    shop = zone.organizations[0]
    people = [zone.member(f"member {number}", shop) for number in range(members)]
    accounts = [identifier(f"account {number}") for number in range(members)]

    def now_ms() -> int:
        return chain.ledger.state.newest.time_ms + BLOCK_MS

    await chain.add(zone.transaction(shop, create_unit(UNIT, floor_minor=-(2**40)), time_ms=now_ms()))
    opened = [
        zone.transaction(
            shop,
            *[open_controller(one) for one in people[start : start + MEMBERS_PER_TRANSACTION]],
            time_ms=now_ms(),
        )
        for start in range(0, members, MEMBERS_PER_TRANSACTION)
    ]
    await chain.add(*opened)
    await chain.add(
        *[
            zone.transaction(one, open_account(account, UNIT), time_ms=now_ms())
            for one, account in zip(people, accounts, strict=True)
        ]
    )
    for _ in range(blocks):
        drawn = [chance.sample(range(members), 2) for _ in range(transfers)]
        await chain.add(
            *[
                zone.transaction(
                    people[payer], transfer(accounts[payer], accounts[payee], 5, bytes(32)), time_ms=now_ms()
                )
                for payer, payee in drawn
            ]
        )
    chain.certify()
    return write(zone.genesis, chain.blocks, chain.leaves(), leaves_per_chunk=1_000)


async def verify(archive: bytes, zone: Zone) -> tuple[Report, float]:
    """What the archive holds, and the CPU time of finding it right."""
    started = time.process_time()
    with seldom_collecting():
        report = await verify_archive(BytesIO(archive), zone.genesis)
    return report, time.process_time() - started


def main() -> None:
    """Make, verify, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--transfers", type=int, default=1_000, help="per block")
    parser.add_argument("--members", type=int, default=2_000)
    parser.add_argument("--profile", action="store_true", help="the costliest functions of the verification")
    options = parser.parse_args()
    zone = make_zone()
    archive = asyncio.run(make(zone, options.blocks, options.transfers, options.members))
    profile = cProfile.Profile()
    if options.profile:
        profile.enable()
    report, seconds = asyncio.run(verify(archive, zone))
    profile.disable()
    assert report.transfers == options.blocks * options.transfers, "every transfer took effect"
    which = "wheels only" if accelerator is None else "native"
    print(
        f"{which}: {report.transfers} transfers in {report.heights} blocks, {len(archive):,} bytes: "
        f"{seconds:.2f} s of CPU time, {seconds / report.transfers * 1e6:.1f} us a transfer, "
        f"{report.transfers / seconds:,.0f} a second"
    )
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
