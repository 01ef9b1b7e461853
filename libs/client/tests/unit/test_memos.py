"""Memos: sealed to the keys that are proven, kept as soon as the host can, shown to who has no key."""

from __future__ import annotations

import asyncio
import base64
import json
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from icn.ledger.v1.state_pb2 import AccountLeaf, ControllerLeaf
from icn.ledger.v1.transaction_pb2 import KeyScope
from icn.marketplace.v1 import service_pb2 as pb
from icn_chain.epochs import ProofInvalid
from icn_client import memos
from icn_client.acting import now_ms
from icn_client.cli.memos import Memo
from icn_client.cli.output import Refused
from icn_client.keystore import Identity
from icn_client.memos import fetch, keep, open_memos, seal_for
from icn_client.opened_memos import MemoKey, MemosInvalid, open_with, opened_line, payment_of, read_opened
from icn_client.proven_ledger import Proven
from icn_client.transactions import KeyPair, controller_key
from icn_crypto.sealed_memo import MEMO_KEYS_MAX, MemoBroken, Payment, memo_key_ids, open_memo
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
PAYMENT = Payment(b"account of anna.", b"account of bread")
OTHER_PAYMENT = Payment(b"account of eve..", PAYMENT.destination)


class FakeConnection:
    """A ledger that proves some leaves, and a host that keeps memos after ``refusals``."""

    def __init__(self, *identities: Identity, refusals: list[DomainError] | None = None) -> None:
        self.genesis = SimpleNamespace(hash=GENESIS)
        self.refusals = refusals or []
        self.kept: dict[bytes, bytes] = {}
        self.asked: list[Any] = []
        self.leaves: dict[str, bytes] = {}
        for one in identities:
            self.know(one.principal, [controller_key(key.public_keys) for key in one.keys])

    def know(self, principal: bytes, keys: list[Any]) -> None:
        leaf = ControllerLeaf(principal=principal, keys=keys)
        self.leaves[f"principals/{principal.hex()}"] = leaf.SerializeToString()

    def opened(self, account: bytes, owner: bytes) -> None:
        self.leaves[f"accounts/{account.hex()}"] = AccountLeaf(
            account=account, owner=owner
        ).SerializeToString()

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
    async def prove(connection: Any, name: str, _identifier: bytes) -> Proven:
        return Proven(connection.leaves.get(name, b""), 7)

    monkeypatch.setattr(memos, "prove_leaf", prove)
    monkeypatch.setattr(memos, "KEEP_SECONDS", 0.01)
    monkeypatch.setattr(memos, "KEEP_SECONDS_MAX", 0.3)
    monkeypatch.setattr(memos, "PROOF_SECONDS", 0.05)
    monkeypatch.setattr(memos, "PROOF_POLL_SECONDS", 0.01)


async def sealed_by(connection: Any, text: str, *principals: bytes) -> bytes:
    return await seal_for(connection, text, PAYMENT, [("principals", one) for one in principals])


async def test_every_key_of_both_parties_opens_it_and_no_other_does() -> None:
    second = KeyPair.generate(BOTH)
    bakery = Identity("bakery", BAKERY.principal, 1, (*BAKERY.keys, second))
    connection: Any = FakeConnection(ANNA, bakery)
    connection.opened(PAYMENT.source, ANNA.principal)
    connection.opened(PAYMENT.destination, bakery.principal)
    parties = [
        ("accounts", PAYMENT.source),
        ("accounts", PAYMENT.destination),
        ("principals", ANNA.principal),
    ]
    sealed = await seal_for(connection, "two loaves", PAYMENT, parties)
    assert len(memo_key_ids(sealed)) == 3
    for key in (*ANNA.keys, *bakery.keys):
        seed = key.signing_keys[Suite.ED25519].seed
        assert open_memo(sealed, key.key_id, seed, PAYMENT, GENESIS).text == "two loaves"
    assert open_with(EVE, sealed, PAYMENT, GENESIS) is None


