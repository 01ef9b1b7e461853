"""The JSON file that shows one entry of an account: those from it on, up to a leaf that is proven.

Source: docs/spec/proof.md, "Entries". What it says is judged by `icn_client.light.verify`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from icn.ledger.v1.state_pb2 import AccountLeaf
from icn_crypto import jcs
from icn_crypto.hashing import HASH_BYTES
from icn_machine.entries import Entry, PostingKind
from icn_machine.records import Namespace

from icn_client.light.final_header import ProofMalformed, read_hex, read_members
from icn_client.light.proof_file import ProofFile, read_proof_file

FORMAT: Final = "icn/entry-proof/v1"
ENTRIES_MAX: Final = 10_000
"""4 MB of them; an older entry is shown by its transaction's receipt."""
_BODY: Final = Struct(">QQQ32sQqq16s32s32s16s")
"""What an entry's hash covers behind the hash before it (docs/spec/ledger.md, "The chain of an account's
entries")."""


@dataclass(frozen=True, slots=True)
class EntryProof:
    """An entry as it is handed over, well-formed and not yet judged."""

    account_proof: ProofFile
    """Of the leaf that the entries end in."""
    before: bytes
    """Hash of the chain before the entry, 32 bytes; zeros where it is the first."""
    entries: tuple[Entry, ...]
    """The entry, and all behind it up to the leaf. What is not there is zeros."""

    def to_bytes(self) -> bytes:
        """The file's bytes, in the form of RFC 8785."""
        return jcs.canonicalize(
            {
                "format": FORMAT,
                "account_proof": json.loads(self.account_proof.to_bytes()),
                "before": self.before.hex(),
                "entries": [_BODY.pack(*entry).hex() for entry in self.entries],
            }
        )


def read_entry_proof(document: object) -> EntryProof:
    """The object of a file of this format. Raises ProofMalformed."""
    members = read_members(document, "", "format", "account_proof", "before", "entries")
    entries = members["entries"]
    if not isinstance(entries, list) or not 1 <= len(entries) <= ENTRIES_MAX:
        raise ProofMalformed(f"entries: must be an array of 1 to {ENTRIES_MAX}")
    try:
        account = read_proof_file(members["account_proof"])
    except ProofMalformed as error:
        raise ProofMalformed(f"account_proof: {error}") from error
    if account.namespace != Namespace.ACCOUNT or not account.value:
        raise ProofMalformed("account_proof: must be of an account that is there")
    return EntryProof(
        account,
        read_hex(members["before"], "before", HASH_BYTES, HASH_BYTES),
        tuple(
            Entry(*_BODY.unpack(read_hex(body, f"entries[{position}]", _BODY.size, _BODY.size)))
            for position, body in enumerate(entries)
        ),
    )


def describe_entry(entry: Entry, account: AccountLeaf) -> dict[str, Any]:
    """What an entry says: ids in hex, empty where there is none; numbers as decimal strings."""
    known = {int(kind): kind.name.lower() for kind in PostingKind}
    return {
        "kind": "entry",
        "account": account.account.hex(),
        "unit": account.unit.hex(),
        "number": str(entry.number),
        "entries": str(account.entries),
        "height": str(entry.height),
        "block_time_ms": str(entry.block_time_ms),
        "transaction": _unless_zeros(entry.transaction_id),
        "posting": known.get(entry.kind, str(entry.kind)),
        "amount_minor": str(entry.amount_minor),
        "balance_minor": str(entry.balance_minor),
        "counter_account": entry.counter_account.hex(),
        "memo_hash": _unless_zeros(entry.memo_hash),
        "reference": entry.reference.rstrip(b"\0").hex(),
        "hold": _unless_zeros(entry.hold),
    }


def _unless_zeros(data: bytes) -> str:
    return data.hex() if any(data) else ""
