"""How a validator stands that joins a zone: whom it reaches, and whether it takes part yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from icn.consensus.v1.service_pb2 import GetStatusResponse
from icn_kit.errors import DomainError

from icn_client.connection import Connection, NetworkFile
from icn_client.peer_probe import PeerAnswer, Probe, probe_all

WATCH_SECONDS: Final = 2.0


class CannotJoin(Exception):
    """The others do not take this validator as it is; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What has changed when it is told."""

    state: str
    """``alone``, ``catching-up``, ``following`` or ``seated``."""
    seat: int | None
    epoch: int
    height: int
    """Newest final block that it knows."""

    @property
    def text(self) -> str:
        """For people."""
        return {
            "alone": "no other validator is connected; trying again",
            "catching-up": f"catches up, from height {self.height} on",
            "following": f"follows at height {self.height}; no seat of epoch {self.epoch} has its key yet",
            "seated": f"takes part as seat {self.seat} of epoch {self.epoch}, at height {self.height}",
        }[self.state]

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"state": self.state, "seat": self.seat, "epoch": self.epoch, "height": str(self.height)}


def standing_of(status: GetStatusResponse) -> Standing:
    """As the validator itself says."""
    if status.is_catching_up:
        state = "catching-up"
    elif not any(peer.is_connected for peer in status.peers):
        state = "alone"
    else:
        state = "seated" if status.is_seated else "following"
    seat = status.seat if status.is_seated else None
    return Standing(state, seat, status.epoch, status.final_height)


async def watch_standing(directory: Path, tell: Callable[[Standing], None]) -> None:
    """Tell how the validator that runs in a directory stands, each time that it changes, until cancelled."""
    network = NetworkFile.load(directory)
    before = None
    async with Connection(network) as connection:
        while True:
            try:
                standing = standing_of(await connection.status(network.validators[0]))
            except DomainError:
                await asyncio.sleep(WATCH_SECONDS)
                continue
            now = (standing.state, standing.seat)
            if now != before:
                tell(standing)
            before = now
            await asyncio.sleep(WATCH_SECONDS)


async def check_others(directory: Path) -> list[str]:
    """What is wrong with the other validators as they are reached from here, a sentence each; those that are
    down may come up later.

    Raises:
        CannotJoin: those that are reached do not accept this validator, or are of another zone.
    """
    network = NetworkFile.load(directory)
    others = network.validators[1:]
    assert network.tls is not None, "a validator that joins has a certificate"
    probes = await asyncio.to_thread(probe_all, [other.consensus for other in others], network.tls)
    by_answer = {answer: [probe for probe in probes if probe.answer is answer] for answer in PeerAnswer}
    problems = []
    if unreached := by_answer[PeerAnswer.UNREACHED]:
        problems.append(
            f"{len(unreached)} of {len(probes)} validators are not reached ({_listed(unreached)}): let this "
            "machine open connections to these ports (firewall), and ask their operators whether they run"
        )
    if untrusted := by_answer[PeerAnswer.UNTRUSTED]:
        problems.append(
            f"{_listed(untrusted)}: the certificate there is of none of the authorities in the admission, or "
            "for another host; ask for a new admission with every authority of the zone"
        )
    if refused := by_answer[PeerAnswer.REFUSED]:
        problems.append(
            f"{_listed(refused)}: this validator's certificate is not accepted there; have request.pem "
            "signed by an authority that all validators trust, and use the admission with it"
        )
    accepted = {probe.address for probe in by_answer[PeerAnswer.ACCEPTED]}
    if not accepted and len(unreached) < len(probes):
        raise CannotJoin("; ".join(problems))
    async with Connection(network) as connection:
        for other in others:
            if other.consensus in accepted:
                try:
                    status = await connection.status(other)
                except DomainError as error:
                    problems.append(f"{other.consensus} does not answer: {error.message}")
                    continue
                if status.genesis_hash != network.genesis.hash:
                    raise CannotJoin(
                        f"{other.consensus} is of the zone with genesis {status.genesis_hash.hex()}, and "
                        f"{network.genesis_path} has {network.genesis.hash.hex()}: ask for the genesis file "
                        "of that zone, and begin with it in a new folder"
                    )
    return problems


def _listed(probes: Sequence[Probe]) -> str:
    return ", ".join(
        f"{probe.address}: {probe.problem}" if probe.problem else probe.address for probe in probes
    )
