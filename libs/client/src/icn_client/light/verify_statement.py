"""The verdict on a statement: whether it is complete, unchanged and adds up, from genesis alone.

Pure: no network, no files, no clock. Source: docs/spec/ledger.md, "Statements".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from icn.ledger.v1.state_pb2 import ControllerLeaf
from icn_chain.epochs import ProofInvalid, closes_epoch, read_chain
from icn_chain.header import BlockHeader
from icn_crypto.suites import Suite, key_id, verify
from icn_kit.genesis import Genesis
from icn_machine.entries import EntryChain
from icn_machine.records import Namespace

from icn_client.light.statement import (
    HEADERS_MAX,
    Head,
    StatementInvalid,
    Sums,
    check_line,
    hex_member,
    leaf_statement,
    line_proof,
    read_entry,
    read_head,
    read_leaf_line,
    read_lines,
    read_sub_accounts,
    signed_bytes,
    statement_malformed,
    sub_accounts_hash,
)
from icn_client.light.verify import Shown, check_leaf, verify_proof


class AccountSums(NamedTuple):
    """An account of a statement, and what its span adds up to."""

    account: bytes
    sums: Sums


@dataclass(frozen=True, slots=True)
class AccountStatement:
    """What a valid statement shows."""

    head: Head
    unit: Mapping[str, Any]
    """Its leaf, as `read_statement` tells it."""
    owner: str
    sums: Sums
    """Of all accounts together."""
    complete_until_ms: int
    """No entry before this block time is missing: the end of the span, or what could be shown so far."""
    height: int
    """Of the state that the last balances are of."""
    signer: str
    """Principal, in hex; empty where nobody signed."""
    key_id: str
    """Of the key that signed, in hex; empty where nobody did."""
    digest: bytes
    """SHA-256 of the whole file."""
    accounts: tuple[AccountSums, ...]
    """The account, then those of its sub-accounts that are covered: all, or none."""
    sub_accounts: int
    """How many the account ever had."""
    is_family: bool
    """Whether they are covered."""
    between_minor: int
    """What was moved between these accounts: part of what was debited, and of what was credited."""


@dataclass(slots=True)
class _Account:
    """How far an account of a statement has been read."""

    account: bytes
    sums: Sums = field(default_factory=Sums)
    is_opened: bool = False
    entries: int = 0
    """Number of the newest."""
    balance_minor: int = 0
    end: bytes = b""
    """Hash of the newest entry's chain."""

    def open(self, leaf: Mapping[str, Any]) -> None:
        """Go on from where it stood."""
        self.is_opened = True
        self.entries, self.end = int(leaf["entries"]), bytes.fromhex(leaf["entries_hash"])
        self.balance_minor = int(leaf["balance_minor"])
        self.sums = Sums(opening_minor=self.balance_minor, closing_minor=self.balance_minor)

    def check_closing(self, number: int, leaf: Mapping[str, Any]) -> None:
        """That nothing is left out up to this leaf."""
        if (leaf["entries"], leaf["entries_hash"]) != (str(self.entries), self.end.hex()):
            raise StatementInvalid(
                "ENTRIES_INCOMPLETE",
                number,
                f"the account has {leaf['entries']} entries, these to {self.entries} are not all, unchanged",
            )
        if leaf["balance_minor"] != str(self.balance_minor):
            raise StatementInvalid(
                "BALANCE_WRONG", number, f"it stands at {leaf['balance_minor']}, not at {self.balance_minor}"
            )


