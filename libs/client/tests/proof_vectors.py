"""Write docs/spec/vectors/proof: a genesis file, and files of every kind of proof with their verdicts.

    .venv/bin/python -m libs.client.tests.proof_vectors

Keys are made from names, so that the same bytes come each time. Source: docs/spec/proof.md, "In other
languages". Answers are what the light client gives; that they are right is for the tests to say, which hold
a second verifier against them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from icn_client.light.exporting import to_ics23
from icn_client.light.proofs import Proof
from icn_client.light.verify import TRUSTING_PERIOD_MS, checkpoint_of, verdict, verify_proof
from icn_crypto.proof_files import verify_proof as verify_other
from icn_kit.genesis import Genesis

from libs.client.tests import proof_examples as examples
from libs.client.tests.conftest import EPOCH_MS, GENESIS_TIME_MS, Zone, make_proof, make_zone

FOLDER: Final = Path(__file__).resolve().parents[3] / "docs/spec/vectors/proof"
NOW_MS: Final = GENESIS_TIME_MS + 5 * EPOCH_MS
NAME: Final = "proof vectors"
NOBODY: Final = b"n" * 16


class Case(NamedTuple):
    """A file, and what it is checked with."""

    name: str
    file: bytes
    checkpoint: bytes | None = None
    now_ms: int = NOW_MS

    def written(self, genesis: Genesis) -> dict[str, Any]:
        """With the verdict."""
        answer = verdict(self.file, genesis, self.now_ms, checkpoint=self.checkpoint)
        answer.pop("message", None)
        checkpoint = None if self.checkpoint is None else self.checkpoint.decode()
        return {
            "name": self.name,
            "file": self.file.decode(),
            "checkpoint": checkpoint,
            "now_ms": self.now_ms,
            "answer": answer,
        }


def changed(proof: Proof, **members: Any) -> bytes:
    """The file with other members."""
    return json.dumps(json.loads(proof.to_bytes()) | members, separators=(",", ":")).encode()


def flipped(text: str, place: int = -1) -> str:
    """Hexadecimal with the lowest bit of a byte changed."""
    data = bytearray.fromhex(text)
    data[place] ^= 1
    return data.hex()


def balance(zone: Zone) -> Iterator[Case]:
    """Over two epochs, of which the second ends with another set."""
    proof = make_proof(zone, bytes([5]) * 16, NAME)
    plain = examples.leaf_proof(zone, bytes([5]) * 16)
    other = examples.leaf_proof(zone, bytes([6]) * 16)
    yield Case("account 5 stands at 500", proof.to_bytes())
    yield Case("in the first epoch", plain.to_bytes())
    yield Case("white space does not matter", json.dumps(json.loads(plain.to_bytes()), indent=1).encode())
    yield Case("a member too much", changed(plain, memo=""))
    yield Case("a member twice", plain.to_bytes().replace(b"{", b'{"value":"",', 1))
    yield Case("capital hexadecimal", changed(plain, identifier="0A" * 16))
    yield Case("a namespace as text", changed(plain, namespace="3"))
    yield Case("a fraction", plain.to_bytes().replace(b'"namespace":3', b'"namespace":3.0'))
    yield Case("another zone's", changed(plain, genesis="00" * 32))
    yield Case("another account's leaf", replace(plain, value=other.value).to_bytes())
    yield Case("another account's path", replace(plain, state_proof=other.state_proof).to_bytes())
    yield Case("a balance of one more", changed(plain, value=plain.value.hex().replace("20e807", "20ea07")))
    yield Case("a leaf with a field of its own", changed(plain, value=plain.value.hex() + "f80101"))
    yield Case("a bad signature", changed(plain, finalization=flipped(plain.finalization.hex())))
    yield Case("a step left out", replace(proof, epochs=proof.epochs[:1]).to_bytes())
    yield Case("steps in another order", replace(proof, epochs=proof.epochs[::-1]).to_bytes())
    first, second = proof.epochs
    yield Case(
        "the set as it was before the step",
        replace(proof, epochs=(first, replace(second, next_validator_set=zone.validator_set))).to_bytes(),
    )
    yield Case(
        "a set that stays the same, written out",
        replace(proof, epochs=(replace(first, next_validator_set=zone.validator_set), second)).to_bytes(),
    )
    yield Case(
        "headers that are no chain",
        replace(proof, descendant_headers=proof.descendant_headers[::-1]).to_bytes(),
    )
    last = proof.descendant_headers[-1]
    yield Case(
        "two of four signatures",
        replace(
            proof,
            epochs=(
                replace(first, finalization=zone.certificate(first.descendant_headers[0], seats=(0, 1))),
                second,
            ),
        ).to_bytes(),
    )
    yield Case("signed by the set before", replace(proof, finalization=zone.certificate(last)).to_bytes())


def absence(zone: Zone) -> Iterator[Case]:
    """Of an account, with and without the leaves beside it."""
    proof = examples.absence_proof(zone, NOBODY)
    bare = replace(proof, neighbours=())
    left, right = proof.neighbours
    yield Case("there is no such account", bare.to_bytes())
    yield Case("with both leaves beside it", proof.to_bytes())
    yield Case("with one", replace(proof, neighbours=(right,)).to_bytes())
    yield Case(
        "of an account that is there",
        replace(examples.leaf_proof(zone, bytes([5]) * 16), value=b"").to_bytes(),
    )
    yield Case("neighbours in another order", replace(proof, neighbours=(right, left)).to_bytes())
    yield Case(
        "a neighbour that is not so",
        replace(proof, neighbours=(replace(left, value=right.value), right)).to_bytes(),
    )
    yield Case("no neighbours, written out", changed(bare, neighbours=[]))
    leaf = json.loads(proof.to_bytes())["neighbours"][0]
    yield Case(
        "a neighbour beside what is there",
        changed(examples.leaf_proof(zone, bytes([5]) * 16), neighbours=[leaf]),
    )
    yield Case("a null where the path ends", _null_last(bare))


def _null_last(proof: Proof) -> bytes:
    document = json.loads(proof.to_bytes())
    document["state_proof"]["siblings"].append(None)
    return json.dumps(document).encode()


def receipt(zone: Zone) -> Iterator[Case]:
    """Of a block of five."""
    proof = examples.receipt_proof(zone, 1)
    others = examples.receipts()
    for index, name in enumerate(
        ("applied", "refused with figures", "refused", "a contract's", "the last of five")
    ):
        yield Case(name, examples.receipt_proof(zone, index).to_bytes())
    yield Case("the only one of its block", examples.receipt_proof(zone, 0, 1).to_bytes())
    unnamed = examples.receipt_proof(zone, 1, later=1)
    yield Case("of the block below the one that the header names", unnamed.to_bytes())
    yield Case("three below it", examples.receipt_proof(zone, 1, later=3).to_bytes())
    yield Case("another's receipt", replace(proof, receipt=others[0]).to_bytes())
    yield Case("another floor", changed(proof, receipt=proof.receipt.hex().replace("10c701", "10c501")))
    yield Case("a hash too few", replace(proof, path=proof.path[:-1]).to_bytes())
    yield Case("a hash too many", replace(proof, path=(*proof.path, bytes(32))).to_bytes())
    yield Case("another place", replace(proof, index=0).to_bytes())
    yield Case("a place beyond the end", changed(proof, index=5))
    yield Case("another root before", replace(proof, before=bytes(32)).to_bytes())
    yield Case("a later block left out", replace(unnamed, later_roots=()).to_bytes())
    yield Case(
        "a later block too many", replace(unnamed, later_roots=(*unnamed.later_roots, bytes(32))).to_bytes()
    )
    yield Case("another later block", replace(unnamed, later_roots=(bytes(32),)).to_bytes())
    yield Case("no later blocks where there is null", changed(proof, later_roots=None))
    yield Case("a default written out", replace(proof, receipt=proof.receipt + b"\x28\x00").to_bytes())
    yield Case("no verdict", replace(proof, receipt=b"\x0a\x20" + bytes(32)).to_bytes())
    yield Case("no finalization of its descendants", replace(proof, descendant_headers=()).to_bytes())


def entry(zone: Zone) -> Iterator[Case]:
    """Of an account with five."""
    proof = examples.entry_proof(zone, 2)
    first, second, *rest = proof.entries
    for number in range(1, examples.ENTRIES + 1):
        yield Case(f"number {number}", examples.entry_proof(zone, number).to_bytes())
    yield Case("one left out", replace(proof, entries=(first, *rest)).to_bytes())
    yield Case("the last left out", replace(proof, entries=proof.entries[:-1]).to_bytes())
    yield Case(
        "another amount", replace(proof, entries=(first._replace(amount_minor=1), second, *rest)).to_bytes()
    )
    yield Case("another number", replace(proof, entries=(first._replace(number=1), second, *rest)).to_bytes())
    yield Case("another hash before", replace(proof, before=bytes(32)).to_bytes())
    yield Case("no entries", changed(proof, entries=[]))
    yield Case("a byte too few", changed(proof, entries=[json.loads(proof.to_bytes())["entries"][0][:-2]]))
    account = json.loads(proof.to_bytes())["account_proof"]
    yield Case(
        "another balance in the leaf",
        changed(proof, account_proof=account | {"value": flipped(account["value"], 58)}),
    )
    yield Case("an account that is not there", changed(proof, account_proof=account | {"value": ""}))


def checkpoint(zone: Zone) -> Iterator[Case]:
    """Proofs from a checkpoint on, and checkpoints that are not believed."""
    proof = make_proof(zone, bytes([5]) * 16, NAME)
    shown = verify_proof(proof, zone.genesis)
    made = checkpoint_of(shown, zone.genesis)
    newest = made.to_bytes()
    short = replace(proof, epochs=()).to_bytes()
    members = json.loads(newest)
    yield Case("the same proof", proof.to_bytes(), newest)
    yield Case("without the steps before it", short, newest)
    yield Case("without the steps and without it", short)
    yield Case("on the last day", short, newest, made.time_ms + TRUSTING_PERIOD_MS)
    yield Case("a millisecond later", short, newest, made.time_ms + TRUSTING_PERIOD_MS + 1)
    yield Case("another block at its height", short, json.dumps(members | {"block_hash": "00" * 32}).encode())
    yield Case("of another zone", short, json.dumps(members | {"genesis": "00" * 32}).encode())
    yield Case(
        "of another set", short, json.dumps(members | {"validator_set": zone.validator_set.hex()}).encode()
    )
    yield Case("a member too much", short, json.dumps(members | {"memo": ""}).encode())
    older = examples.receipt_proof(zone, 1)
    yield Case("a receipt older than it", older.to_bytes(), newest)
    first = checkpoint_of(verify_proof(older, zone.genesis), zone.genesis).to_bytes()
    yield Case("a receipt from one of its epoch", older.to_bytes(), first)
    yield Case("another history from there", proof.to_bytes(), first)


KINDS: Final = {
    "balance": balance,
    "absence": absence,
    "receipt": receipt,
    "entry": entry,
    "checkpoint": checkpoint,
}


def ics23(zone: Zone) -> list[dict[str, Any]]:
    """Exports, as objects, with the answer of ``icn ledger verify-proof --kind ics23``."""
    there = json.loads(to_ics23(examples.leaf_proof(zone, bytes([5]) * 16)))
    absent = json.loads(to_ics23(examples.absence_proof(zone, NOBODY)))
    value = flipped(there["value"])
    forms: Mapping[str, dict[str, Any]] = {
        "account 5": there,
        "account 5 as the published specification has it": there | {"spec": "smt"},
        "no such account": absent,
        "no such account as the published specification has it": absent | {"spec": "smt"},
        "another value": there | {"value": value},
        "another root": there | {"root": flipped(there["root"])},
        "another key": there | {"key": flipped(there["key"])},
        "account 5 is not absent": there | {"value": ""},
        "nor beside these": absent | {"key": there["key"]},
        "another tree's": there | {"spec": "iavl"},
    }
    return [
        {"name": name, "form": form, "answer": {"valid": verify_other("ics23", form)["valid"]}}
        for name, form in forms.items()
    ]


def vectors() -> dict[str, Any]:
    """Content by name of the file."""
    zone = make_zone(NAME)
    made: dict[str, Any] = {
        f"{kind}.json": [case.written(zone.genesis) for case in cases(zone)] for kind, cases in KINDS.items()
    }
    return {"genesis.json": zone.document, **made, "ics23.json": ics23(zone)}


def text_of(content: Any) -> str:
    """As it is written."""
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in vectors().items():
        (FOLDER / name).write_text(text_of(content), encoding="utf-8")


if __name__ == "__main__":
    main()
