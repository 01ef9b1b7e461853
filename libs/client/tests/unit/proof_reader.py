"""A second verifier of proofs, written from docs/spec/proof.md and the pages that it names alone.

It imports nothing of the platform: what it needs is SHA-256, JSON and Ed25519. Recoveries (rule 6a) it does
not know, and of leaves it reads accounts only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from struct import Struct
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ZEROS: Final = bytes(32)
MOST: Final = 2**63 - 1
DAYS_90_MS: Final = 90 * 86_400_000
FINAL: Final = {"format", "genesis", "header", "descendant_headers", "finalization", "epochs"}
LEAF: Final = {"namespace", "identifier", "value", "state_proof"}
ACCOUNT: Final = 3
ENTRY: Final = Struct(">QQQ32sQqq16s32s32s16s")
HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
HEADER_HASHES: Final = (4, 6, 8, 9, 10, 11, 12, 14, 15)
HEADER_NUMBERS: Final = (1, 2, 3, 5, 7, 13)
POSTINGS: Final = {1: "transfer", 2: "capture"}


class Refused(Exception):
    """A rule that fails; its reason is the message."""


def check(holds: object, reason: str) -> None:
    if not holds:
        raise Refused(reason)


def malformed(holds: object) -> None:
    check(holds, "PROOF_MALFORMED")


# Hashes: docs/spec/cryptography.md, "Preimages and domain tags".


def preimage(tag: str, zone: bytes, body: bytes) -> bytes:
    return len(tag).to_bytes(4, "big") + tag.encode() + zone + len(body).to_bytes(4, "big") + body


def tagged(tag: str, zone: bytes, body: bytes) -> bytes:
    return sha256(preimage(tag, zone, body)).digest()


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


# Protobuf: docs/spec/proof.md, "In other languages".


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value (an integer or bytes) of each field, in canonical form."""
    at, before = 0, 0

    def read() -> int:
        nonlocal at
        start, number = at, 0
        while True:
            malformed(at < len(data) and at - start < 10)
            number |= (data[at] & 127) << 7 * (at - start)
            at += 1
            if data[at - 1] < 128:
                malformed(data[start:at] == varint(number) and number < 2**64)
                return number

    while at < len(data):
        tag = read()
        malformed(tag >> 3 >= before and tag & 7 in (0, 2))
        before = tag >> 3
        value: Any = read()
        if tag & 7 == 2:
            malformed(at + value <= len(data))
            at += value
            value = data[at - value : at]
        yield tag >> 3, value


def single(data: bytes, numbers: Sequence[int], lists: Sequence[int] = ()) -> dict[int, Any]:
    """A message's fields: integers by these numbers, bytes by the others; lists of bytes."""
    found: dict[int, Any] = {number: [] for number in lists}
    for number, value in fields(data):
        if number in lists:
            malformed(isinstance(value, bytes))
            found[number].append(value)
            continue
        malformed(number not in found and isinstance(value, int) is (number in numbers) and value)
        found[number] = value
    return found


class Header(NamedTuple):
    number: Mapping[int, int]
    hash_of: Mapping[int, bytes]
    hash: bytes

    height = property(lambda self: self.number[2])
    view = property(lambda self: self.number[3])
    time_ms = property(lambda self: self.number[5])
    executed = property(lambda self: self.number[7])
    epoch = property(lambda self: self.number[13])


def read_header(zone: bytes, data: bytes) -> Header:
    found = single(data, HEADER_NUMBERS)
    malformed(set(found) <= {*HEADER_NUMBERS, *HEADER_HASHES})
    number = {one: found.get(one, 0) for one in HEADER_NUMBERS}
    hashes = {one: found.get(one, b"") for one in HEADER_HASHES}
    malformed(max(number.values()) <= MOST and number[1] == 1)
    malformed(all(len(one) == 32 for one in hashes.values()))
    return Header(number, hashes, tagged("icn/block/v1", zone, data))


def read_set(data: bytes) -> list[bytes]:
    """Ed25519 keys in seat order."""
    keys = []
    seats = single(data, (), (1,))
    malformed(set(seats) == {1} and 4 <= len(seats[1]) <= 50)
    for seat in seats[1]:
        read = single(seat, (), (2,))
        pairs = [single(one, (1,)) for one in read[2]]
        own = [pair[2] for pair in pairs if pair.get(1) == 1]
        malformed(len(own) == 1 and len(own[0]) == 32)
        keys += own
    malformed(len(set(keys)) == len(keys))
    return keys


