"""Statements of an account of a chain that the seats of the test zone have signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from icn.consensus.v1.block_pb2 import VOTE_KIND_FINALIZE, BlockHeader
from icn.ledger.v1 import transaction_pb2 as pb
from icn_client.light.proof_file import ProofFile
from icn_client.light.statement import Head, Sums, entry_line, head_line, line, signed_bytes
from icn_client.light.verify_statement import AccountStatement, AccountSums
from icn_crypto.state_tree import StateTree, state_key
from icn_crypto.suites import Suite
from icn_machine.entries import Entry
from icn_machine.leaves import encode_leaf
from icn_machine.records import Namespace, Unit

from libs.audit.tests.chain import Chain
from libs.machine.tests.certificates import certificate
from libs.machine.tests.credit_messages import close_account, open_with
from libs.machine.tests.posted import entries_of
from libs.machine.tests.workload import ACCOUNTS, UNIT, Workload
from libs.machine.tests.zone import (
    GENESIS_TIME_MS,
    Member,
    Zone,
    create_unit,
    identifier,
    make_zone,
    transfer,
)

ACCOUNT = ACCOUNTS[0]
FROM_MS = GENESIS_TIME_MS + 20_000
UNTIL_MS = GENESIS_TIME_MS + 40_000
LAST_MS = 253_402_300_799_999
SPANS = ((FROM_MS, UNTIL_MS), (0, LAST_MS), (UNTIL_MS - 1, UNTIL_MS))


class Told:
    """A chain, and statements of one account of it."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.chain = Chain(zone)

    async def grow(self) -> None:
        for transactions in Workload(self.zone, 3).blocks(60):
            await self.chain.add(*transactions)
        await self.chain.add()

    @property
    def height(self) -> int:
        """Of the state that the newest block names."""
        return BlockHeader.FromString(self.chain.headers[-1]).executed_height

    def proof(self, namespace: Namespace, identifier: bytes, height: int | None = None) -> Any:
        """Of a leaf in that state, or in that after another height, which the block behind it names."""
        header = self.chain.headers[-1 if height is None else height]
        at = BlockHeader.FromString(header).executed_height
        records = self.chain.ledger.state.records_at(at)  # type: ignore[attr-defined]
        leaves = {
            state_key(kind, name): encode_leaf(kind, record)
            for kind, name, record in records
            if record is not None
        }
        key = state_key(namespace, identifier)
        made = ProofFile(
            genesis=self.zone.genesis.hash,
            namespace=namespace,
            identifier=identifier,
            value=leaves[key],
            state_proof=StateTree(StateTree({}).update(leaves).pages).prove(key),
            header=header,
            descendant_headers=(),
            finalization=certificate(self.zone, VOTE_KIND_FINALIZE, header),
            epochs=(),
        )
        return json.loads(made.to_bytes())

    def opening(self, height: int, account: bytes = ACCOUNT) -> bytes:
        """The line of an opening after a height."""
        proof = self.proof(Namespace.ACCOUNT, account, height)
        return line({"opening_proof": proof, "headers": [self.chain.headers[height - 1].hex()]})

    def leaf(self, name: str, account: bytes, height: int | None = None) -> bytes:
        """The line of a sub-account's opening after a height, or of its closing."""
        proof = self.proof(Namespace.ACCOUNT, account, height)
        return line({name: {"state_proof": proof["state_proof"], "value": proof["value"]}})

    def entries(self, account: bytes) -> list[Entry]:
        """All of an account, oldest first."""
        counts: dict[bytes, int] = {}
        return [
            entry
            for commit in self.chain.ledger.state.commits[: self.height + 1]  # type: ignore[attr-defined]
            for of, entry in entries_of(commit, counts)
            if of == account
        ]

    def lines(
        self,
        account: bytes = ACCOUNT,
        from_ms: int = FROM_MS,
        until_ms: int = UNTIL_MS,
        entries: Sequence[Entry] | None = None,
        *,
        is_signed: bool = False,
        opened_height: int = 0,
        sub_accounts: Sequence[bytes] | None = None,
    ) -> list[bytes]:
        head = Head(self.zone.genesis.hash, account, from_ms, until_ms)
        sums = Sums()
        made = [head_line(head), line({"unit_proof": self.proof(Namespace.UNIT, UNIT)})]
        if sub_accounts is not None:
            made.append(line({"sub_accounts": [one.hex() for one in sub_accounts]}))
        if opened_height:
            made.append(self.opening(opened_height, account))
        made += self._entry_lines(head, account, entries, opened_height, sums)
        made.append(line({"closing_proof": self.proof(Namespace.ACCOUNT, account), "headers": []}))
        for one in sub_accounts or ():
            if any(entry.height <= opened_height for entry in self.entries(one)):
                made.append(self.leaf("opening_leaf", one, opened_height))
            made += self._entry_lines(head, one, None, opened_height, sums)
            made.append(self.leaf("closing_leaf", one))
        signature = None
        if is_signed:
            signer = self.zone.organizations[1]
            made.append(line({"signer_proof": self.proof(Namespace.CONTROLLER, signer.principal)}))
            signed = signed_bytes(self.zone.genesis.hash, sha256(b"".join(made)).digest())
            signature = {
                "key_id": signer.keys[0].key_id.hex(),
                "suite": 1,
                "signature": signer.keys[0].signing[Suite.ED25519].sign(signed).hex(),
            }
        return [*made, line({**sums.to_dict(), "signature": signature})]

    def _entry_lines(
        self, head: Head, account: bytes, entries: Sequence[Entry] | None, opened_height: int, total: Sums
    ) -> list[bytes]:
        """Those behind an opening, and their sums beside those of other accounts."""
        own, made = Sums(), []
        for entry in self.entries(account) if entries is None else entries:
            if entry.height > opened_height:
                made.append(entry_line(entry))
                own.add(head, entry)
            else:
                own.opening_minor = own.closing_minor = entry.balance_minor
        total.merge(own)
        return made


