from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from icn.consensus.v1 import peer_pb2
from icn_consensus.peers.hello import Greeting, HelloRefused, Identity
from icn_consensus.usecases.crypto import ConsensusCrypto
from icn_crypto.suites import SigningKey, Suite

GENESIS = b"g" * 32
KEYS = [SigningKey.from_seed(Suite.ED25519, bytes([seat]) * 32) for seat in range(4)]


def identity(number: int, *, key: int | None = None, genesis_hash: bytes = GENESIS) -> Identity:
    """Who says that it has a key, and signs with that or another."""
    signing = KEYS[number if key is None else key]
    return Identity(genesis_hash, KEYS[number].public_key, ConsensusCrypto(signing, genesis_hash))


def shake_hands(caller: Greeting, callee: Greeting) -> None:
    callee.hear(caller.say(7), must_answer=False)
    caller.hear(callee.say(9), must_answer=True)
    callee.hear(caller.say(7), must_answer=True)


def test_both_sides_learn_who_the_other_is_and_how_far_it_is() -> None:
    caller, callee = Greeting(identity(1)), Greeting(identity(3))
    shake_hands(caller, callee)
    assert (caller.peer, caller.final_height, caller.is_proven) == (KEYS[3].public_key, 9, True)
    assert (callee.peer, callee.final_height, callee.is_proven) == (KEYS[1].public_key, 7, True)


def test_both_sides_learn_what_the_other_can_decide_by() -> None:
    old, new = (replace(identity(number), protocol_newest=known) for number, known in ((1, 1), (3, 2)))
    caller, callee = Greeting(old), Greeting(new)
    shake_hands(caller, callee)
    assert (caller.protocol_newest, callee.protocol_newest) == (2, 1)


def test_a_release_that_does_not_say_knows_the_first_version() -> None:
    caller, callee = Greeting(identity(1)), Greeting(identity(3))
    first = caller.say(0)
    first.hello.ClearField("protocol_newest")
    callee.hear(first, must_answer=False)
    assert callee.protocol_newest == 1


def test_a_caller_with_another_key_is_refused_when_it_has_to_answer() -> None:
    caller, callee = Greeting(identity(1, key=2)), Greeting(identity(3))
    callee.hear(caller.say(0), must_answer=False)
    caller.hear(callee.say(0), must_answer=True)
    with pytest.raises(HelloRefused, match=f"signature is not that of key {KEYS[1].public_key.hex()}"):
        callee.hear(caller.say(0), must_answer=True)
    assert not callee.is_proven


def test_a_callee_with_another_key_is_refused() -> None:
    caller, callee = Greeting(identity(1)), Greeting(identity(3, key=0))
    callee.hear(caller.say(0), must_answer=False)
    with pytest.raises(HelloRefused, match=f"key {KEYS[3].public_key.hex()}"):
        caller.hear(callee.say(0), must_answer=True)


def test_an_answer_recorded_from_another_stream_is_refused() -> None:
    first, second = Greeting(identity(1)), Greeting(identity(1))
    callee, later = Greeting(identity(3)), Greeting(identity(3))
    callee.hear(first.say(0), must_answer=False)
    first.hear(callee.say(0), must_answer=True)
    recorded = first.say(0)
    later.hear(second.say(0), must_answer=False)
    with pytest.raises(HelloRefused):
        later.hear(recorded, must_answer=True)


@pytest.mark.parametrize("hashes", [(b"a" * 32, b"m" * 32), (b"a" * 32, b""), (b"", b"m" * 32)])
def test_two_sides_that_know_the_caller_by_different_certificates_refuse_each_other(
    hashes: tuple[bytes, bytes],
) -> None:
    """Somebody is in the middle, and passes both Hellos on."""
    caller, callee = Greeting(identity(1), hashes[0]), Greeting(identity(3), hashes[1])
    callee.hear(caller.say(0), must_answer=False)
    with pytest.raises(HelloRefused, match="signature"):
        caller.hear(callee.say(0), must_answer=True)
    caller.peer, caller._peer_nonce = KEYS[3].public_key, callee._nonce
    with pytest.raises(HelloRefused, match="signature"):
        callee.hear(caller.say(0), must_answer=True)
    assert not (caller.is_proven or callee.is_proven)


