"""Memos: sealed to the keys that the ledger names, kept as soon as the host can, shown to who has no key."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from icn.ledger.v1.state_pb2 import ControllerLeaf
from icn.marketplace.v1 import service_pb2 as pb
from icn_client import memos
from icn_client.keystore import Identity
from icn_client.memos import MemosInvalid, fetch, keep, memo_texts, opened_line, read_opened, seal_for
from icn_client.transactions import KeyPair, controller_key
from icn_crypto.sealed_memo import MEMO_KEYS_MAX, open_memo
from icn_crypto.suites import Suite
from icn_kit.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)

GENESIS = b"g" * 32
BOTH = (Suite.ED25519, Suite.ML_DSA_65)
ANNA, BAKERY, EVE = Identity.generate("anna"), Identity.generate("bakery", BOTH), Identity.generate("eve")


class FakeConnection:
    """A ledger that knows some controllers, and a host that keeps memos after ``refusals``."""

    def __init__(self, *identities: Identity, refusals: list[DomainError] | None = None) -> None:
        self.genesis = SimpleNamespace(hash=GENESIS)
        self.refusals = refusals or []
        self.kept: dict[bytes, bytes] = {}
        self.asked: list[Any] = []
        self._known = {
            one.principal: [controller_key(key.public_keys) for key in one.keys] for one in identities
        }

    def know(self, principal: bytes, keys: list[Any]) -> None:
        self._known[principal] = keys

    async def controller(self, principal: bytes) -> Any:
        if principal not in self._known:
            raise NotFound("CONTROLLER_UNKNOWN", "nobody")
        return ControllerLeaf(principal=principal, keys=self._known[principal])

    async def call_service(self, method: str, request: Any, _response_type: Any) -> Any:
        self.asked.append(request)
        if method.endswith("ListMemos"):
            digests = [bytes.fromhex(name.removeprefix("memos/")) for name in request.names]
            return pb.ListMemosResponse(contents=[self.kept[one] for one in digests if one in self.kept])
        if self.refusals:
            raise self.refusals.pop(0)
        self.kept[sha256(request.content).digest()] = request.content
        return pb.KeepMemoResponse()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memos, "KEEP_SECONDS", 0.0)


async def sealed_by(connection: Any, text: str, *principals: bytes) -> bytes:
    return await seal_for(connection, text, principals)


async def test_every_key_of_both_parties_opens_it_and_no_other_does() -> None:
    second = KeyPair.generate(BOTH)
    bakery = Identity("bakery", BAKERY.principal, 1, (*BAKERY.keys, second))
    connection = FakeConnection(ANNA, bakery)
    sealed = await sealed_by(connection, "two loaves", ANNA.principal, bakery.principal, ANNA.principal)
    for key in (*ANNA.keys, *bakery.keys):
        seed = key.signing_keys[Suite.ED25519].seed
        assert open_memo(sealed, key.key_id, seed, GENESIS).text == "two loaves"
    assert memos.open_with(EVE, sealed, GENESIS) is None


async def test_to_who_has_no_key_for_it_nothing_is_sealed() -> None:
    only_ml_dsa = KeyPair.generate((Suite.ML_DSA_65,))
    connection = FakeConnection(ANNA)
    connection.know(b"o" * 16, [controller_key(only_ml_dsa.public_keys)])
    for principal in (b"o" * 16, b"nobody known her"):
        with pytest.raises(FailedPrecondition, match="has no Ed25519 key") as refused:
            await sealed_by(connection, "rent", ANNA.principal, principal)
        assert refused.value.reason == "MEMO_UNREADABLE"


async def test_to_more_keys_than_a_memo_has_room_for_nothing_is_sealed() -> None:
    connection = FakeConnection(ANNA)
    many = [controller_key(KeyPair.generate().public_keys) for _ in range(MEMO_KEYS_MAX)]
    connection.know(b"o" * 16, many)
    assert await sealed_by(connection, "rent", b"o" * 16)
    with pytest.raises(FailedPrecondition, match="33 keys, a memo is sealed to 32 at most"):
        await sealed_by(connection, "rent", ANNA.principal, b"o" * 16)


@pytest.mark.parametrize(
    "refusal", [Unavailable("STATE_BEHIND", "soon"), NotFound("PAYMENT_UNKNOWN", "soon")]
)
async def test_a_memo_that_comes_before_its_block_is_brought_again(refusal: DomainError) -> None:
    connection: Any = FakeConnection(refusals=[refusal] * (memos.KEEP_TRIES_MAX - 1))
    await keep(connection, "accounts/00", 7, b"sealed")
    assert connection.kept and len(connection.asked) == memos.KEEP_TRIES_MAX
    connection = FakeConnection(refusals=[refusal] * memos.KEEP_TRIES_MAX)
    with pytest.raises(type(refusal)):
        await keep(connection, "accounts/00", 7, b"sealed")


@pytest.mark.parametrize(
    "refusal", [InvalidArgument("MEMO_MALFORMED", "no"), ResourceExhausted("BLOB_QUOTA_EXCEEDED", "full")]
)
async def test_what_waiting_does_not_change_is_said_at_once(refusal: DomainError) -> None:
    connection: Any = FakeConnection(refusals=[refusal])
    with pytest.raises(type(refusal)):
        await keep(connection, "accounts/00", 7, b"sealed")
    assert len(connection.asked) == 1


async def test_memos_are_fetched_in_calls_of_bounded_size_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memos, "MEMOS_ASKED_MAX", 2)
    connection: Any = FakeConnection()
    contents = [b"memo %d" % number for number in range(5)]
    hashes = [sha256(content).digest() for content in contents]
    connection.kept = dict(zip(hashes[:4], contents, strict=False))
    found = await fetch(connection, [b"", *hashes, hashes[0]])
    assert found == dict(zip(hashes[:4], contents, strict=False))
    assert [len(request.names) for request in connection.asked] == [2, 2, 1]


async def test_what_a_host_answers_besides_is_not_taken() -> None:
    connection: Any = FakeConnection()
    connection.kept = {b"h" * 32: b"something else"}
    assert await fetch(connection, [b"h" * 32]) == {}


async def opened_by_anna(text: str = "two loaves") -> tuple[bytes, bytes]:
    """Hash of a memo, and the line that shows it."""
    sealed = await sealed_by(FakeConnection(ANNA), text, ANNA.principal)
    memo_hash = sha256(sealed).digest()
    opened = memo_texts(ANNA, {memo_hash: sealed, b"x" * 32: b"noise"}, GENESIS)
    assert list(opened) == [memo_hash]
    return memo_hash, opened_line(memo_hash, sealed, opened[memo_hash])


async def test_an_opened_memo_is_read_without_any_key() -> None:
    memo_hash, line = await opened_by_anna('zwei Brote, 14. März\n"frisch"')
    assert line.count(b"\n") == 1
    assert read_opened([line], GENESIS) == {memo_hash: 'zwei Brote, 14. März\n"frisch"'}
    with pytest.raises(MemosInvalid, match="line 1: the memo is not the text"):
        read_opened([line], b"h" * 32)


async def test_an_opened_memo_that_shows_another_text_is_refused() -> None:
    memo_hash, line = await opened_by_anna()
    _, others = await opened_by_anna("three loaves")
    document, other = json.loads(line), json.loads(others)
    good = base64.b64decode(document["sealed"])
    for changes, why in (
        ({"text": "three loaves"}, "the text is not what was sealed"),
        ({"key": other["key"]}, "does not open with its key"),
        ({"sealed": other["sealed"]}, "does not have the hash"),
        ({"memo_hash": other["memo_hash"]}, "does not have the hash"),
        ({"sealed": base64.b64encode(good[:-1]).decode()}, "does not have the hash"),
        ({"sealed": "no base64!"}, "no opened memo"),
        ({"key": "zz"}, "no opened memo"),
        ({"key": 7}, "no opened memo"),
    ):
        with pytest.raises(MemosInvalid, match=f"line 2: .*{why}"):
            read_opened([line, json.dumps({**document, **changes}).encode()], GENESIS)
    for noise in (b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b"null"):
        with pytest.raises(MemosInvalid, match="line 1: no opened memo"):
            read_opened([noise], GENESIS)
    assert memo_hash.hex() == document["memo_hash"]
