"""Valid files of every kind, for the tests and for the vectors (`libs.client.tests.proof_vectors`)."""

from __future__ import annotations

from functools import reduce
from typing import Final

from icn.ledger.v1 import state_pb2 as state
from icn_client.light.entry_proof import EntryProof
from icn_client.light.proof_file import ProofFile, ShownLeaf
from icn_client.light.receipt_proof import ReceiptProof
from icn_crypto.merkle_log import EMPTY_ROOT, inclusion_proof, leaf_hash, node_hash, tree_root
from icn_crypto.state_tree import StateTree, build, state_key
from icn_machine.entries import NO_ENTRIES, Entry, EntryChain, PostingKind

from libs.client.tests.conftest import (
    ACCOUNT_NAMESPACE,
    GENESIS_TIME_MS,
    Chain,
    Zone,
    account_leaf,
    make_tree,
)

ACCOUNT: Final = b"a" * 16
OTHER: Final = b"b" * 16
ENTRIES: Final = 5


def receipts() -> list[bytes]:
    """Those of a block: applied, refused, refused without figures, a contract's, empty."""
    refused, applied = state.RECEIPT_STATUS_REFUSED, state.RECEIPT_STATUS_APPLIED

    def posting(account: bytes, other: bytes, amount: int, balance: int) -> state.Posting:
        return state.Posting(
            account=account,
            counter_account=other,
            amount_minor=amount,
            balance_minor=balance,
            kind=state.POSTING_KIND_TRANSFER,
        )

    figures = {"balance_minor": -60, "held_minor": 0, "amount_minor": 41, "floor_minor": -100}
    made = [
        state.Receipt(
            status=applied, postings=[posting(ACCOUNT, OTHER, -60, -60), posting(OTHER, ACCOUNT, 60, 60)]
        ),
        state.Receipt(
            status=refused,
            reason="CREDIT_LIMIT_EXCEEDED",
            message_index=1,
            figures=[state.Figure(name=name, value=value) for name, value in figures.items()],
        ),
        state.Receipt(status=refused, reason="ACCOUNT_UNKNOWN"),
        state.Receipt(
            status=applied, contract=state.ContractResult(fuel_used=7, data=b"done", events=b"e" * 32)
        ),
        state.Receipt(status=applied),
    ]
    for number, receipt in enumerate(made):
        receipt.transaction_id = bytes([number + 1]) * 32
    return [receipt.SerializeToString(deterministic=True) for receipt in made]


def receipt_proof(zone: Zone, index: int, count: int = 5, later: int = 0) -> ReceiptProof:
    """Of block 1 with so many receipts, where the first header that names it, or one of so many blocks
    behind it, was made final by its second descendant."""
    block = receipts()[:count]
    leaves = [leaf_hash(receipt) for receipt in block]
    own, before = tree_root(leaves), EMPTY_ROOT
    later_roots = tuple(leaf_hash(b"receipt of block %d" % (number + 2)) for number in range(later))
    chain = Chain(zone)
    for _ in range(later + 1):
        chain.add(executed_height=0)
    header = chain.add(receipts_root=reduce(node_hash, (own, *later_roots), before))
    descendants = (chain.add(), chain.add())
    return ReceiptProof(
        zone.genesis.hash,
        header,
        descendants,
        zone.certificate(descendants[-1]),
        (),
        block[index],
        index,
        count,
        tuple(inclusion_proof(leaves, index)),
        before,
        later_roots,
    )


def entries() -> list[Entry]:
    """Of the account, from number 1: transfers, a captured hold, one that no transaction made."""
    made, balance = [], 0
    for number in range(1, ENTRIES + 1):
        amount = 250 * number if number % 2 else -100 * number
        balance += amount
        is_capture, is_of_block = number == 2, number == 4
        made.append(
            Entry(
                number,
                10 * number,
                GENESIS_TIME_MS + 60_000 * number,
                bytes(32) if is_of_block else bytes([number]) * 32,
                int(PostingKind.CAPTURE if is_capture else PostingKind.TRANSFER),
                amount,
                balance,
                OTHER,
                b"m" * 32 if number == 3 else bytes(32),
                (b"invoice 3" if number == 3 else b"").ljust(32, b"\0"),
                b"h" * 16 if is_capture else bytes(16),
            )
        )
    return made


def entry_proof(zone: Zone, number: int) -> EntryProof:
    """Of one of the account's entries."""
    chain, ends = EntryChain(zone.genesis.hash), [NO_ENTRIES]
    for entry in entries():
        ends.append(chain.extend(ends[-1], entry))
    value = state.AccountLeaf(
        account=ACCOUNT,
        owner=b"o" * 16,
        unit=b"u" * 16,
        balance_minor=entries()[-1].balance_minor,
        entries=ENTRIES,
        entries_hash=ends[-1],
    ).SerializeToString(deterministic=True)
    leaves = {
        state_key(ACCOUNT_NAMESPACE, ACCOUNT): value,
        state_key(ACCOUNT_NAMESPACE, OTHER): account_leaf(OTHER),
    }
    update = build(leaves)
    tree = StateTree({prefix: page for prefix, page in update.pages.items() if page is not None})
    headers = Chain(zone)
    headers.add()
    header = headers.add(state_root=update.root)
    account_proof = ProofFile(
        zone.genesis.hash,
        header,
        (),
        zone.certificate(header),
        (),
        ACCOUNT_NAMESPACE,
        ACCOUNT,
        value,
        tree.prove(state_key(ACCOUNT_NAMESPACE, ACCOUNT)),
    )
    return EntryProof(account_proof, ends[number - 1], tuple(entries()[number - 1 :]))


def leaf_proof(zone: Zone, account: bytes, *, with_neighbours: bool = False) -> ProofFile:
    """Of one of the nine accounts of `make_tree`, or that there is none, with the leaves beside it."""
    root, tree = make_tree()
    names = {state_key(ACCOUNT_NAMESPACE, bytes([number]) * 16): bytes([number]) * 16 for number in range(9)}

    def shown(key: bytes) -> ShownLeaf:
        name = names.get(key, account)
        value = account_leaf(name, name[0] * 100) if key in names else b""
        return ShownLeaf(ACCOUNT_NAMESPACE, name, value, tree.prove(key))

    key = state_key(ACCOUNT_NAMESPACE, account)
    beside = [
        *[other for other in sorted(names) if other < key][-1:],
        *[other for other in sorted(names) if other > key][:1],
    ]
    chain = Chain(zone)
    chain.add()
    header = chain.add(state_root=root)
    leaf = shown(key)
    return ProofFile(
        zone.genesis.hash,
        header,
        (),
        zone.certificate(header),
        (),
        leaf.namespace,
        leaf.identifier,
        leaf.value,
        leaf.state_proof,
        tuple(shown(other) for other in beside) if with_neighbours else (),
    )


def absence_proof(zone: Zone, account: bytes, *, with_neighbours: bool = True) -> ProofFile:
    """Of an account that is not among the nine."""
    return leaf_proof(zone, account, with_neighbours=with_neighbours)
