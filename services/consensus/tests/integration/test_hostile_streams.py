"""What a stranger with a certificate of the zone may try on PeerService."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import grpc
import pytest
from icn.consensus.v1 import peer_pb2
from icn.consensus.v1.service_pb2 import ListEvidenceRequest
from icn_chain.certificate import VOTE_TAGS, VoteKind, build_certificate, vote_body
from icn_chain.evidence import parse
from icn_chain.grounds import Grounds
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_chain.validator_set import parse_validator_set
from icn_consensus.domain.block import build_vote
from icn_consensus.peers import frames, network, standing
from icn_consensus.peers.hello import Greeting, HelloRefused, Identity
from icn_consensus.usecases import inbox
from icn_consensus.usecases.crypto import ConsensusCrypto
from icn_crypto.suites import SigningKey, Suite
from icn_kit.errors import from_rpc_error
from icn_kit.server import MESSAGE_SIZE_BYTES_MAX

from .conftest import WAIT_SECONDS, Federation
from .counting_application import make_transaction

CONNECT = "/icn.consensus.v1.PeerService/Connect"


def dial(federation: Federation, seat: int) -> Any:
    address = federation.network.validators[seat].consensus
    return federation.channels.channel(address).stream_stream(CONNECT)(timeout=20)


def identity_of(federation: Federation, seat: int, key: SigningKey | None = None) -> Identity:
    driver = federation.validators[0].service
    assert driver is not None
    config = driver.driver._config
    if key is None:
        seeds = (federation.validators[seat].directory / "keys" / "consensus.json").read_text()
        key = SigningKey.from_seed(Suite.ED25519, bytes.fromhex(json.loads(seeds)["ed25519"]))
    crypto = ConsensusCrypto(key, config.genesis_hash)
    return Identity(config.genesis_hash, federation.validators[seat].public_key, crypto)


async def shake_hands(federation: Federation, call: Any, identity: Identity) -> None:
    greeting = Greeting(identity, federation.channels.certificate_hash)
    await call.write(frames.request_bytes(greeting.say(0)))
    greeting.hear(frames.parse_frame(await call.read()), must_answer=True)
    await call.write(frames.request_bytes(greeting.say(0)))


async def reason_of_end(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as ended:
        while await call.read() is not grpc.aio.EOF:
            pass
    return ended.value.code(), from_rpc_error(ended.value).reason


@pytest.mark.parametrize(
    ("first", "code", "reason"),
    [
        (b"", grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_FRAME"),
        (b"\xff" * 100, grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_FRAME"),
        (b"\x0a\x02\x1a\x00", grpc.StatusCode.PERMISSION_DENIED, "HELLO_REFUSED"),
        (b"x" * (frames.FRAME_BYTES_MAX + 1), grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_FRAME"),
    ],
    ids=["empty", "garbage", "a vote", "too large"],
)
async def test_a_stream_that_begins_with_anything_but_a_hello_is_closed(
    federation: Federation, first: bytes, code: grpc.StatusCode, reason: str
) -> None:
    call = dial(federation, 0)
    await call.write(first)
    assert await reason_of_end(call) == (code, reason)


async def test_a_stranger_without_a_seats_key_gets_no_further_than_hello(federation: Federation) -> None:
    call = dial(federation, 0)
    await shake_hands(federation, call, identity_of(federation, 1, SigningKey.generate(Suite.ED25519)))
    assert await reason_of_end(call) == (grpc.StatusCode.PERMISSION_DENIED, "HELLO_REFUSED")


async def test_a_stream_without_a_hello_is_closed_after_a_while(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "HELLO_SECONDS_MAX", 0.2)
    assert await reason_of_end(dial(federation, 0)) == (grpc.StatusCode.UNAVAILABLE, "HELLO_LATE")


async def test_a_second_stream_of_a_seat_replaces_the_first(federation: Federation) -> None:
    identity = identity_of(federation, 1)
    first, second = dial(federation, 0), dial(federation, 0)
    await shake_hands(federation, first, identity)
    await asyncio.sleep(0.2)
    await shake_hands(federation, second, identity)
    assert await reason_of_end(first) == (grpc.StatusCode.UNAVAILABLE, "STREAM_REPLACED")
    second.cancel()


async def test_a_faulty_seat_that_sends_nonsense_does_not_stop_the_others(federation: Federation) -> None:
    call = dial(federation, 0)
    await federation.validators[1].stop()
    await shake_hands(federation, call, identity_of(federation, 1))
    nonsense = [
        peer_pb2.PeerFrame(vote=b"\xff" * 50),
        peer_pb2.PeerFrame(proposal=b"\x0a\x00"),
        peer_pb2.PeerFrame(certificate=b"\x08\x63" * 100),
        peer_pb2.PeerFrame(
            transactions=peer_pb2.TransactionBatch(transactions=[b"", b"short", b"x" * 70_000])
        ),
        peer_pb2.PeerFrame(transactions=peer_pb2.TransactionBatch(transactions=[b"x"] * 1_000)),
        peer_pb2.PeerFrame(fetch_request=peer_pb2.FetchRequest(request=1)),
        peer_pb2.PeerFrame(fetch_request=peer_pb2.FetchRequest(request=2, block_hash=b"short")),
        peer_pb2.PeerFrame(fetch_request=peer_pb2.FetchRequest(request=3, final_from_height=2**64 - 1)),
        peer_pb2.PeerFrame(fetch_request=peer_pb2.FetchRequest(request=4, certificates_from_view=2**64 - 1)),
        peer_pb2.PeerFrame(fetch_response=peer_pb2.FetchResponse(request=9, blocks=[b"block"])),
    ]
    for frame in nonsense * 7:  # two of them are counted against the seat, which is cut off at 16
        await call.write(frames.request_bytes(frame))
    [outcome] = await federation.validators[0].submit([make_transaction(b"ana", 1)])
    assert outcome.receipt
    service = federation.validators[0].service
    assert service is not None
    assert (service.fault, federation.validators[0].stop_request.is_requested) == ("", False)
    call.cancel()


async def hello_is_answered_with(federation: Federation, seat: int) -> tuple[grpc.StatusCode, str]:
    """What becomes of a stream of this seat that is not let in."""
    call = dial(federation, 0)
    await call.write(frames.request_bytes(Greeting(identity_of(federation, seat)).say(0)))
    return await reason_of_end(call)


async def test_a_seat_that_sends_malformed_frames_is_kept_out_for_a_while_and_then_heard_again(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "BAR_SECONDS_FIRST", 0.5)
    await federation.validators[1].stop()
    for bar_seconds in (0.5, 1.0):
        call = dial(federation, 0)
        await shake_hands(federation, call, identity_of(federation, 1))
        await call.write(b"\xff" * 100)
        assert await reason_of_end(call) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_FRAME")
        assert await hello_is_answered_with(federation, 1) == (grpc.StatusCode.UNAVAILABLE, "PEER_BARRED")
        [outcome] = await federation.validators[0].submit([make_transaction(b"%f" % bar_seconds, 1)])
        assert outcome.receipt, "the others go on"
        await asyncio.sleep(bar_seconds)
    await federation.validators[1].start()
    await federation.validators[2].stop()  # from now on nothing is final without the seat that was barred
    [outcome] = await federation.validators[0].submit([make_transaction(b"ana", 1)])
    assert outcome.receipt


async def test_a_seat_that_sends_messages_no_honest_validator_sends_is_cut_off_at_the_limit(
    federation: Federation,
) -> None:
    await federation.validators[1].stop()
    liar = identity_of(federation, 1)
    call = dial(federation, 0)
    await shake_hands(federation, call, liar)
    dishonest = [
        frame
        for number in range(4)
        for frame in (
            peer_pb2.PeerFrame(vote=b"\xff" * (50 + number)),
            peer_pb2.PeerFrame(proposal=b"\x0a\x00" * (1 + number)),
            peer_pb2.PeerFrame(certificate=b"\xff" * (1 + number)),
            peer_pb2.PeerFrame(certificate=b"\x08\x03\x20" + bytes([0x7F - number])),
        )
    ]
    service = federation.validators[0].service
    assert service is not None
    for frame in dishonest[: standing.FAULTS_MAX - 1]:
        await call.write(frames.request_bytes(frame))
    await asyncio.sleep(0.3)
    assert service._network is not None
    assert service._network._standings[liar.public_key]._faults == standing.FAULTS_MAX - 1
    await call.write(frames.request_bytes(dishonest[standing.FAULTS_MAX - 1]))
    assert await reason_of_end(call) == (grpc.StatusCode.UNAVAILABLE, "PEER_BARRED")
    assert (service.fault, federation.validators[0].stop_request.is_requested) == ("", False)


@pytest.mark.parametrize("kind", ["one vote", "certificates of later epochs"])
async def test_a_seat_that_floods_with_what_counts_for_nothing_is_cut_off_and_slows_nobody_down(
    federation: Federation, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "USELESS_MAX", 2_048)  # what a small machine reads in a second or two
    await federation.validators[1].stop()
    liar = identity_of(federation, 1)
    call = dial(federation, 0)
    await shake_hands(federation, call, liar)
    sent = 0
    with pytest.raises(grpc.RpcError):  # who writes when a stream ends may see it broken, not why it ended
        while sent < 100_000:
            if kind == "one vote":
                message = [vote_frame(liar, 0, 1, b"a" * 32)] * frames.FRAMES_MAX
            else:
                message = [later_certificate(sent + number) for number in range(frames.FRAMES_MAX)]
            await call.write(frames.joined([frames.request_bytes(frame) for frame in message]))
            sent += frames.FRAMES_MAX
            if sent == 8 * frames.FRAMES_MAX:
                async with asyncio.timeout(WAIT_SECONDS):
                    [outcome] = await federation.validators[0].submit([make_transaction(b"ana", 1)])
                assert outcome.receipt
        await call.read()
    service = federation.validators[0].service
    assert service is not None
    assert service._network is not None
    assert service._network._standings[liar.public_key]._bars == 1


def later_certificate(epoch: int) -> peer_pb2.PeerFrame:
    """One that nobody can check yet."""
    certificate = build_certificate(
        VoteKind.NULLIFY,
        protocol_version=NEWEST_PROTOCOL,
        epoch=1_000 + epoch,
        view=1,
        height=0,
        block_hash=b"",
        signatures={0: bytes(64)},
    )
    return peer_pb2.PeerFrame(certificate=certificate.data)


async def test_who_only_says_that_it_is_a_seat_cannot_get_the_seat_barred(federation: Federation) -> None:
    stranger = identity_of(federation, 1, SigningKey.generate(Suite.ED25519))
    for _ in range(3):
        call = dial(federation, 0)
        await call.write(frames.request_bytes(Greeting(stranger).say(0)))
        await call.read()
        await call.write(b"\xff" * 100)
        assert await reason_of_end(call) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_FRAME")
        call = dial(federation, 0)
        await shake_hands(federation, call, stranger)
        assert await reason_of_end(call) == (grpc.StatusCode.PERMISSION_DENIED, "HELLO_REFUSED")
    call = dial(federation, 0)
    await shake_hands(federation, call, identity_of(federation, 1))
    # The seat's own validator, which dials again, is let in.
    assert await reason_of_end(call) == (grpc.StatusCode.UNAVAILABLE, "STREAM_REPLACED")


@pytest.mark.parametrize("size_bytes", [MESSAGE_SIZE_BYTES_MAX + 1, 64 * 1024 * 1024])
async def test_a_message_that_no_door_takes_is_refused_before_it_is_read(
    federation: Federation, size_bytes: int
) -> None:
    files = federation.client_tls
    credentials = grpc.ssl_channel_credentials(
        files.authority.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
    )
    address = federation.network.validators[0].consensus
    async with grpc.aio.secure_channel(
        address, credentials, [("grpc.max_send_message_length", -1)]
    ) as channel:
        call = channel.stream_stream(CONNECT)(timeout=20)
        await shake_hands(federation, call, identity_of(federation, 1))
        with pytest.raises(grpc.RpcError) as ended:
            await call.write(bytes(size_bytes))
            await call.read()
        assert ended.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_seat_that_votes_for_two_blocks_is_proven_to_whoever_asks(federation: Federation) -> None:
    await federation.validators[1].stop()
    liar = identity_of(federation, 1)
    call = dial(federation, 0)
    await shake_hands(federation, call, liar)
    told = federation.validators[0].stub()
    async with asyncio.timeout(WAIT_SECONDS):
        while not (listed := await told.ListEvidence(ListEvidenceRequest())).evidence:
            status = await federation.validators[0].status()
            for block_hash in (b"a" * 32, b"b" * 32):
                await call.write(
                    frames.request_bytes(vote_frame(liar, status.epoch, status.view, block_hash))
                )
            await asyncio.sleep(0.1)
    (seen,) = listed.evidence
    proof = parse(seen.proof)
    genesis = federation.network.genesis
    assert (proof.epoch, proof.seat, proof.view) == (seen.epoch, 1, seen.view) == (0, 1, seen.view)
    proof.check(Grounds(genesis, parse_validator_set(genesis.validator_set)))
    call.cancel()


def vote_frame(liar: Identity, epoch: int, view: int, block_hash: bytes) -> peer_pb2.PeerFrame:
    """A notarize of seat 1."""
    body = vote_body(NEWEST_PROTOCOL, epoch, view, 1, block_hash)
    vote = build_vote(
        VoteKind.NOTARIZE,
        protocol_version=NEWEST_PROTOCOL,
        epoch=epoch,
        view=view,
        height=1,
        block_hash=block_hash,
        seat=1,
        signature=liar.crypto.sign(VOTE_TAGS[VoteKind.NOTARIZE], body),
    )
    return peer_pb2.PeerFrame(vote=vote.data)


async def test_somebody_in_the_middle_who_passes_both_hellos_on_gets_no_stream(
    federation: Federation,
) -> None:
    """With a certificate of the zone, dialled by validator 1, and dialling validator 0."""
    await federation.validators[1].stop()
    call = dial(federation, 0)
    hers = hashlib.sha256(b"certificate of validator 1").digest()
    dialling = Greeting(identity_of(federation, 1), hers)
    await call.write(frames.request_bytes(dialling.say(0)))
    answer = frames.parse_frame(await call.read())
    with pytest.raises(HelloRefused, match="signature"):
        dialling.hear(answer, must_answer=True)
    deceived = Greeting(identity_of(federation, 1), hers)
    deceived._nonce = dialling._nonce
    deceived.say(0)
    deceived.peer, deceived._peer_nonce = answer.hello.public_key, answer.hello.nonce
    await call.write(frames.request_bytes(deceived.say(0)))
    assert await reason_of_end(call) == (grpc.StatusCode.PERMISSION_DENIED, "HELLO_REFUSED")
