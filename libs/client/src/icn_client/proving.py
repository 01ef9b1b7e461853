"""Fetching a proof of whatever can be proven, as a file. Source: docs/spec/proof.md."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from icn.ledger.v1.state_pb2 import AccountLeaf
from icn_chain.epochs import ProofInvalid
from icn_kit.errors import FailedPrecondition, NotFound, Unavailable
from icn_machine.entries import NO_ENTRIES, Entry, EntryChain

from icn_client.light.entry_proof import ENTRIES_MAX, EntryProof
from icn_client.light.proof_file import parse_proof_file
from icn_client.light.verify import verify_proof
from icn_client.stating import entries_between

if TYPE_CHECKING:
    from icn_chain.checkpoint import Checkpoint

    from icn_client.connection import Connection

_ENTRY: Final = re.compile(r"(accounts/[0-9a-f]{32})/entries/([1-9][0-9]{0,18})")


async def fetch_proof(
    connection: Connection, name: str, checkpoint: Checkpoint | None = None, *, with_neighbours: bool = False
) -> bytes:
    """A proof of a leaf, of a transaction's receipt or of an account's entry, checked.

    Args:
        connection: to the platform.
        name: ``accounts/ID`` and so on, ``transactions/ID``, ``accounts/ID/entries/NUMBER``.
        checkpoint: where the caller's trust begins; genesis without.
        with_neighbours: whether an absent leaf comes with those beside it.

    Raises:
        DomainError: the name is not one that can be proven, or no proof is there yet.
        ProofInvalid, ProofMalformed: who answered shows what does not hold.
    """
    if name.startswith("transactions/"):
        return await connection.receipt_proof_file(name, checkpoint)
    if (entry := _ENTRY.fullmatch(name)) is not None:
        return await _entry_proof(connection, entry[1], int(entry[2]), checkpoint)
    return await connection.proof_file(name, checkpoint, with_neighbours=with_neighbours)


async def _entry_proof(
    connection: Connection, account: str, number: int, checkpoint: Checkpoint | None
) -> bytes:
    """All entries are read: the hash before the wanted one is that of those before it."""
    account_proof = parse_proof_file(await connection.proof_file(account, checkpoint))
    shown = verify_proof(account_proof, connection.genesis, checkpoint)
    leaf = AccountLeaf.FromString(account_proof.value)
    if number > leaf.entries:
        raise NotFound("ENTRY_UNKNOWN", f"{account} has {leaf.entries} entries at height {shown.height}")
    if (behind := leaf.entries - number) >= ENTRIES_MAX:
        raise FailedPrecondition(
            "ENTRY_TOO_OLD",
            f"{behind} entries lie behind it, {ENTRIES_MAX - 1} may: its transaction's receipt shows it",
        )
    chain, before, entries = EntryChain(connection.genesis.hash), NO_ENTRIES, list[Entry]()
    async for entry in entries_between(connection, leaf.account, 0, shown.height):
        if entry.number < number:
            before = chain.extend(before, entry)
        else:
            entries.append(entry)
    proof = EntryProof(account_proof, before, tuple(entries))
    try:
        verify_proof(proof, connection.genesis, checkpoint)
    except ProofInvalid as fault:
        if fault.reason != "ENTRY_CHAIN_INVALID":
            raise
        raise Unavailable("ENTRIES_INCOMPLETE", f"{fault}: try again") from fault
    return proof.to_bytes()
