"""A statement of an account, or of an account and all its sub-accounts: its lines, written and read.

What they show together is judged by `icn_client.light.verify_statement`.

Pure: no network, no files, no clock. Source: docs/spec/ledger.md, "Statements".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from typing import IO, Any, Final, NamedTuple

from icn_chain.epochs import ProofInvalid
from icn_crypto import jcs, tags
from icn_crypto.hashing import preimage
from icn_machine.entries import Entry, PostingKind, extend_sub_accounts
from icn_machine.limits import QUANTITY_MAX, REFERENCE_BYTES_MAX
from icn_machine.records import Namespace

from icn_client.light.final_header import ProofMalformed
from icn_client.light.leaves import read_statement
from icn_client.light.proof_file import ProofFile, ShownLeaf, parse_proof_file, read_leaf

FORMAT: Final = "icn/statement/v1"
ENTRY_LINE_BYTES_MAX: Final = 4_096
PROOF_LINE_BYTES_MAX: Final = 64 * 1024 * 1024
"""As for a proof file."""
HEADERS_MAX: Final = 10_000
"""Between the state that is shown and the header that names it; mostly none."""
SUB_ACCOUNTS_MAX: Final = 10_000
"""In one statement: a verifier holds the sums of each."""
TIME_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, behind which there are no dates."""
_KINDS: Final = {kind.name.lower(): int(kind) for kind in PostingKind}
_NAMES: Final = {number: name for name, number in _KINDS.items()}
_KIND_NUMBER: Final = re.compile(r"[1-9][0-9]{0,9}")
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

    def has(self, entry: Entry) -> bool:
        """Whether an entry is of the span."""
        return self.from_ms <= entry.block_time_ms < self.until_ms


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

    def merge(self, other: Sums) -> None:
        """Add what another account of the same statement has."""
        self.opening_minor += other.opening_minor
        self.closing_minor += other.closing_minor
        self.debited_minor += other.debited_minor
        self.credited_minor += other.credited_minor
        self.entries += other.entries

    def to_dict(self) -> dict[str, str]:
        """Decimal strings."""
        return {
            "opening_minor": str(self.opening_minor),
            "closing_minor": str(self.closing_minor),
            "debited_minor": str(self.debited_minor),
            "credited_minor": str(self.credited_minor),
            "entries": str(self.entries),
        }


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
            raise statement_malformed(number, f"more than {PROOF_LINE_BYTES_MAX} bytes")
        try:
            members = json.loads(data)
            # An entry is compared with its own one form when it is read.
            is_line = isinstance(members, dict) and ("number" in members or line(members) == data)
        except (ValueError, TypeError, RecursionError):
            is_line = False
        if not is_line:
            raise statement_malformed(number, "not a line of JSON in the form of RFC 8785")
        yield number, members, data


def bounded_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, none read beyond the bound."""
    return iter(lambda: file.readline(PROOF_LINE_BYTES_MAX + 1), b"")


def read_head(number: int, members: Mapping[str, Any]) -> Head:
    """The first line, read. Raises StatementInvalid."""
    check_line(number, members, "format", "genesis", "account", "from_ms", "until_ms")
    if members["format"] != FORMAT:
        raise statement_malformed(number, f"format: must be {FORMAT}")
    from_ms, until_ms = members["from_ms"], members["until_ms"]
    for value in (from_ms, until_ms):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= TIME_MS_MAX:
            raise statement_malformed(number, "from_ms and until_ms are milliseconds")
    if from_ms >= until_ms:
        raise statement_malformed(number, f"from_ms {from_ms} is not before until_ms {until_ms}")
    return Head(
        hex_member(number, members, "genesis", 32),
        hex_member(number, members, "account", 16),
        from_ms,
        until_ms,
    )


def read_entry(number: int, members: Mapping[str, Any], data: bytes) -> Entry:
    """An entry's line, read. Raises StatementInvalid."""
    if len(data) > ENTRY_LINE_BYTES_MAX:
        raise statement_malformed(number, f"{len(data)} bytes, at most {ENTRY_LINE_BYTES_MAX}")
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
        raise statement_malformed(number, "not the line of an entry")
    _check_entry(number, entry)
    return entry