@dataclass(slots=True)
class _Reading:
    """How far a statement has been read."""

    genesis: Genesis
    chain: EntryChain
    digest: Any = field(default_factory=sha256)
    head: Head | None = None
    unit: Mapping[str, Any] | None = None
    sub_accounts: tuple[bytes, ...] | None = None
    """In their order; None where the statement is of one account."""
    family: frozenset[bytes] = frozenset()
    between_minor: int = 0
    at: _Account | None = None
    """The account that is being read; None before the unit, and behind the last."""
    done: list[AccountSums] = field(default_factory=list)
    opening: Shown | None = None
    newest_time_ms: int = 0
    """Of the newest entry that was read, of whichever account."""
    closing: Shown | None = None
    owner: str = ""
    sub_accounts_told: int = 0
    """As its leaf counts them."""
    next_time_ms: int = 0
    """Block time of the first block that is not covered."""
    signer: ControllerLeaf | None = None

    def take_unit(self, number: int, members: Mapping[str, Any]) -> None:
        check_line(number, members, "unit_proof")
        if self.head is None or self.unit is not None:
            raise statement_malformed(number, "the unit is out of place")
        self.unit = _shown(number, members["unit_proof"], Namespace.UNIT, self.genesis).statement
        self.at = _Account(self.head.account)

    def take_sub_accounts(self, number: int, members: Mapping[str, Any]) -> None:
        named = read_sub_accounts(number, members)
        if self.at is None or self.at.is_opened or self.at.entries or self.sub_accounts is not None:
            raise statement_malformed(number, "the sub-accounts are out of place")
        self.sub_accounts = named
        self.family = frozenset((self.at.account, *named))

    def take_opening(self, number: int, members: Mapping[str, Any]) -> None:
        check_line(number, members, "opening_proof", "headers")
        at = self._unopened(number)
        if self.closing is not None:
            raise statement_malformed(number, "the opening is out of place")
        shown = self._proven(number, members["opening_proof"])
        first = _chain(number, members, "opening_proof", self.genesis)[0]
        if first.height != shown.height:
            raise StatementInvalid(
                "HEADER_CHAIN_INVALID",
                number,
                f"the headers begin at {first.height}, the state is that after {shown.height}",
            )
        assert self.head is not None, "the unit comes behind it"
        if first.time_ms >= self.head.from_ms:
            raise StatementInvalid(
                "OPENING_LATE",
                number,
                f"the opening is after a block of {first.time_ms}, the span begins at {self.head.from_ms}",
            )
        self.opening = shown
        at.open(shown.statement)

    def take_opening_leaf(self, number: int, members: Mapping[str, Any]) -> None:
        at = self._unopened(number)
        if self.closing is None or self.opening is None:
            raise statement_malformed(number, "the opening is out of place")
        at.open(self._under(number, members, "opening_leaf", at, self.opening))

    def _unopened(self, number: int) -> _Account:
        """The account that is being read, of which nothing was read so far."""
        if self.at is None or self.at.is_opened or self.at.entries:
            raise statement_malformed(number, "the opening is out of place")
        return self.at

    def take_entry(self, number: int, members: Mapping[str, Any], data: bytes) -> None:
        at = self.at
        if at is None or self.head is None:
            raise statement_malformed(number, "an entry is out of place")
        entry, expected = read_entry(number, members, data), at.entries + 1
        if entry.number != expected:
            raise StatementInvalid("ENTRY_MISSING", number, f"entry {entry.number}, not {expected}")
        if entry.balance_minor != at.balance_minor + entry.amount_minor:
            raise StatementInvalid(
                "BALANCE_WRONG",
                number,
                f"{at.balance_minor} and {entry.amount_minor} do not make {entry.balance_minor}",
            )
        at.end = self.chain.extend(at.end, entry)
        at.sums.add(self.head, entry)
        at.entries, at.balance_minor = entry.number, entry.balance_minor
        self.newest_time_ms = max(self.newest_time_ms, entry.block_time_ms)
        if entry.counter_account in self.family and entry.amount_minor < 0 and self.head.has(entry):
            self.between_minor -= entry.amount_minor

    def take_closing(self, number: int, members: Mapping[str, Any]) -> None:
        check_line(number, members, "closing_proof", "headers")
        if self.at is None or self.closing is not None:
            raise statement_malformed(number, "the closing is out of place")
        shown = self._proven(number, members["closing_proof"])
        if self.opening is not None and self.opening.height > shown.height:
            raise StatementInvalid(
                "OPENING_LATE",
                number,
                f"the opening is after height {self.opening.height}, the closing after {shown.height}",
            )
        self.at.check_closing(number, shown.statement)
        self._check_sub_accounts(number, shown.statement["terms"] or {})
        self.closing, self.owner = shown, shown.statement["owner"]
        self.next_time_ms = _time_behind(number, members, shown, self.genesis)
        self._next()

    def take_closing_leaf(self, number: int, members: Mapping[str, Any]) -> None:
        if self.at is None or self.closing is None:
            raise statement_malformed(number, "the closing is out of place")
        self.at.check_closing(number, self._under(number, members, "closing_leaf", self.at, self.closing))
        self._next()

    def _next(self) -> None:
        """Go on with the next account."""
        assert self.at is not None, "its closing was taken"
        self.done.append(AccountSums(self.at.account, self.at.sums))
        left = (self.sub_accounts or ())[len(self.done) - 1 :]
        self.at = _Account(left[0]) if left else None

    def _check_sub_accounts(self, number: int, terms: Mapping[str, Any]) -> None:
        self.sub_accounts_told = int(terms.get("sub_accounts", 0))
        if self.sub_accounts is None:
            return
        count, found = len(self.sub_accounts), sub_accounts_hash(self.genesis.hash, self.sub_accounts)
        if (count, found.hex()) != (self.sub_accounts_told, terms.get("sub_accounts_hash", "")):
            raise StatementInvalid(
                "SUB_ACCOUNTS_INCOMPLETE",
                number,
                f"the account has {self.sub_accounts_told} sub-accounts, these {count} are not all, in order",
            )

    def _proven(self, number: int, document: Any) -> Shown:
        """What a proof shows of the account."""
        assert self.head is not None, "who asks has looked"
        shown = _shown(number, document, Namespace.ACCOUNT, self.genesis)
        self._check_account(number, shown.statement, self.head.account)
        return shown

    def _under(
        self, number: int, members: Mapping[str, Any], name: str, at: _Account, shown: Shown
    ) -> Mapping[str, Any]:
        """What the leaf of a sub-account says that is in the state of a proof."""
        leaf = read_leaf_line(number, members, name, at.account)
        said = leaf_statement(number, leaf)
        try:
            check_leaf(leaf, shown.state_root)
        except ProofInvalid as fault:
            raise StatementInvalid(fault.reason, number, str(fault)) from fault
        self._check_account(number, said, at.account)
        parent = (said["terms"] or {}).get("parent", "")
        if parent != shown.statement["account"]:
            raise StatementInvalid(
                "PARENT_WRONG", number, f"its parent is {parent or 'none'}, not {shown.statement['account']}"
            )
        return said

    def _check_account(self, number: int, leaf: Mapping[str, Any], account: bytes) -> None:
        assert self.unit is not None, "who asks has looked"
        if leaf.get("account") != account.hex() or leaf["unit"] != self.unit.get("unit"):
            raise StatementInvalid("OTHER_ACCOUNT", number, "the proof is of another account or unit")

    def take_signer(self, number: int, members: Mapping[str, Any]) -> None:
        check_line(number, members, "signer_proof")
        if self.at is not None or self.closing is None or self.signer is not None:
            raise statement_malformed(number, "the signer is out of place")
        proof = line_proof(number, members["signer_proof"])
        shown = _shown(number, members["signer_proof"], Namespace.CONTROLLER, self.genesis)
        if shown.height < self.closing.height and shown.state_root != self.closing.state_root:
            raise StatementInvalid(
                "SIGNER_OUTDATED",
                number,
                f"the keys are those after height {shown.height}, the closing is after {self.closing.height}",
            )
        self.signer = ControllerLeaf.FromString(proof.value)

    def finish(self, number: int, members: Mapping[str, Any], data: bytes) -> AccountStatement:
        sums = Sums()
        check_line(number, members, *sums.to_dict(), "signature")
        if self.head is None or self.unit is None or self.closing is None or self.at is not None:
            raise statement_malformed(number, "the end is out of place")
        for one in self.done:
            sums.merge(one.sums)
        for name, value in sums.to_dict().items():
            if members[name] != value:
                raise StatementInvalid("SUMS_WRONG", number, f"{name} is {value}, not {members[name]}")
        key = self._key(number, members["signature"])
        signer = self.signer.principal.hex() if self.signer else ""
        is_passed = self.newest_time_ms >= self.head.until_ms
        end_ms = self.head.until_ms if is_passed else min(self.head.until_ms, self.next_time_ms)
        whole = self.digest.copy()
        whole.update(data)
        return AccountStatement(
            self.head,
            self.unit,
            self.owner,
            sums,
            end_ms,
            self.closing.height,
            signer,
            key,
            whole.digest(),
            tuple(self.done),
            self.sub_accounts_told,
            self.sub_accounts is not None,
            self.between_minor,
        )

    def _key(self, number: int, signature: Any) -> str:
        """Id of the key that signed."""
        if signature is None and self.signer is None:
            return ""
        if not isinstance(signature, dict) or self.signer is None:
            raise statement_malformed(number, "a signature comes with a proof of its signer's keys")
        check_line(number, signature, "key_id", "suite", "signature")
        wanted = hex_member(number, signature, "key_id", 16)
        made = hex_member(number, signature, "signature", None)
        signed = signed_bytes(self.genesis.hash, self.digest.digest())
        suite = signature["suite"]
        for key in self.signer.keys:
            if key.HasField("scope") or _key_id(key) != wanted or type(suite) is not int:
                continue
            for public in key.public_keys:
                if public.suite == suite and verify(Suite(suite), public.public_key, signed, made):
                    return wanted.hex()
        raise StatementInvalid(
            "SIGNATURE_INVALID", number, "no key of the signer without a scope made this signature"
        )