async def test_keys_that_are_not_proven_are_not_sealed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is believed adds a key of its own, and reads every memo."""

    async def lie(_connection: Any, name: str, _identifier: bytes) -> Proven:
        raise ProofInvalid("CERTIFICATE_INVALID", f"{name}: nobody signed that")

    connection = FakeConnection(ANNA, BAKERY)
    monkeypatch.setattr(memos, "prove_leaf", lie)
    with pytest.raises(FailedPrecondition, match=r"is not as who answers says: .*nobody signed") as refused:
        await sealed_by(connection, "rent", ANNA.principal)
    assert refused.value.reason == "MEMO_UNREADABLE"


async def test_what_no_final_block_names_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    connection: Any = FakeConnection(ANNA)
    values = [FailedPrecondition("PROOF_NOT_READY", "soon"), Proven(b"", 6)]

    async def later(_connection: Any, name: str, _identifier: bytes) -> Proven:
        answer = values.pop(0) if values else Proven(connection.leaves[name], 7)
        if isinstance(answer, DomainError):
            raise answer
        return answer

    monkeypatch.setattr(memos, "prove_leaf", later)
    assert await sealed_by(connection, "rent", ANNA.principal)


async def test_to_who_has_no_key_for_it_nothing_is_sealed() -> None:
    only_ml_dsa = KeyPair.generate((Suite.ML_DSA_65,))
    connection = FakeConnection(ANNA)
    connection.know(b"o" * 16, [controller_key(only_ml_dsa.public_keys)])
    for principal, why in ((b"o" * 16, "has no Ed25519 key"), (b"nobody known her", "cannot be proven")):
        with pytest.raises(FailedPrecondition, match=why) as refused:
            await sealed_by(connection, "rent", ANNA.principal, principal)
        assert refused.value.reason == "MEMO_UNREADABLE"


async def test_a_key_whose_scope_has_ended_opens_nothing_new() -> None:
    keys = [KeyPair.generate() for _ in range(3)]
    listed = [controller_key(key.public_keys) for key in keys]
    listed[1].scope.CopyFrom(KeyScope(message_kinds=[6], expire_time_ms=now_ms() - 1))
    listed[2].scope.CopyFrom(KeyScope(message_kinds=[6], expire_time_ms=now_ms() + 60_000))
    connection = FakeConnection()
    connection.know(b"o" * 16, listed)
    sealed = await sealed_by(connection, "rent", b"o" * 16)
    assert set(memo_key_ids(sealed)) == {keys[0].key_id, keys[2].key_id}


async def test_to_more_keys_than_a_memo_has_room_for_nothing_is_sealed() -> None:
    connection = FakeConnection(ANNA)
    many = [controller_key(KeyPair.generate().public_keys) for _ in range(MEMO_KEYS_MAX)]
    connection.know(b"o" * 16, many)
    assert await sealed_by(connection, "rent", b"o" * 16)
    with pytest.raises(FailedPrecondition, match="33 keys, it is sealed to 32 at most"):
        await sealed_by(connection, "rent", ANNA.principal, b"o" * 16)


async def test_a_key_that_is_none_is_refused_by_the_command() -> None:
    connection: Any = FakeConnection()
    bad = controller_key(ANNA.keys[0].public_keys)
    bad.public_keys[0].public_key = bytes(32)
    connection.know(b"o" * 16, [bad])
    connection.opened(PAYMENT.source, b"o" * 16)
    connection.opened(PAYMENT.destination, b"o" * 16)
    with pytest.raises(Refused, match="is no key to seal to"):
        await Memo("rent").seal(connection, *PAYMENT)


@pytest.mark.parametrize(
    "refusal",
    [
        Unavailable("STATE_BEHIND", "soon"),
        NotFound("PAYMENT_UNKNOWN", "soon"),
        NotFound("ORDER_UNKNOWN", "soon"),
        NotFound("ACCOUNT_UNKNOWN", "soon"),
    ],
)
async def test_a_memo_that_comes_before_its_block_is_brought_again(refusal: DomainError) -> None:
    connection: Any = FakeConnection(refusals=[refusal] * 5)
    await keep(connection, "accounts/00", 7, b"sealed")
    assert connection.kept and len(connection.asked) == 6
    connection = FakeConnection(refusals=[refusal] * 1_000)
    with pytest.raises(type(refusal)):
        await keep(connection, "accounts/00", 7, b"sealed")
    assert len(connection.asked) < 100, "with a pause between"


async def test_a_host_that_does_not_answer_is_not_waited_for_longer_than_told() -> None:
    class Hanging:
        async def call_service(self, *_: Any) -> Any:
            await asyncio.Event().wait()

    hanging: Any = Hanging()
    with pytest.raises(Unavailable, match=r"no answer in 0\.3 s"):
        await keep(hanging, "accounts/00", 7, b"sealed")


@pytest.mark.parametrize(
    "refusal", [InvalidArgument("MEMO_MALFORMED", "no"), ResourceExhausted("BLOB_QUOTA_EXCEEDED", "full")]
)
async def test_what_waiting_does_not_change_is_said_at_once(
    refusal: DomainError, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the memo is handed out, with how to bring it."""
    connection: Any = FakeConnection(ANNA, refusals=[refusal] * 2)
    with pytest.raises(type(refusal)):
        await keep(connection, "accounts/00", 7, b"sealed")
    assert len(connection.asked) == 1
    connection.opened(PAYMENT.source, ANNA.principal)
    connection.opened(PAYMENT.destination, ANNA.principal)
    memo = Memo("rent")
    assert await memo.seal(connection, *PAYMENT) == sha256(memo.sealed).digest()
    await memo.keep(connection, f"accounts/{PAYMENT.source.hex()}", 7)
    assert memo.shown["memo_is_kept"] is False
    assert base64.b64decode(memo.shown["memo_sealed"]) == memo.sealed
    said = capsys.readouterr().err
    assert f"icn memo keep accounts/{PAYMENT.source.hex()} --height 7 -" in said
    assert memo.shown["memo_sealed"] in said
    await memo.keep(connection, "orders/00")
    assert connection.kept == {sha256(memo.sealed).digest(): memo.sealed}


