"""What `icn status` knows: where every validator stands, and whether they agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from icn.consensus.v1.service_pb2 import GetStatusResponse
from icn_chain.quorum import quorum_of

from icn_client.connection import NetworkFile, ValidatorAddress, connect

_PROFILES = {
    "hosted": "one host can hold a quorum of the consensus keys",
    "independent": "no host holds a quorum of the consensus keys",
}


@dataclass(frozen=True, slots=True)
class ValidatorStatus:
    """One validator's answer, or its silence."""

    address: ValidatorAddress
    answer: GetStatusResponse | None

    @property
    def state(self) -> str:
        """In a word."""
        if self.answer is None:
            return "away"
        if self.answer.halted:
            return "halted"
        return "catching up" if self.answer.is_catching_up else "ok"

    def cells(self) -> tuple[str, ...]:
        """As a row of the table."""
        if self.answer is None:
            return (str(self.address.seat), self.address.name, self.state, *("-",) * 6)
        connected = sum(peer.is_connected for peer in self.answer.peers)
        return (
            str(self.address.seat),
            self.address.name,
            self.state,
            str(self.answer.final_height),
            str(self.answer.executed_height),
            str(self.answer.view),
            str(self.answer.pool_transactions),
            f"{connected} of {len(self.answer.peers)}",
            self.answer.state_root.hex()[:16],
        )

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        known = {"seat": self.address.seat, "name": self.address.name, "state": self.state}
        if self.answer is None:
            return known
        return {
            **known,
            "epoch": self.answer.epoch,
            "view": self.answer.view,
            "final_height": self.answer.final_height,
            "executed_height": self.answer.executed_height,
            "protocol_version": self.answer.protocol_version,
            "protocol_newest": self.answer.protocol_newest,
            "halted": self.answer.halted,
            "state_root": self.answer.state_root.hex(),
            "block_time_ms": str(self.answer.block_time_ms),
            "pool_transactions": self.answer.pool_transactions,
            "peers_connected": sum(peer.is_connected for peer in self.answer.peers),
        }


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """All validators' answers."""

    zone: str
    genesis_hash: str
    profile: str
    gateway_url: str
    validators: tuple[ValidatorStatus, ...]

    @property
    def profile_means(self) -> str:
        """The trust profile in words."""
        return _PROFILES[self.profile]

    @property
    def answering(self) -> int:
        """How many validators answered."""
        return sum(validator.answer is not None for validator in self.validators)

    @property
    def quorum(self) -> int:
        """Of the seats in force, as those say that stand in the newest epoch; of all where nobody answers."""
        answers = [validator.answer for validator in self.validators if validator.answer is not None]
        if not answers:
            return int(quorum_of(len(self.validators)))
        newest = max(answer.epoch for answer in answers)
        seats = max(len(answer.peers) + answer.is_seated for answer in answers if answer.epoch == newest)
        return int(quorum_of(seats))

    @property
    def has_quorum(self) -> bool:
        """Whether a quorum of the seats in force answered."""
        seated = [one for one in self.validators if one.answer is not None and one.answer.is_seated]
        return len(seated) >= self.quorum

    @property
    def has_fork(self) -> bool:
        """Whether two validators have different roots after the same height."""
        roots: dict[int, bytes] = {}
        return any(
            roots.setdefault(validator.answer.executed_height, validator.answer.state_root)
            != validator.answer.state_root
            for validator in self.validators
            if validator.answer is not None
        )

    @property
    def agreement(self) -> str:
        """In words, with the highest executed height."""
        if self.has_fork:
            return "DIFFERENT state roots at one height"
        heights = [validator.answer.executed_height for validator in self.validators if validator.answer]
        if not heights:
            return "nobody answers"
        return f"{self.answering} of {len(self.validators)} answer, executed up to height {max(heights)}"

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "zone": self.zone,
            "genesis": self.genesis_hash,
            "profile": self.profile,
            "url": self.gateway_url,
            "has_quorum": self.has_quorum,
            "has_fork": self.has_fork,
            "validators": [validator.to_dict() for validator in self.validators],
        }


async def read_status(network: NetworkFile) -> NetworkStatus:
    """Ask every validator at once; those that do not answer within seconds count as away."""
    async with connect(network) as connection:
        answers = await connection.statuses()
    return NetworkStatus(
        zone=network.genesis.zone,
        genesis_hash=network.genesis.hash.hex(),
        profile=str(network.genesis.trust_profile),
        gateway_url=network.gateway_url,
        validators=tuple(map(ValidatorStatus, network.validators, answers)),
    )