async def grown() -> Told:
    """Sixty blocks of trade."""
    made = Told(make_zone())
    await made.grow()
    return made


MAIN, TRAVEL, TOOLS, OLD, BEN = (identifier(name) for name in ("main", "travel", "tools", "old", "ben"))
FAMILY = (TRAVEL, OLD, TOOLS)
"""Sub-accounts of MAIN, in the order in which they were opened; OLD is closed."""


async def with_memos(*hashes: bytes) -> Told:
    """MAIN pays once for each of these memo hashes."""
    told = Told(make_zone())
    shop = told.zone.organizations[0]
    opened = (create_unit(UNIT, floor_minor=-10_000), open_with(MAIN, UNIT), open_with(BEN, UNIT))
    await told.chain.add(told.zone.transaction(shop, *opened))
    for memo_hash in hashes:
        await told.chain.add(told.zone.transaction(shop, transfer(MAIN, BEN, 250, memo_hash)))
    await told.chain.add()
    return told


async def family() -> Told:
    """An account with sub-accounts, of which one was opened late, and what moved between and beside them."""
    told = Told(make_zone())
    shop, farm = told.zone.organizations[:2]

    async def block(actor: Member, *messages: pb.Message) -> None:
        time_ms = told.chain.ledger.state.newest.time_ms + 1_000
        await told.chain.add(told.zone.transaction(actor, *messages, time_ms=time_ms))

    def under_main(account: bytes) -> pb.Message:
        return open_with(account, UNIT, parent=MAIN)

    await block(shop, create_unit(UNIT, floor_minor=-10_000), open_with(MAIN, UNIT))
    await block(farm, open_with(BEN, UNIT))
    await block(shop, under_main(TRAVEL), under_main(OLD), open_with(identifier("beside"), UNIT))
    await block(shop, transfer(MAIN, TRAVEL, 700), transfer(MAIN, OLD, 40))
    await block(shop, transfer(TRAVEL, BEN, 250), transfer(OLD, MAIN, 40))
    await block(shop, close_account(OLD), under_main(TOOLS))
    for number in range(1, 8):
        await block(farm, transfer(BEN, MAIN, number))
        await block(shop, transfer(MAIN, TOOLS, 10 * number), transfer(TOOLS, BEN, number))
    await told.chain.add()
    return told


def make_up(entries: Iterable[Entry], put: Callable[[bytes], object]) -> AccountStatement:
    """Put the lines of a statement whose proofs nobody could verify; what it would show if they held."""
    zone, head = bytes(32), Head(bytes(32), ACCOUNT, 0, LAST_MS)
    unit = Unit(UNIT, "HOUR", 2, UNIT, UNIT, 0)
    leaves = {state_key(Namespace.UNIT, UNIT): encode_leaf(Namespace.UNIT, unit)}
    tree = StateTree(StateTree({}).update(leaves).pages)
    ((key, value),) = leaves.items()
    proof = ProofFile(zone, b"none", (), b"none", (), Namespace.UNIT, UNIT, value, tree.prove(key))
    sums, hashed = Sums(), sha256()

    def add(data: bytes) -> None:
        hashed.update(data)
        put(data)

    add(head_line(head))
    add(line({"unit_proof": json.loads(proof.to_bytes())}))
    for entry in entries:
        sums.add(head, entry)
        add(entry_line(entry))
    add(line({"closing_proof": {}, "headers": []}))
    add(line({**sums.to_dict(), "signature": None}))
    leaf = {"unit": UNIT.hex(), "code": unit.code, "scale": unit.scale}
    accounts = (AccountSums(ACCOUNT, sums),)
    return AccountStatement(
        head, leaf, UNIT.hex(), sums, LAST_MS, 1, "", "", hashed.digest(), accounts, 0, False, 0
    )


def invented(amounts: Iterable[int]) -> Iterator[Entry]:
    """Entries of these amounts, every second with a reference."""
    balance_minor = 0
    for number, amount_minor in enumerate(amounts, 1):
        balance_minor += amount_minor
        name = sha256(b"%d" % number).digest()
        reference = name if number % 2 == 0 else b""
        time_ms = GENESIS_TIME_MS + 1_000 * number
        yield Entry(
            *(number, number, time_ms, name, 1, amount_minor, balance_minor, name[:16], b"", reference, b"")
        )
