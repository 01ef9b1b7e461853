"""A statement of an account: its entries without a gap, and what shows that they are all.

Pure: no network, no files, no clock. Source: docs/spec/ledger.md, "Statements".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any, Final, NamedTuple

from icn.ledger.v1.state_pb2 import ControllerLeaf
from icn_chain.epochs import ProofInvalid, closes_epoch, read_chain
from icn_chain.header import BlockHeader
from icn_crypto import jcs, tags
from icn_crypto.hashing import preimage
from icn_crypto.suites import Suite, verify
from icn_kit.genesis import Genesis
from icn_machine.entries import Entry, EntryChain, PostingKind
from icn_machine.limits import REFERENCE_BYTES_MAX
from icn_machine.records import Namespace

from icn_client.light.final_header import ProofMalformed
from icn_client.light.leaves import read_statement
from icn_client.light.proof_file import parse_proof_file
from icn_client.light.verify import Shown, verify_proof

FORMAT: Final = "icn/statement/v1"
ENTRY_LINE_BYTES_MAX: Final = 4_096
PROOF_LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""As for a proof file."""
HEADERS_MAX: Final = 10_000
"""Between the state that is shown and the header that names it; mostly none."""
TIME_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, behind which there are no dates."""
_KINDS: Final = {kind.name.lower(): int(kind) for kind in PostingKind}
_NAMES: Final = {number: name for name, number in _KINDS.items()}
_KIND_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")
_MOST: Final = 2**62
_ZERO: Final = b"\0"
_ZEROS: Final = bytes(32)
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")


class StatementInvalid(Exception):
    """What was to be shown is not; ``reason`` is stable, ``line`` counts from 1, 0 for the whole file."""

    def __init__(self, reason: str, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}" if line else message)
        self.reason = reason
        self.line = line


class Head(NamedTuple):
    """What a statement says it is of."""

    genesis: bytes
    account: bytes
    from_ms: int
    """First block time of the span, unix milliseconds."""
    until_ms: int
    """First block time behind it."""


@dataclass(slots=True)
class Sums:
    """What the entries of the span add up to, minor units."""

    opening_minor: int = 0
    closing_minor: int = 0
    debited_minor: int = 0
    credited_minor: int = 0
    entries: int = 0

    def add(self, head: Head, entry: Entry) -> None:
        """Take the next entry of the account."""
        if entry.block_time_ms < head.from_ms:
            self.opening_minor = self.closing_minor = entry.balance_minor
        elif entry.block_time_ms < head.until_ms:
            self.closing_minor = entry.balance_minor
            self.entries += 1
            if entry.amount_minor < 0:
                self.debited_minor -= entry.amount_minor
            else:
                self.credited_minor += entry.amount_minor

    def to_dict(self) -> dict[str, str]:
        """Decimal strings."""
        return {
            "opening_minor": str(self.opening_minor),
            "closing_minor": str(self.closing_minor),
            "debited_minor": str(self.debited_minor),
            "credited_minor": str(self.credited_minor),
            "entries": str(self.entries),
        }


@dataclass(frozen=True, slots=True)
class AccountStatement:
    """What a valid statement shows."""

    head: Head
    unit: Mapping[str, Any]
    """Its leaf, as `read_statement` tells it."""
    owner: str
    sums: Sums
    complete_until_ms: int
    """No entry before this block time is missing: the end of the span, or what could be shown so far."""
    height: int
    """Of the state that the last balance is of."""
    signer: str
    """Principal, in hex; empty where nobody signed."""
    key_id: str
    """Of the key that signed, in hex; empty where nobody did."""
    digest: bytes
    """SHA-256 of the whole file."""


def head_line(head: Head) -> bytes:
    """The first line."""
    return line(
        {
            "format": FORMAT,
            "genesis": head.genesis.hex(),
            "account": head.account.hex(),
            "from_ms": head.from_ms,
            "until_ms": head.until_ms,
        }
    )


def kind_name(kind: int) -> str:
    """Of a posting; its number where it is of a kind that is not known here."""
    return _NAMES.get(kind) or str(kind)


def kind_number(name: str) -> int:
    """Of a kind by its name, or by the number that who did not know its name wrote. Raises ValueError."""
    known = _KINDS.get(name)
    if known is not None:
        return known
    if _KIND_NUMBER.fullmatch(name) is None:
        raise ValueError("no kind of posting")
    return int(name)


def entry_line(entry: Entry, kind: str = "") -> bytes:
    """The line of an entry, in its one form: what its hash covers as zeros is written as nothing.

    ``kind`` is what its kind is called, where it is not to be by our name. Written out by hand, since a
    statement has thousands; all of it is ASCII without anything to escape.
    """
    number, height, time_ms, transaction, of_kind, amount, balance, other, memo, reference, hold = entry
    return (
        f'{{"amount_minor":"{amount}","balance_minor":"{balance}","block_time_ms":"{time_ms}",'
        f'"counter_account":"{other.hex()}","height":"{height}","hold":"{_unless_zeros(hold)}",'
        f'"kind":"{kind or kind_name(of_kind)}","memo_hash":"{_unless_zeros(memo)}","number":"{number}",'
        f'"reference":"{reference.rstrip(_ZERO).hex()}","transaction":"{_unless_zeros(transaction)}"}}\n'
    ).encode()


def _unless_zeros(data: bytes) -> str:
    return "" if data == _ZEROS[: len(data)] else data.hex()


def line(members: Mapping[str, Any]) -> bytes:
    """A line of a statement: an object in the form of RFC 8785."""
    return jcs.canonicalize(dict(members)) + b"\n"


def signed_bytes(genesis_hash: bytes, digest: bytes) -> bytes:
    """What who made a statement signs: ``digest`` is the SHA-256 of all lines before the last."""
    return preimage(tags.STATEMENT, genesis_hash, digest)


def read_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any], bytes]]:
    """Number, members and bytes of each line.

    Raises:
        StatementInvalid: STATEMENT_MALFORMED.
    """
    for number, data in enumerate(lines, 1):
        if len(data) > PROOF_LINE_BYTES_MAX:
            raise _malformed(number, f"more than {PROOF_LINE_BYTES_MAX} bytes")
        try:
            members = json.loads(data)
            # An entry is compared with its own one form when it is read.
            is_line = isinstance(members, dict) and ("number" in members or line(members) == data)
        except (ValueError, TypeError, RecursionError):
            is_line = False
        if not is_line:
            raise _malformed(number, "not a line of JSON in the form of RFC 8785")
        yield number, members, data


def bounded_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, none read beyond the bound."""
    return iter(lambda: file.readline(PROOF_LINE_BYTES_MAX + 1), b"")