def test_two_sides_that_know_the_caller_by_one_certificate_are_proven() -> None:
    caller, callee = Greeting(identity(1), b"a" * 32), Greeting(identity(3), b"a" * 32)
    callee.hear(caller.say(0), must_answer=False)
    caller.hear(callee.say(0), must_answer=True)
    callee.hear(caller.say(0), must_answer=True)
    assert caller.is_proven
    assert callee.is_proven


def test_another_zone_is_refused() -> None:
    with pytest.raises(HelloRefused, match="another zone"):
        Greeting(identity(3)).hear(Greeting(identity(1, genesis_hash=b"x" * 32)).say(0), must_answer=False)


def test_a_caller_that_never_answers_is_not_proven() -> None:
    callee = Greeting(identity(3))
    callee.hear(Greeting(identity(1)).say(0), must_answer=False)
    assert not callee.is_proven


def _changed(change: Callable[[peer_pb2.Hello], None]) -> peer_pb2.PeerFrame:
    frame = Greeting(identity(1)).say(0)
    change(frame.hello)
    return frame


def _set(name: str, value: object) -> Callable[[peer_pb2.Hello], None]:
    return lambda hello: setattr(hello, name, value)


@pytest.mark.parametrize(
    "frame",
    [
        peer_pb2.PeerFrame(vote=b"a vote"),
        peer_pb2.PeerFrame(),
        _changed(_set("public_key", b"")),
        _changed(_set("public_key", b"k" * 31)),
        _changed(_set("public_key", KEYS[3].public_key)),
        _changed(_set("nonce", b"")),
        _changed(_set("nonce", b"n" * 31)),
        _changed(_set("nonce", b"n" * 33)),
        _changed(_set("genesis_hash", b"")),
        _changed(_set("final_height", 2**63)),
    ],
    ids=lambda frame: frame.WhichOneof("kind") or "empty",
)
def test_a_stream_that_does_not_begin_with_a_sound_hello_is_refused(frame: peer_pb2.PeerFrame) -> None:
    with pytest.raises(HelloRefused):
        Greeting(identity(3)).hear(frame, must_answer=False)


@pytest.mark.parametrize("name", ["answered_nonce", "signature"])
@pytest.mark.parametrize("value", [b"", b"s" * 32, b"s" * 64])
def test_an_answer_with_a_wrong_nonce_or_signature_is_refused(name: str, value: bytes) -> None:
    caller, callee = Greeting(identity(1)), Greeting(identity(3))
    callee.hear(caller.say(0), must_answer=False)
    caller.hear(callee.say(0), must_answer=True)
    answer = caller.say(0)
    setattr(answer.hello, name, value)
    with pytest.raises(HelloRefused):
        callee.hear(answer, must_answer=True)


@pytest.mark.parametrize(("name", "value"), [("public_key", KEYS[2].public_key), ("nonce", b"m" * 32)])
def test_a_second_hello_that_differs_from_the_first_is_refused(name: str, value: object) -> None:
    caller, callee = Greeting(identity(1)), Greeting(identity(3))
    callee.hear(caller.say(0), must_answer=False)
    caller.hear(callee.say(0), must_answer=True)
    answer = caller.say(0)
    setattr(answer.hello, name, value)
    with pytest.raises(HelloRefused, match="differs from the first"):
        callee.hear(answer, must_answer=True)


def test_an_answer_passed_on_by_somebody_in_the_middle_is_refused() -> None:
    """Dial one validator in the name of another with that one's nonce, and use its answer there."""
    target = Greeting(identity(3))
    opening = Greeting(identity(1)).say(0)
    target.hear(opening, must_answer=False)
    nonce = target.say(0).hello.nonce
    for claimed in (0, 3):  # as a third one, and as the target itself
        in_the_middle = Greeting(identity(claimed)).say(0)
        in_the_middle.hello.nonce = nonce
        victim = Greeting(identity(1))
        victim.hear(in_the_middle, must_answer=False)
        answer = victim.say(0)
        assert answer.hello.answered_nonce == nonce
        answer.hello.nonce = opening.hello.nonce
        with pytest.raises(HelloRefused, match=f"signature is not that of key {KEYS[1].public_key.hex()}"):
            target.hear(answer, must_answer=True)