def verify_statement(lines: Iterable[bytes], genesis: Genesis) -> AccountStatement:
    """Judge a statement, line by line, however long.

    Args:
        lines: of the file, each with its line feed.
        genesis: the verifier's own.

    Raises:
        StatementInvalid: the first rule that fails.
    """
    reading = _Reading(genesis, EntryChain(genesis.hash))
    takes = {
        "unit_proof": reading.take_unit,
        "sub_accounts": reading.take_sub_accounts,
        "opening_proof": reading.take_opening,
        "opening_leaf": reading.take_opening_leaf,
        "closing_proof": reading.take_closing,
        "closing_leaf": reading.take_closing_leaf,
        "signer_proof": reading.take_signer,
    }
    done: AccountStatement | None = None
    for number, members, data in read_lines(lines):
        if done is not None:
            raise statement_malformed(number, "nothing follows the end")
        if number == 1:
            reading.head = read_head(number, members)
            if reading.head.genesis != genesis.hash:
                raise StatementInvalid(
                    "WRONG_ZONE", number, f"it is of zone {reading.head.genesis.hex()}, not of this one"
                )
        elif "number" in members:
            reading.take_entry(number, members, data)
        elif (name := next((one for one in takes if one in members), None)) is not None:
            takes[name](number, members)
        else:
            done = reading.finish(number, members, data)
        reading.digest.update(data)
    if done is None:
        raise statement_malformed(0, "the file ends before the statement does")
    return done