def read_head(number: int, members: Mapping[str, Any]) -> Head:
    """The first line, read. Raises StatementInvalid."""
    _check_members(number, members, "format", "genesis", "account", "from_ms", "until_ms")
    if members["format"] != FORMAT:
        raise _malformed(number, f"format: must be {FORMAT}")
    from_ms, until_ms = members["from_ms"], members["until_ms"]
    for value in (from_ms, until_ms):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= TIME_MS_MAX:
            raise _malformed(number, "from_ms and until_ms are milliseconds")
    if from_ms >= until_ms:
        raise _malformed(number, f"from_ms {from_ms} is not before until_ms {until_ms}")
    return Head(_hex(number, members, "genesis", 32), _hex(number, members, "account", 16), from_ms, until_ms)


def read_entry(number: int, members: Mapping[str, Any], data: bytes) -> Entry:
    """An entry's line, read. Raises StatementInvalid."""
    if len(data) > ENTRY_LINE_BYTES_MAX:
        raise _malformed(number, f"{len(data)} bytes, at most {ENTRY_LINE_BYTES_MAX}")
    try:
        entry = Entry(
            int(members["number"]),
            int(members["height"]),
            int(members["block_time_ms"]),
            bytes.fromhex(members["transaction"]),
            kind_number(members["kind"]),
            int(members["amount_minor"]),
            int(members["balance_minor"]),
            bytes.fromhex(members["counter_account"]),
            bytes.fromhex(members["memo_hash"]),
            bytes.fromhex(members["reference"]),
            bytes.fromhex(members["hold"]),
        )
        is_one_form = entry_line(entry, members["kind"]) == data
    except (KeyError, TypeError, ValueError):
        is_one_form = False
    if not is_one_form:
        raise _malformed(number, "not the line of an entry")
    _check_entry(number, entry)
    return entry


