"""The golden chains: fixed blocks, and the roots after each of them.

    .venv/bin/python -m libs.machine.tests.golden_chain print chain    # what the committed blocks leave
    .venv/bin/python -m libs.machine.tests.golden_chain roots chain    # the same, written down as the roots
    .venv/bin/python -m libs.machine.tests.golden_chain blocks chain   # both, of blocks made from the story

In place of ``chain``, ``chain-2`` is the one that goes on by the rules of protocol version 2.

Source: docs/spec/block.md, "The golden chains", which says what each of them means.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from icn.ledger.v1.state_pb2 import Receipt
from icn_audit.contracts import InProcessContracts
from icn_kit.genesis import parse_genesis
from icn_machine.blocks.execute_block import Execution

from libs.machine.tests.golden_story import Story
from libs.machine.tests.golden_upgrade import UpgradeStory
from libs.machine.tests.zone import Ledger, Member, Zone, make_zone, memory_ledger

VECTORS: Final = Path(__file__).resolve().parents[3] / "docs/spec/vectors"
STORIES: Final[dict[str, type[Story]]] = {"chain": Story, "chain-2": UpgradeStory}
"""By folder."""
FIRST: Final = "chain"


class GoldenBlock(NamedTuple):
    """What a block is made of. The rest of its header follows from the chain before it."""

    after_ms: int
    """Since the block before."""
    signers: list[int] | None
    """Seats in the parent's certificate; None: there is none."""
    transactions: list[bytes]

    def line(self) -> str:
        """As it is committed."""
        return _line(self._asdict() | {"transactions": [data.hex() for data in self.transactions]})

    async def play(self, ledger: Ledger) -> Execution:
        """Execute it on top of the newest."""
        return await ledger.execute(*self.transactions, after_ms=self.after_ms, signers=self.signers)


def committed_zone(chain: str = FIRST) -> Zone:
    """The zone of a committed chain: its genesis, and nobody's keys."""
    data = (VECTORS / chain / "genesis.json").read_bytes()
    return Zone(parse_genesis(data), json.loads(data), [], Member(b"", [], b""))


def committed_roots(chain: str = FIRST) -> str:
    """The committed roots, a line for each height."""
    return (VECTORS / chain / "roots.jsonl").read_text("utf-8")


def committed_blocks(chain: str = FIRST) -> list[GoldenBlock]:
    """The committed blocks, ascending."""
    lines = [json.loads(line) for line in (VECTORS / chain / "blocks.jsonl").read_text("utf-8").splitlines()]
    return [
        GoldenBlock(**line | {"transactions": [bytes.fromhex(data) for data in line["transactions"]]})
        for line in lines
    ]


def ledger_in_memory(zone: Zone) -> Ledger:
    """A ledger that runs contracts as an audit does."""
    return memory_ledger(zone, InProcessContracts(zone.genesis.hash))


def verdicts(execution: Execution) -> list[str]:
    """Why each transaction was refused; empty where it took effect."""
    return [Receipt.FromString(receipt).reason for _, receipt in execution.outcomes]


def roots_line(execution: Execution) -> str:
    """What is committed of a block's effect."""
    block = execution.block
    return _line(
        {
            "height": block.height,
            "state_root": block.state_root.hex(),
            "receipts_root": block.receipts_root.hex(),
            "log_root": block.log_root.hex(),
            "verdicts": verdicts(execution),
        }
    )


async def played(chain: str = FIRST) -> AsyncIterator[str]:
    """Lines of roots as this code makes them of the committed blocks."""
    ledger = ledger_in_memory(committed_zone(chain))
    for block in committed_blocks(chain):
        yield roots_line(await block.play(ledger))


async def told(chain: str = FIRST) -> AsyncIterator[tuple[GoldenBlock, Execution]]:
    """Blocks as the chain's story tells them, each checked to do what the story says."""
    zone = make_zone()
    ledger = ledger_in_memory(zone)
    for block in STORIES[chain](zone, ledger).blocks():
        time_ms = ledger.state.newest.time_ms + block.after_ms
        transactions = [
            zone.transaction(one.actor, *one.messages, keys=one.keys, lane=one.lane, time_ms=time_ms)
            for one in block.sent
        ]
        signers = None if block.signers is None else list(block.signers)
        made = GoldenBlock(block.after_ms, signers, transactions)
        execution = await made.play(ledger)
        found = verdicts(execution)
        assert found == block.reasons, f"height {execution.block.height}: {found}, not {block.reasons}"
        yield made, execution


def _line(members: dict[str, Any]) -> str:
    return json.dumps(members, separators=(",", ":"))


def _write(path: Path, lines: Iterator[str] | list[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


async def main(task: str, chain: str) -> None:
    """Print, or write, what the module's docstring says."""
    folder = VECTORS / chain
    if task == "blocks":
        folder.mkdir(parents=True, exist_ok=True)
        document = json.dumps(make_zone().document, indent=1) + "\n"
        (folder / "genesis.json").write_text(document, encoding="utf-8")
        _write(folder / "blocks.jsonl", [block.line() async for block, _ in told(chain)])
    lines = [line async for line in played(chain)]
    if task == "print":
        print("\n".join(lines))
    else:
        _write(folder / "roots.jsonl", lines)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
