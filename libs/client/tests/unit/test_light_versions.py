"""A proof across the edge at which another protocol version came in force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from icn.consensus.v1.block_pb2 import BlockHeader
from icn_chain.epochs import Handover, ProofInvalid
from icn_chain.protocols import NEWEST_PROTOCOL
from icn_chain.validator_set import parse_validator_set
from icn_client.light.proof_file import ProofFile
from icn_client.light.verify import verify_proof

from libs.client.tests.conftest import Chain


def upgraded(
    zone: Any, proof: ProofFile, version: int = 2, headers: tuple[int, int] | None = None, edge: int = 1
) -> ProofFile:
    """The proof of another account's leaf in the second epoch, whose set decides by ``version``.

    ``headers``: versions that its two headers name, by default that one; ``edge``: that the edge names.
    """
    following = parse_validator_set(zone.validator_set).under(version)
    chain = Chain(zone)
    first = chain.add_edge(following.hash, protocol_version=edge)
    step = Handover(first, (), zone.certificate(first), following.data)
    chain.next_epoch(following.hash)
    named, last = headers or (version, version)
    state_root = BlockHeader.FromString(proof.header).state_root
    header = chain.add(state_root=state_root, protocol_version=named)
    descendant = chain.add(protocol_version=last)
    return replace(
        proof,
        header=header,
        descendant_headers=(descendant,),
        finalization=zone.certificate(descendant),
        epochs=(step,),
    )


def refusal(proof: ProofFile, zone: Any) -> tuple[str, str]:
    with pytest.raises(ProofInvalid) as refused:
        verify_proof(proof, zone.genesis)
    return refused.value.reason, str(refused.value)


def test_the_version_is_followed_from_edge_to_edge(handed_over: ProofFile, zone: Any) -> None:
    shown = verify_proof(upgraded(zone, handed_over), zone.genesis)
    assert [one.validators.protocol_version for one in shown.sets] == [1, 2]
    assert shown.newest is not None and shown.newest.protocol_version == 2


def test_a_version_that_is_not_known_asks_for_a_newer_release(handed_over: ProofFile, zone: Any) -> None:
    """Not by this release's rules can be judged what comes behind the edge."""
    unknown = NEWEST_PROTOCOL + 1
    fields = BlockHeader.FromString(handed_over.header)
    fields.protocol_version = unknown
    proof = replace(handed_over, header=fields.SerializeToString(deterministic=True))
    assert refusal(proof, zone) == (
        "PROTOCOL_VERSION_UNKNOWN",
        f"header {fields.height} is of protocol version {unknown}; this release knows 1 and 2: upgrade icn",
    )


def test_versions_are_not_skipped(handed_over: ProofFile, zone: Any) -> None:
    assert refusal(upgraded(zone, handed_over, 3, headers=(2, 2)), zone) == (
        "EPOCH_STEP_INVALID",
        "protocol version 3 follows 1, only the next one may",
    )


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((1, 2), "HEADER_CHAIN_INVALID"),
        ((2, 1), "HEADER_CHAIN_INVALID"),
        ((1, 1), "CERTIFICATE_INVALID"),
    ],
)
def test_headers_keep_the_version_of_their_epoch(
    handed_over: ProofFile, zone: Any, headers: tuple[int, int], reason: str
) -> None:
    assert refusal(upgraded(zone, handed_over, headers=headers), zone)[0] == reason


def test_the_edge_header_is_of_the_version_before(handed_over: ProofFile, zone: Any) -> None:
    assert refusal(upgraded(zone, handed_over, edge=2), zone) == (
        "EPOCH_STEP_INVALID",
        "the edge header is of protocol version 2, its validators decide by 1",
    )


def test_a_certificate_of_the_version_before_is_none_behind_the_edge(
    handed_over: ProofFile, zone: Any
) -> None:
    proof = upgraded(zone, handed_over)
    old = zone.certificate(proof.descendant_headers[-1], protocol_version=1)
    assert refusal(replace(proof, finalization=old), zone) == (
        "CERTIFICATE_INVALID",
        "the certificate's protocol_version is not the header's",
    )