def _check_entry(number: int, entry: Entry) -> None:
    at, height, time_ms, transaction, _, amount, balance, other, memo, reference, hold = entry
    if not (0 < at <= _MOST and 0 < height <= _MOST and abs(amount) <= _MOST and abs(balance) <= _MOST):
        raise _malformed(number, "a number is out of its range")
    if not 0 <= time_ms <= TIME_MS_MAX:
        raise _malformed(number, f"block_time_ms {time_ms} is no date")
    if len(other) != 16 or len(reference) > REFERENCE_BYTES_MAX:
        raise _malformed(number, "counter_account has 16 bytes, reference at most 32")
    if len(transaction) not in (0, 32) or len(memo) not in (0, 32) or len(hold) not in (0, 16):
        raise _malformed(number, "transaction and memo_hash have 32 bytes, hold 16, or none")


def read_unit(number: int, members: Mapping[str, Any]) -> Mapping[str, Any]:
    """The unit's line, read and not proven. Raises StatementInvalid."""
    _check_members(number, members, "unit_proof")
    return _read_leaf(number, members["unit_proof"], Namespace.UNIT)


def read_opening(number: int, members: Mapping[str, Any]) -> Mapping[str, Any]:
    """The account's leaf of the opening's line, read and not proven. Raises StatementInvalid."""
    _check_members(number, members, "opening_proof", "headers")
    return _read_leaf(number, members["opening_proof"], Namespace.ACCOUNT)


def _read_leaf(number: int, document: Any, namespace: Namespace) -> Mapping[str, Any]:
    proof = _proof(number, document)
    if proof.namespace != namespace or not proof.value:
        raise _malformed(number, "the proof is of something else")
    try:
        return read_statement(proof.namespace, proof.identifier, proof.value)
    except ProofInvalid as fault:
        raise StatementInvalid(fault.reason, number, str(fault)) from fault


