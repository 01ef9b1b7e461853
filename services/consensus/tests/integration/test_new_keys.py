"""A validator that lost all comes back with a new key: it follows, and votes from when it is named."""

from __future__ import annotations

import json
import secrets
import shutil
import time

import grpc
import psycopg
import pytest
from icn.consensus.v1 import block_pb2
from icn_chain.validator_set import NO_SEAT
from icn_consensus.domain.actions import MessageKind
from icn_consensus.peers import frames, network
from icn_consensus.peers.hello import Identity
from icn_consensus.peers.standing import FAULTS_MAX
from icn_consensus.usecases.crypto import ConsensusCrypto
from icn_consensus.usecases.ports import FetchRequest
from icn_crypto.suites import SigningKey, Suite

from .conftest import WAIT_SECONDS, MakeFederation, Validator, until
from .counting_application import NAMES_SEATS, chain_of, make_transaction
from .test_federation import COMMITTED
from .test_hostile_streams import dial, reason_of_end, shake_hands

EPOCH_MS = 60_000
LEFT_MS = 10_000
"""Of the first epoch, when the federation starts."""
LOST = 3


async def lose_everything(validator: Validator, database: str, address: str) -> SigningKey:
    """Log, database and state are gone; there is a new key, and perhaps a new address that nobody knows."""
    await validator.stop()
    shutil.rmtree(validator.settings.record_directory)
    with psycopg.connect(database) as connection:
        connection.execute(
            "TRUNCATE consensus.final_blocks, consensus.record_log, consensus.evidence, consensus.key_leases"
        )
    seed = secrets.token_bytes(32)
    key_file = validator.directory / "keys" / "new.json"
    key_file.write_text(json.dumps({"ed25519": seed.hex()}))
    validator.settings = validator.settings.model_copy(update={"key_file": key_file, "address": address})
    validator.application = validator.new_application()
    return SigningKey.from_seed(Suite.ED25519, seed)


def named(validator_set: bytes, seat: int, key: SigningKey) -> bytes:
    """The set with another key for a seat."""
    message = block_pb2.ValidatorSet.FromString(validator_set)
    (found,) = [one for one in message.validators[seat].keys if one.suite == Suite.ED25519]
    found.public_key = key.public_key
    return message.SerializeToString(deterministic=True)


def seat_of(validator: Validator) -> int:
    assert validator.service is not None
    return validator.service.driver.status().seat


@pytest.mark.parametrize("moves", [False, True], ids=["at its address", "at another"])
async def test_who_lost_everything_follows_until_it_is_named_and_votes_from_the_next_epoch_on(
    make_federation: MakeFederation, four_databases: list[str], moves: bool
) -> None:
    begun_ms = time.time_ns() // 1_000_000 - EPOCH_MS + LEFT_MS
    federation = make_federation(epoch_ms=EPOCH_MS, heartbeat_ms=1_000, genesis_time_ms=begun_ms)
    await federation.start()
    *steady, lost = federation.validators
    sequence = 0

    async def submit(payload: bytes = b"") -> None:
        nonlocal sequence
        sequence += 1
        [outcome] = await steady[sequence % 3].submit([make_transaction(b"ana", sequence, payload=payload)])
        assert outcome.state == COMMITTED

    await submit()
    address = "127.0.0.1:0" if moves else lost.settings.address
    key = await lose_everything(lost, four_databases[LOST], address)
    await submit()
    await lost.start()
    await until(lambda: lost.application.total == sequence)
    await submit()
    await until(lambda: lost.application.total == sequence)
    assert seat_of(lost) == NO_SEAT
    await submit(NAMES_SEATS + named(federation.network.genesis.validator_set, LOST, key))
    await until(lambda: seat_of(lost) == LOST and seat_of(steady[0]) == 0, WAIT_SECONDS)

    await steady[0].stop()  # from now on nothing is final without the new key
    steady = [steady[1], steady[2], steady[1]]
    await submit()
    await until(lambda: lost.application.total == sequence)
    chain_of([lost.application, steady[0].application])
    await lost.stop()
    await lost.start()
    await submit()


async def test_followers_are_bounded_and_only_their_questions_are_heard(
    make_federation: MakeFederation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "FOLLOWERS_MAX", 2)
    federation = make_federation()
    await federation.start()
    calls = []
    for _ in range(3):
        key = SigningKey.generate(Suite.ED25519)
        genesis_hash = federation.network.genesis.hash
        call = dial(federation, 0)
        await shake_hands(
            federation, call, Identity(genesis_hash, key.public_key, ConsensusCrypto(key, genesis_hash))
        )
        calls.append(call)
    assert await reason_of_end(calls[0]) == (grpc.StatusCode.UNAVAILABLE, "FOLLOWERS_FULL")
    for call in calls[1:]:
        await call.write(frames.fetch_request_frame(FetchRequest(7, final_from_height=1)))
        assert frames.parse_frames(await call.read())
        call.cancel()


async def test_a_recovery_certificate_is_heard_of_a_follower_and_one_that_is_none_ends_its_stream(
    make_federation: MakeFederation,
) -> None:
    """With all keys lost everybody is a follower to everybody."""
    federation = make_federation()
    await federation.start()
    key = SigningKey.generate(Suite.ED25519)
    genesis_hash = federation.network.genesis.hash
    call = dial(federation, 0)
    await shake_hands(
        federation, call, Identity(genesis_hash, key.public_key, ConsensusCrypto(key, genesis_hash))
    )
    for _ in range(2 * FAULTS_MAX):
        await call.write(frames.message_frame(MessageKind.VOTE, b"no vote"))
    await call.write(frames.fetch_request_frame(FetchRequest(7, final_from_height=1)))
    parsed = frames.parse_frames(await call.read())
    while all(frame.WhichOneof("kind") != "fetch_response" for frame in parsed):
        parsed = frames.parse_frames(await call.read())
    await call.write(frames.message_frame(MessageKind.RECOVERY, b"no certificate"))
    assert await reason_of_end(call) == (grpc.StatusCode.UNAVAILABLE, "PEER_BARRED")