class Zone:
    """What a genesis file says."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        # The files of the vectors have nothing that RFC 8785 would write otherwise.
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        self.hash = tagged("icn/genesis/v1", ZEROS, canonical)
        self.time_ms, self.epoch_ms = document["genesis_time_ms"], document["epoch_ms"]
        self.profile = document["trust_profile"]
        self.first_set = b""
        for seat in document["validators"]:
            named = {1: "ed25519", 2: "ml_dsa_65"}
            keys = b""
            for suite, name in named.items():
                key = bytes.fromhex(seat["consensus_public_keys"][name])
                body = b"\x08" + varint(suite) + b"\x12" + varint(len(key)) + key
                keys += b"\x12" + varint(len(body)) + body
            body = b"\x0a\x10" + bytes.fromhex(seat["organization"]) + keys
            self.first_set += b"\x0a" + varint(len(body)) + body

    def epoch_of(self, time_ms: int) -> int:
        return int((time_ms - self.time_ms) // self.epoch_ms)


# The file: docs/spec/proof.md, "The file".


def read_json(text: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        malformed(len(dict(pairs)) == len(pairs))
        return dict(pairs)

    def none(_text: str) -> None:
        malformed(False)

    try:
        return json.loads(text.decode(), object_pairs_hook=once, parse_float=none, parse_constant=none)
    except ValueError:
        raise Refused("PROOF_MALFORMED") from None


def read_hex(value: Any, least: int, most: int) -> bytes:
    malformed(isinstance(value, str) and HEX.fullmatch(value) and least <= len(value) // 2 <= most)
    return bytes.fromhex(value)


def has(value: Any, names: set[str]) -> dict[str, Any]:
    malformed(isinstance(value, dict) and set(value) == names)
    found: dict[str, Any] = value
    return found


def check_final_form(document: Mapping[str, Any]) -> None:
    read_hex(document["genesis"], 32, 32)
    read_hex(document["header"], 1, 512)
    read_hex(document["finalization"], 1, 8_192)
    malformed(isinstance(document["epochs"], list) and len(document["epochs"]) <= 4_096)
    many = 0
    for place in (document, *document["epochs"]):
        malformed(isinstance(place, dict) and isinstance(place.get("descendant_headers"), list))
        many += len(place["descendant_headers"])
        for header in place["descendant_headers"]:
            read_hex(header, 1, 512)
    malformed(many <= 10_000)
    for step in document["epochs"]:
        has(step, {"edge_header", "descendant_headers", "finalization", "next_validator_set"})
        read_hex(step["edge_header"], 1, 512)
        read_hex(step["finalization"], 1, 8_192)
        read_hex(step["next_validator_set"], 0, 262_144)


def check_leaf_form(leaf: Mapping[str, Any], value_least: int = 0) -> None:
    malformed(type(leaf["namespace"]) is int and leaf["namespace"] == ACCOUNT)
    read_hex(leaf["identifier"], 16, 16)
    read_hex(leaf["value"], value_least, 66_560)
    proof = leaf["state_proof"]
    is_other = isinstance(proof, dict) and proof.get("terminal") == "other"
    has(proof, {"siblings", "terminal", "other"} if is_other else {"siblings", "terminal"})
    malformed(proof["terminal"] in ("leaf", "empty", "other") and isinstance(proof["siblings"], list))
    malformed(len(proof["siblings"]) <= 256 and (not proof["siblings"] or proof["siblings"][-1] is not None))
    for sibling in proof["siblings"]:
        if sibling is not None:
            malformed(any(read_hex(sibling, 32, 32)))
    if is_other:
        for name in ("key", "value_hash"):
            read_hex(has(proof["other"], {"key", "value_hash"})[name], 32, 32)


def check_form(document: Any) -> None:
    """Rule 1."""
    form = document.get("format") if isinstance(document, dict) else None
    if form == "icn/proof/v1":
        extra = {"neighbours"} & set(document)
        has(document, FINAL | LEAF | extra)
        check_leaf_form(document)
        if extra:
            beside = document["neighbours"]
            malformed(isinstance(beside, list) and 1 <= len(beside) <= 2 and not document["value"])
            for one in beside:
                check_leaf_form(has(one, LEAF), 1)
        check_final_form(document)
    elif form == "icn/receipt-proof/v1":
        has(document, FINAL | {"receipt", "index", "size", "path", "before", "later_roots"})
        read_hex(document["receipt"], 1, 1_048_576)
        malformed(type(document["size"]) is int and 1 <= document["size"] <= 65_536)
        malformed(type(document["index"]) is int and 0 <= document["index"] < document["size"])
        read_hex(document["before"], 32, 32)
        for name, most in (("path", 16), ("later_roots", 10_000)):
            malformed(isinstance(document[name], list) and len(document[name]) <= most)
            for one in document[name]:
                read_hex(one, 32, 32)
        check_final_form(document)
    else:
        malformed(form == "icn/entry-proof/v1")
        has(document, {"format", "account_proof", "before", "entries"})
        account = document["account_proof"]
        malformed(isinstance(account, dict) and account.get("format") == "icn/proof/v1")
        check_form(account)
        malformed(account["value"])
        read_hex(document["before"], 32, 32)
        malformed(isinstance(document["entries"], list) and 1 <= len(document["entries"]) <= 10_000)
        for entry in document["entries"]:
            read_hex(entry, ENTRY.size, ENTRY.size)


# Verification: docs/spec/proof.md, rules 2 to 12.


class Trusted(NamedTuple):
    epoch: int
    set_bytes: bytes

    @property
    def set_hash(self) -> bytes:
        return tagged("icn/validator-set/v1", ZEROS, self.set_bytes)


def read_chain(zone: bytes, place: Mapping[str, Any], first: str, reason: str) -> list[Header]:
    chain = [read_header(zone, bytes.fromhex(place[first]))]
    for data in place["descendant_headers"]:
        header, parent = read_header(zone, bytes.fromhex(data)), chain[-1]
        check(header.hash_of[4] == parent.hash and header.height == parent.height + 1, reason)
        check(header.time_ms > parent.time_ms and header.view > parent.view, reason)
        check(header.epoch >= parent.epoch, reason)
        chain.append(header)
    return chain


def check_certificate(zone: bytes, data: bytes, last: Header, trusted: Trusted) -> None:
    found = single(data, (1, 2, 3, 4, 5, 7), (8,))
    keys = read_set(trusted.set_bytes)
    wanted = {1: 3, 2: 1, 3: trusted.epoch, 4: last.view, 5: last.height, 6: last.hash, 7: 1}
    reason = "CERTIFICATE_INVALID"
    check(all(found.get(one, 0) == value for one, value in wanted.items()), reason)
    numbers = (last.epoch, last.view, last.height)
    body = (1).to_bytes(4, "big") + b"".join(one.to_bytes(8, "big") for one in numbers) + last.hash
    signed = preimage("icn/finalize/v1", zone, body)
    votes = [single(one, (1,)) for one in found[8]]
    malformed(all(len(vote.get(2, b"")) == 64 for vote in votes))
    seats = [vote.get(1, 0) for vote in votes]
    check(len(seats) > 2 * len(keys) // 3 and seats == sorted(set(seats)) and seats[-1] < len(keys), reason)
    for seat, vote in zip(seats, votes, strict=True):
        try:
            Ed25519PublicKey.from_public_bytes(keys[seat]).verify(vote[2], signed)
        except InvalidSignature:
            raise Refused(reason) from None


def take_step(zone: Zone, step: Mapping[str, Any], trusted: Trusted) -> Trusted:
    chain = read_chain(zone.hash, step, "edge_header", "EPOCH_STEP_INVALID")
    edge = chain[0]
    is_edge = edge.epoch == trusted.epoch and edge.hash_of[14] == trusted.set_hash
    check(is_edge and zone.epoch_of(edge.time_ms) > trusted.epoch, "EPOCH_STEP_INVALID")
    check_certificate(zone.hash, bytes.fromhex(step["finalization"]), chain[-1], trusted)
    named = bytes.fromhex(step["next_validator_set"])
    following = Trusted(zone.epoch_of(edge.time_ms), named or trusted.set_bytes)
    read_set(following.set_bytes)
    check(edge.hash_of[15] == following.set_hash, "VALIDATOR_SET_MISMATCH")
    malformed(not named or following.set_hash != trusted.set_hash)
    return following


def certain(zone: Zone, chain: Sequence[Header]) -> Iterator[Header]:
    """Headers that certainly have a place in the chain ("Checkpoints")."""

    def ends(header: Header) -> bool:
        return zone.epoch_of(header.time_ms) > header.epoch

    for place, header in enumerate(chain):
        parent = chain[place - 1] if place else None
        child = chain[place + 1] if place + 1 < len(chain) else None
        is_first = parent is not None and (parent.epoch < header.epoch or not ends(parent))
        if not ends(header) or is_first or (child is not None and child.epoch > header.epoch):
            yield header


def begin(
    zone: Zone, document: Mapping[str, Any], checkpoint: Mapping[str, Any] | None
) -> tuple[Trusted, Any]:
    steps = document["epochs"]
    if checkpoint is None:
        return Trusted(0, zone.first_set), steps
    check(bytes.fromhex(checkpoint["genesis"]) == zone.hash, "WRONG_ZONE")
    edges = [read_header(zone.hash, bytes.fromhex(step["edge_header"])) for step in steps]
    chain = read_chain(zone.hash, document, "header", "HEADER_CHAIN_INVALID")
    block_hash = bytes.fromhex(checkpoint["block_hash"])
    for header in (*edges, *certain(zone, chain)):
        check(header.height != checkpoint["height"] or header.hash == block_hash, "CHECKPOINT_CONFLICT")
    for edge in edges:
        is_below = edge.epoch == checkpoint["epoch"] and edge.height < checkpoint["height"]
        check(not is_below, "CHECKPOINT_CONFLICT")
    check(chain[-1].epoch >= checkpoint["epoch"], "CHECKPOINT_LATER")
    left = [step for step, edge in zip(steps, edges, strict=True) if edge.epoch >= checkpoint["epoch"]]
    return Trusted(checkpoint["epoch"], bytes.fromhex(checkpoint["validator_set"])), left


def check_final(zone: Zone, document: Mapping[str, Any], checkpoint: Any) -> tuple[Header, int]:
    """Rules 2 to 9: the header, and the epochs walked."""
    check(bytes.fromhex(document["genesis"]) == zone.hash, "WRONG_ZONE")
    trusted, steps = begin(zone, document, checkpoint)
    for step in steps:
        trusted = take_step(zone, step, trusted)
    chain = read_chain(zone.hash, document, "header", "HEADER_CHAIN_INVALID")
    last = chain[-1]
    check(last.epoch == trusted.epoch and last.hash_of[14] == trusted.set_hash, "HEADER_CHAIN_INVALID")
    check_certificate(zone.hash, bytes.fromhex(document["finalization"]), last, trusted)
    check(chain[0].executed < chain[0].height, "HEADER_CHAIN_INVALID")
    return chain[0], len(steps)


def key_of(leaf: Mapping[str, Any]) -> bytes:
    name = bytes([leaf["namespace"]]) + bytes.fromhex(leaf["identifier"])
    return tagged("icn/state-key/v1", ZEROS, name)


def leaf_holds(leaf: Mapping[str, Any], root: bytes) -> bool:
    """docs/spec/state-tree.md, "Proofs"."""
    key, value, proof = key_of(leaf), bytes.fromhex(leaf["value"]), leaf["state_proof"]
    siblings = [ZEROS if one is None else bytes.fromhex(one) for one in proof["siblings"]]
    bits = f"{int.from_bytes(key, 'big'):0256b}"
    if value:
        if proof["terminal"] != "leaf":
            return False
        current = sha256(b"\0" + key + sha256(value).digest()).digest()
    elif proof["terminal"] == "empty":
        current = ZEROS
    elif proof["terminal"] == "other":
        other = bytes.fromhex(proof["other"]["key"])
        shared = f"{int.from_bytes(other, 'big'):0256b}"[: len(siblings)]
        if other == key or shared != bits[: len(siblings)]:
            return False
        current = sha256(b"\0" + other + bytes.fromhex(proof["other"]["value_hash"])).digest()
    else:
        return False
    for bit, sibling in reversed(list(zip(bits, siblings, strict=False))):
        current = node(sibling, current) if bit == "1" else node(current, sibling)
    return current == root


def read_account(leaf: Mapping[str, Any]) -> dict[int, Any]:
    """Canonical, and of its identifier (rule 10)."""
    found = single(bytes.fromhex(leaf["value"]), (4, 5, 6, 7, 8))
    malformed(max(found) <= 11)
    check(found.get(1) == bytes.fromhex(leaf["identifier"]), "LEAF_MISMATCH")
    return found


def check_leaf(document: Mapping[str, Any], header: Header) -> None:
    """Rules 10 to 12."""
    if document["value"]:
        read_account(document)
    beside = document.get("neighbours", [])
    for leaf in (document, *beside):
        check(leaf_holds(leaf, header.hash_of[8]), "STATE_PROOF_INVALID")
    if len(beside) == 2:
        check(key_of(beside[0]) < key_of(document) < key_of(beside[1]), "NEIGHBOUR_INVALID")


def check_receipt(document: Mapping[str, Any], header: Header) -> dict[str, Any]:
    """Rules 10r to 12r."""
    receipt = bytes.fromhex(document["receipt"])
    found = single(receipt, (2, 4), (5, 6))
    malformed(len(found.get(1, b"")) == 32 and found.get(2) in (1, 2))
    index, last = document["index"], document["size"] - 1
    current = sha256(b"\0" + receipt).digest()
    path = [bytes.fromhex(one) for one in document["path"]]
    reason = "RECEIPT_PROOF_INVALID"
    while last:
        if index % 2 or index < last:
            check(path, reason)
            sibling = path.pop(0)
            current = node(sibling, current) if index % 2 else node(current, sibling)
        index, last = index // 2, last // 2
    check(not path, reason)
    current = node(bytes.fromhex(document["before"]), current)
    for later in document["later_roots"]:
        current = node(current, bytes.fromhex(later))
    check(current == header.hash_of[9], reason)
    status = {1: "applied", 2: "refused"}[found[2]]
    return {
        "kind": "receipt",
        "transaction_id": found[1].hex(),
        "status": status,
        "reason": found.get(3, b"").decode(),
    }


def check_entries(zone: Zone, document: Mapping[str, Any]) -> dict[str, Any]:
    """docs/spec/ledger.md, "The chain of an account's entries"."""
    account = read_account(document["account_proof"])
    end = bytes.fromhex(document["before"])
    for entry in document["entries"]:
        end = tagged("icn/entry/v1", zone.hash, end + bytes.fromhex(entry))
    check(end == account.get(9), "ENTRY_CHAIN_INVALID")
    number, height, time_ms, transaction, kind, amount, balance, other, memo, reference, hold = ENTRY.unpack(
        bytes.fromhex(document["entries"][0])
    )
    return {
        "kind": "entry",
        "account": account[1].hex(),
        "unit": account[3].hex(),
        "number": str(number),
        "entries": str(account[8]),
        "height": str(height),
        "block_time_ms": str(time_ms),
        "transaction": transaction.hex() if any(transaction) else "",
        "posting": POSTINGS.get(kind, str(kind)),
        "amount_minor": str(amount),
        "balance_minor": str(balance),
        "counter_account": other.hex(),
        "memo_hash": memo.hex() if any(memo) else "",
        "reference": reference.rstrip(b"\0").hex(),
        "hold": hold.hex() if any(hold) else "",
    }


def read_checkpoint(text: bytes) -> dict[str, Any]:
    names = {"format", "genesis", "epoch", "height", "time_ms", "block_hash", "validator_set"}
    try:
        found = has(read_json(text), names)
        malformed(found["format"] == "icn/checkpoint/v1")
        malformed(
            all(type(found[one]) is int and 0 <= found[one] <= MOST for one in ("epoch", "height", "time_ms"))
        )
        for name in ("genesis", "block_hash"):
            read_hex(found[name], 32, 32)
        read_set(read_hex(found["validator_set"], 1, 262_144))
    except Refused:
        raise Refused("CHECKPOINT_MALFORMED") from None
    return found


def judge(text: bytes, genesis: Mapping[str, Any], now_ms: int, checkpoint: bytes | None) -> dict[str, Any]:
    """The answer without `message`; of a leaf's statement nothing, of a receipt's the head."""
    zone = Zone(genesis)
    answer: dict[str, Any] = {
        "valid": False,
        "height": None,
        "trust": "genesis" if checkpoint is None else "checkpoint",
        "profile": zone.profile,
        "age_seconds": None,
        "epochs": None,
    }
    said: dict[str, Any] = {}
    try:
        start = None if checkpoint is None else read_checkpoint(checkpoint)
        if start is not None:
            check(now_ms - start["time_ms"] <= DAYS_90_MS, "CHECKPOINT_EXPIRED")
        document = read_json(text)
        check_form(document)
        final = document.get("account_proof", document)
        header, epochs = check_final(zone, final, start)
        if "receipt" in document:
            said = check_receipt(document, header)
        else:
            check_leaf(final, header)
            if "entries" in document:
                said = check_entries(zone, document)
    except Refused as refusal:
        return answer | {"reason": str(refusal)}
    later = len(document.get("later_roots", ()))
    age_seconds = max(0, now_ms - header.time_ms) // 1000
    return answer | {
        "valid": True,
        "height": header.executed - later,
        "age_seconds": age_seconds,
        "epochs": epochs,
        "statement": said,
    }