@dataclass(slots=True)
class _Reading:
    """How far a statement has been read."""

    genesis: Genesis
    chain: EntryChain
    digest: Any = field(default_factory=sha256)
    head: Head | None = None
    unit: Mapping[str, Any] | None = None
    sums: Sums = field(default_factory=Sums)
    opening: Shown | None = None
    entries: int = 0
    """Number of the newest."""
    balance_minor: int = 0
    newest_time_ms: int = 0
    """Of the newest entry that was read."""
    end: bytes = b""
    closing: Shown | None = None
    owner: str = ""
    next_time_ms: int = 0
    """Block time of the first block that is not covered."""
    signer: ControllerLeaf | None = None

    def take_opening(self, number: int, members: Mapping[str, Any]) -> None:
        _check_members(number, members, "opening_proof", "headers")
        if self.unit is None or self.opening is not None or self.entries or self.closing is not None:
            raise _malformed(number, "the opening is out of place")
        shown, leaf = self._account(number, members["opening_proof"])
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
        self.entries, self.end = int(leaf["entries"]), bytes.fromhex(leaf["entries_hash"])
        self.balance_minor = int(leaf["balance_minor"])
        self.sums = Sums(opening_minor=self.balance_minor, closing_minor=self.balance_minor)

    def _account(self, number: int, document: Any) -> tuple[Shown, Mapping[str, Any]]:
        """What a proof shows of the account."""
        assert self.head is not None and self.unit is not None, "who asks has looked"
        shown = _shown(number, document, Namespace.ACCOUNT, self.genesis)
        leaf = shown.statement
        if leaf.get("account") != self.head.account.hex() or leaf["unit"] != self.unit.get("unit"):
            raise StatementInvalid("OTHER_ACCOUNT", number, "the proof is of another account or unit")
        return shown, leaf

    def take_entry(self, number: int, members: Mapping[str, Any], data: bytes) -> None:
        if self.unit is None or self.closing is not None or self.head is None:
            raise _malformed(number, "an entry is out of place")
        entry, expected = read_entry(number, members, data), self.entries + 1
        if entry.number != expected:
            raise StatementInvalid("ENTRY_MISSING", number, f"entry {entry.number}, not {expected}")
        if entry.balance_minor != self.balance_minor + entry.amount_minor:
            raise StatementInvalid(
                "BALANCE_WRONG",
                number,
                f"{self.balance_minor} and {entry.amount_minor} do not make {entry.balance_minor}",
            )
        self.end = self.chain.extend(self.end, entry)
        self.sums.add(self.head, entry)
        self.entries, self.balance_minor = entry.number, entry.balance_minor
        self.newest_time_ms = entry.block_time_ms

    def take_unit(self, number: int, members: Mapping[str, Any]) -> None:
        _check_members(number, members, "unit_proof")
        if self.head is None or self.unit is not None:
            raise _malformed(number, "the unit is out of place")
        self.unit = _shown(number, members["unit_proof"], Namespace.UNIT, self.genesis).statement

    def take_closing(self, number: int, members: Mapping[str, Any]) -> None:
        _check_members(number, members, "closing_proof", "headers")
        if self.head is None or self.unit is None or self.closing is not None:
            raise _malformed(number, "the closing is out of place")
        shown, leaf = self._account(number, members["closing_proof"])
        if self.opening is not None and self.opening.height > shown.height:
            raise StatementInvalid(
                "OPENING_LATE",
                number,
                f"the opening is after height {self.opening.height}, the closing after {shown.height}",
            )
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
        self.closing, self.owner = shown, leaf["owner"]
        self.next_time_ms = _time_behind(number, members, shown, self.genesis)

    def take_signer(self, number: int, members: Mapping[str, Any]) -> None:
        _check_members(number, members, "signer_proof")
        if self.closing is None or self.signer is not None:
            raise _malformed(number, "the signer is out of place")
        proof = _proof(number, members["signer_proof"])
        shown = _shown(number, members["signer_proof"], Namespace.CONTROLLER, self.genesis)
        if shown.height < self.closing.height and shown.state_root != self.closing.state_root:
            raise StatementInvalid(
                "SIGNER_OUTDATED",
                number,
                f"the keys are those after height {shown.height}, the closing is after {self.closing.height}",
            )
        self.signer = ControllerLeaf.FromString(proof.value)

    def finish(self, number: int, members: Mapping[str, Any], data: bytes) -> AccountStatement:
        _check_members(number, members, *self.sums.to_dict(), "signature")
        if self.head is None or self.unit is None or self.closing is None:
            raise _malformed(number, "the end is out of place")
        for name, value in self.sums.to_dict().items():
            if members[name] != value:
                raise StatementInvalid("SUMS_WRONG", number, f"{name} is {value}, not {members[name]}")
        key_id = self._key(number, members["signature"])
        signer = self.signer.principal.hex() if self.signer else ""
        is_passed = self.newest_time_ms >= self.head.until_ms
        end_ms = self.head.until_ms if is_passed else min(self.head.until_ms, self.next_time_ms)
        whole = self.digest.copy()
        whole.update(data)
        return AccountStatement(
            self.head,
            self.unit,
            self.owner,
            self.sums,
            end_ms,
            self.closing.height,
            signer,
            key_id,
            whole.digest(),
        )

    def _key(self, number: int, signature: Any) -> str:
        """Id of the key that signed."""
        if signature is None and self.signer is None:
            return ""
        if not isinstance(signature, dict) or self.signer is None:
            raise _malformed(number, "a signature comes with a proof of its signer's keys")
        _check_members(number, signature, "key_id", "suite", "signature")
        key_id, made = _hex(number, signature, "key_id", 16), _hex(number, signature, "signature", None)
        signed = signed_bytes(self.genesis.hash, self.digest.digest())
        suite = signature["suite"]
        for key in self.signer.keys:
            if key.HasField("scope") or _key_id(key) != key_id or type(suite) is not int:
                continue
            for public in key.public_keys:
                if public.suite == suite and verify(Suite(suite), public.public_key, signed, made):
                    return key_id.hex()
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
    done: AccountStatement | None = None
    for number, members, data in read_lines(lines):
        if done is not None:
            raise _malformed(number, "nothing follows the end")
        if number == 1:
            reading.head = read_head(number, members)
            if reading.head.genesis != genesis.hash:
                raise StatementInvalid(
                    "WRONG_ZONE", number, f"it is of zone {reading.head.genesis.hex()}, not of this one"
                )
        elif "number" in members:
            reading.take_entry(number, members, data)
        elif "unit_proof" in members:
            reading.take_unit(number, members)
        elif "opening_proof" in members:
            reading.take_opening(number, members)
        elif "closing_proof" in members:
            reading.take_closing(number, members)
        elif "signer_proof" in members:
            reading.take_signer(number, members)
        else:
            done = reading.finish(number, members, data)
        reading.digest.update(data)
    if done is None:
        raise _malformed(0, "the file ends before the statement does")
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
        raise _malformed(number, f"headers: a list of at most {HEADERS_MAX}")
    headers = [_hex(number, {"headers": one}, "headers", None) for one in between]
    first, *others = [*headers, _proof(number, members[proof]).header]
    try:
        return read_chain(genesis.hash, first, others, "HEADER_CHAIN_INVALID")
    except ProofInvalid as fault:
        raise StatementInvalid(fault.reason, number, str(fault)) from fault