def _time_behind(number: int, members: Mapping[str, Any], shown: Shown, genesis: Genesis) -> int:
    """Block time of the first block behind the state that is shown."""
    chain = _chain(number, members, "closing_proof", genesis)
    if chain[0].height != shown.height + 1:
        raise StatementInvalid(
            "HEADER_CHAIN_INVALID",
            number,
            f"the headers begin at {chain[0].height}, the state is that after {shown.height}",
        )
    first = chain[0]
    if closes_epoch(first, genesis):
        # It may be a block beside the chain, which only carried the finality of the edge: then another block
        # follows the state. Whichever does, its time lies past the epoch.
        return min(first.time_ms, genesis.time_ms + (first.epoch + 1) * genesis.epoch_ms)
    return first.time_ms


def _chain(number: int, members: Mapping[str, Any], proof: str, genesis: Genesis) -> list[BlockHeader]:
    """The headers of a line, and behind them the one that names the state that its proof shows."""
    between = members["headers"]
    if not isinstance(between, list) or len(between) > HEADERS_MAX:
        raise statement_malformed(number, f"headers: a list of at most {HEADERS_MAX}")
    headers = [hex_member(number, {"headers": one}, "headers", None) for one in between]
    first, *others = [*headers, line_proof(number, members[proof]).header]
    try:
        return read_chain(genesis.hash, first, others, "HEADER_CHAIN_INVALID")
    except ProofInvalid as fault:
        raise StatementInvalid(fault.reason, number, str(fault)) from fault


def _shown(number: int, document: Any, namespace: int, genesis: Genesis) -> Shown:
    proof = line_proof(number, document)
    if proof.namespace != namespace or not proof.value:
        raise StatementInvalid("PROOF_MALFORMED", number, "the proof is of something else")
    try:
        return verify_proof(proof, genesis)
    except ProofInvalid as fault:
        raise StatementInvalid(fault.reason, number, str(fault)) from fault


def _key_id(key: Any) -> bytes:
    return key_id({Suite(one.suite): one.public_key for one in key.public_keys})
