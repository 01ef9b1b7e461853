"""The golden chain: fixed blocks, and the roots after each of them.

    .venv/bin/python -m libs.machine.tests.golden_chain print    # what the committed blocks leave
    .venv/bin/python -m libs.machine.tests.golden_chain roots    # the same, written down as the roots
    .venv/bin/python -m libs.machine.tests.golden_chain blocks   # both, of blocks made from the story

Source: docs/spec/block.md, "The golden chain", which says what each of them means.
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
from libs.machine.tests.zone import Ledger, Member, Zone, make_zone, memory_ledger

FOLDER: Final = Path(__file__).resolve().parents[3] / "docs/spec/vectors/chain"
GENESIS, BLOCKS, ROOTS = FOLDER / "genesis.json", FOLDER / "blocks.jsonl", FOLDER / "roots.jsonl"


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


def committed_zone() -> Zone:
    """The zone of the committed chain: its genesis, and nobody's keys."""
    data = GENESIS.read_bytes()
    return Zone(parse_genesis(data), json.loads(data), [], Member(b"", [], b""))


def committed_blocks() -> list[GoldenBlock]:
    """The committed blocks, ascending."""
    lines = [json.loads(line) for line in BLOCKS.read_text("utf-8").splitlines()]
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


async def played() -> AsyncIterator[str]:
    """Lines of roots as this code makes them of the committed blocks."""
    ledger = ledger_in_memory(committed_zone())
    for block in committed_blocks():
        yield roots_line(await block.play(ledger))


async def told() -> AsyncIterator[tuple[GoldenBlock, Execution]]:
    """Blocks as the story tells them, each checked to do what the story says."""
    zone = make_zone()
    ledger = ledger_in_memory(zone)
    for block in Story(zone, ledger).blocks():
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


async def main(task: str) -> None:
    """Print, or write, what the module's docstring says."""
    if task == "blocks":
        FOLDER.mkdir(parents=True, exist_ok=True)
        GENESIS.write_text(json.dumps(make_zone().document, indent=1) + "\n", encoding="utf-8")
        _write(BLOCKS, [block.line() async for block, _ in told()])
    lines = [line async for line in played()]
    if task == "print":
        print("\n".join(lines))
    else:
        _write(ROOTS, lines)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