def _proof(number: int, document: Any) -> Any:
    try:
        return parse_proof_file(jcs.canonicalize(document))
    except (ProofMalformed, ValueError, TypeError) as error:
        raise StatementInvalid("PROOF_MALFORMED", number, str(error)) from error


def _shown(number: int, document: Any, namespace: int, genesis: Genesis) -> Shown:
    proof = _proof(number, document)
    if proof.namespace != namespace or not proof.value:
        raise StatementInvalid("PROOF_MALFORMED", number, "the proof is of something else")
    try:
        return verify_proof(proof, genesis)
    except ProofInvalid as fault:
        raise StatementInvalid(fault.reason, number, str(fault)) from fault


def _key_id(key: Any) -> bytes:
    from icn_crypto.suites import key_id

    return key_id({Suite(one.suite): one.public_key for one in key.public_keys})


def _malformed(number: int, message: str) -> StatementInvalid:
    return StatementInvalid("STATEMENT_MALFORMED", number, message)


def _check_members(number: int, members: Mapping[str, Any], *names: str) -> None:
    if members.keys() != set(names):
        raise _malformed(number, f"its members must be {', '.join(sorted(names))}")


def _hex(number: int, members: Mapping[str, Any], name: str, length: int | None) -> bytes:
    value = members[name]
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise _malformed(number, f"{name}: not hexadecimal")
    found = bytes.fromhex(value)
    if length is not None and len(found) != length:
        raise _malformed(number, f"{name}: {len(found)} bytes, not {length}")
    return found