async def test_what_a_host_answers_besides_is_not_taken() -> None:
    connection: Any = FakeConnection()
    connection.kept = {b"h" * 32: b"something else"}
    assert await fetch(connection, [b"h" * 32]) == {}
    assert await fetch(connection, [b""]) == {}


def test_who_paid_whom_is_said_by_the_sign() -> None:
    assert payment_of(b"a", b"b", -1) == Payment(b"a", b"b")
    assert payment_of(b"a", b"b", 1) == Payment(b"b", b"a")


async def opened_by_anna(text: str = "two loaves") -> tuple[MemoKey, bytes]:
    """A memo, and the line that shows it."""
    connection: Any = FakeConnection(ANNA)
    sealed = await sealed_by(connection, text, ANNA.principal)
    entry = MemoKey(sha256(sealed).digest(), PAYMENT)
    connection.kept[entry.memo_hash] = sealed
    lines: list[bytes] = []
    found = await open_memos(connection, ANNA, [entry, entry], lambda *told: lines.append(opened_line(*told)))
    assert (list(found.texts), found.kept, found.broken) == ([entry], 1, 0)
    return entry, lines[0]


async def test_memos_are_opened_in_calls_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memos, "MEMOS_ASKED_MAX", 2)
    connection: Any = FakeConnection(ANNA)
    entries = []
    for number in range(5):
        sealed = await sealed_by(connection, f"memo {number}", ANNA.principal)
        entries.append(MemoKey(sha256(sealed).digest(), PAYMENT))
        if number != 3:
            connection.kept[entries[-1].memo_hash] = sealed
    connection.asked.clear()
    nothing = MemoKey(b"", PAYMENT)
    found = await open_memos(connection, ANNA, [nothing, *entries, entries[0]])
    assert [memo.text for memo in found.texts.values()] == ["memo 0", "memo 1", "memo 2", "memo 4"]
    assert [len(request.names) for request in connection.asked] == [2, 2, 1]
    assert (await open_memos(connection, EVE, entries)).texts == {}


async def test_a_memo_that_was_copied_from_another_payment_is_told_to_be_broken() -> None:
    """Eve pays a cent with the hash of Anna's memo: it must not stand beside Eve's cent."""
    connection: Any = FakeConnection(ANNA)
    sealed = await sealed_by(connection, "invoice 17", ANNA.principal)
    memo_hash = sha256(sealed).digest()
    connection.kept = {memo_hash: sealed, b"x" * 32: b"noise"}
    found = await open_memos(
        connection, ANNA, [MemoKey(memo_hash, OTHER_PAYMENT), MemoKey(memo_hash, PAYMENT)]
    )
    assert ([key.payment for key in found.texts], found.kept, found.broken) == ([PAYMENT], 2, 1)


async def test_a_key_whose_place_is_spoilt_keeps_no_other_from_opening() -> None:
    second = KeyPair.generate()
    bakery = Identity("bakery", BAKERY.principal, 1, (*BAKERY.keys, second))
    sealed = bytearray(await sealed_by(FakeConnection(bakery), "rent", bakery.principal))
    first = bakery.keys[0].key_id
    sealed[33 + 96 * memo_key_ids(bytes(sealed)).index(first) + 50] ^= 1
    memo = open_with(bakery, bytes(sealed), PAYMENT, GENESIS)
    assert memo is not None and memo.text == "rent"
    alone = Identity("bakery", BAKERY.principal, 1, bakery.keys[:1])
    with pytest.raises(MemoBroken):
        open_with(alone, bytes(sealed), PAYMENT, GENESIS)


async def test_an_opened_memo_is_read_without_any_key() -> None:
    text = 'zwei Brote, 14. März\n"frisch" \u202e\x1b[31m'
    entry, line = await opened_by_anna(text)
    assert line.count(b"\n") == 1 and line.isascii() and b"\x1b" not in line
    assert read_opened([line], GENESIS) == {entry: text}
    with pytest.raises(MemosInvalid, match="line 1: the memo is not the text"):
        read_opened([line], b"h" * 32)


async def test_an_opened_memo_that_shows_another_text_is_refused() -> None:
    entry, line = await opened_by_anna()
    _, others = await opened_by_anna("three loaves")
    document, other = json.loads(line), json.loads(others)
    good = base64.b64decode(document["sealed"])
    for changes, why in (
        ({"text": "three loaves"}, "the text is not what was sealed"),
        ({"source": OTHER_PAYMENT.source.hex()}, "the memo is not the text that it commits to"),
        ({"destination": "00"}, "an account has 16 bytes"),
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
    assert entry.memo_hash.hex() == document["memo_hash"]