def _check_entry(number: int, entry: Entry) -> None:
    at, height, time_ms, transaction, _, amount, balance, other, memo, reference, hold = entry
    if not (
        0 < at <= QUANTITY_MAX
        and 0 < height <= QUANTITY_MAX
        and abs(amount) <= QUANTITY_MAX
        and abs(balance) <= QUANTITY_MAX
    ):
        raise statement_malformed(number, "a number is out of its range")
    if not 0 <= time_ms <= TIME_MS_MAX:
        raise statement_malformed(number, f"block_time_ms {time_ms} is no date")
    if len(other) != 16 or len(reference) > REFERENCE_BYTES_MAX:
        raise statement_malformed(number, "counter_account has 16 bytes, reference at most 32")
    if len(transaction) not in (0, 32) or len(memo) not in (0, 32) or len(hold) not in (0, 16):
        raise statement_malformed(number, "transaction and memo_hash have 32 bytes, hold 16, or none")


def read_unit(number: int, members: Mapping[str, Any]) -> Mapping[str, Any]:
    """The unit's line, read and not proven. Raises StatementInvalid."""
    check_line(number, members, "unit_proof")
    return _read_leaf(number, members["unit_proof"], Namespace.UNIT)


def read_opening(number: int, members: Mapping[str, Any]) -> Mapping[str, Any]:
    """The account's leaf of the opening's line, read and not proven. Raises StatementInvalid."""
    check_line(number, members, "opening_proof", "headers")
    return _read_leaf(number, members["opening_proof"], Namespace.ACCOUNT)


def read_sub_accounts(number: int, members: Mapping[str, Any]) -> tuple[bytes, ...]:
    """The ids of the line of sub-accounts, in its order. Raises StatementInvalid."""
    check_line(number, members, "sub_accounts")
    named = members["sub_accounts"]
    if not isinstance(named, list) or len(named) > SUB_ACCOUNTS_MAX:
        raise statement_malformed(number, f"sub_accounts: a list of at most {SUB_ACCOUNTS_MAX}")
    return tuple(hex_member(number, {"sub_accounts": one}, "sub_accounts", 16) for one in named)


def sub_accounts_hash(genesis_hash: bytes, accounts: Iterable[bytes]) -> bytes:
    """What the leaf of an account has of its sub-accounts in this order; empty for none."""
    return reduce(partial(extend_sub_accounts, genesis_hash), accounts, b"")


def read_leaf_line(number: int, members: Mapping[str, Any], name: str, account: bytes) -> ShownLeaf:
    """A sub-account's leaf, of the line of its opening or closing, not proven. Raises StatementInvalid."""
    check_line(number, members, name)
    leaf = members[name]
    if not isinstance(leaf, dict):
        raise statement_malformed(number, f"{name}: not an object")
    check_line(number, leaf, "value", "state_proof")
    place = {"namespace": int(Namespace.ACCOUNT), "identifier": account.hex()}
    try:
        return read_leaf({**leaf, **place}, f"{name}.", 1)
    except ProofMalformed as error:
        raise StatementInvalid(error.reason, number, str(error)) from error


def leaf_statement(number: int, leaf: ShownLeaf) -> Mapping[str, Any]:
    """What a leaf says, proven or not. Raises StatementInvalid."""
    try:
        return read_statement(leaf.namespace, leaf.identifier, leaf.value)
    except ProofInvalid as fault:
        raise StatementInvalid(fault.reason, number, str(fault)) from fault


def _read_leaf(number: int, document: Any, namespace: Namespace) -> Mapping[str, Any]:
    proof = line_proof(number, document)
    if proof.namespace != namespace or not proof.value:
        raise statement_malformed(number, "the proof is of something else")
    return leaf_statement(number, proof.leaf)


def line_proof(number: int, document: Any) -> ProofFile:
    """The proof that a line has. Raises StatementInvalid (PROOF_MALFORMED)."""
    try:
        return parse_proof_file(jcs.canonicalize(document))
    except (ProofMalformed, ValueError, TypeError) as error:
        raise StatementInvalid("PROOF_MALFORMED", number, str(error)) from error


def statement_malformed(number: int, message: str) -> StatementInvalid:
    """A line is none of a statement, or not in its place."""
    return StatementInvalid("STATEMENT_MALFORMED", number, message)


def check_line(number: int, members: Mapping[str, Any], *names: str) -> None:
    """That a line has these members and no others. Raises StatementInvalid."""
    if members.keys() != set(names):
        raise statement_malformed(number, f"its members must be {', '.join(sorted(names))}")


def hex_member(number: int, members: Mapping[str, Any], name: str, length: int | None) -> bytes:
    """Bytes of a line, of a length or of any. Raises StatementInvalid."""
    value = members[name]
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise statement_malformed(number, f"{name}: not hexadecimal")
    found = bytes.fromhex(value)
    if length is not None and len(found) != length:
        raise statement_malformed(number, f"{name}: {len(found)} bytes, not {length}")
    return found
