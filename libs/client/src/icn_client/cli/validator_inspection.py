"""`icn validators inspect`: what goes on inside one validator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from icn_client.cli.common import DataOption, JsonOption, platform_directory, with_connection
from icn_client.cli.output import UsageError, print_json, print_text, table

if TYPE_CHECKING:
    from icn.consensus.v1.service_pb2 import GetNodeResponse, GetStatusResponse, PeerState

    from icn_client.connection import Connection

_EXAMPLES = """\b
Examples:
  icn validators inspect 2
  icn validators inspect 2 --json
"""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("inspect", epilog=_EXAMPLES)(inspect)


def inspect(
    validator: Annotated[
        int, typer.Argument(metavar="N", min=0, help="Which validator of the platform, from 0.")
    ],
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what goes on inside a validator: its view, pool, record log and peers."""

    async def read(connection: Connection) -> tuple[GetStatusResponse, GetNodeResponse]:
        addresses = connection.network.validators
        if validator >= len(addresses):
            raise UsageError(f"N: {validator}, the platform has {len(addresses)}")
        address = addresses[validator]
        return await connection.status(address), await connection.node(address)

    status, node = with_connection(platform_directory(data), read)
    if as_json:
        print_json(_document(status, node))
        return
    seat = f"seat {status.seat}" if status.is_seated else "no seat"
    timer = "runs out after" if node.is_view_timed else "would run out after"
    pool, log = node.pool, node.record_log
    print_text(f"epoch       {status.epoch}, {seat}{', catching up' if status.is_catching_up else ''}")
    print_text(f"view        {status.view}, seat {node.leader} leads, {timer} {node.view_timeout_ms} ms")
    print_text(f"height      final {status.final_height}, executed {status.executed_height}")
    print_text(
        f"pool        {pool.transactions} transactions of {pool.size_bytes} bytes, "
        f"{pool.deferred_transactions} deferred, the oldest for {pool.oldest_age_ms} ms; "
        f"clients wait for {pool.waiting_transactions}"
    )
    print_text(f"records     {log.sequence}, durable up to {log.synced_sequence}, {log.size_bytes} bytes")
    table(
        ("seat", "state", "turns kept", "lost", "final", "sent", "received", "dropped", "key"),
        [_cells(peer) for peer in node.peers],
    )


def _state(peer: PeerState) -> str:
    if peer.is_barred:
        return "barred"
    if not peer.HasField("streams"):
        return "away"
    return "silent" if peer.is_silent else "ok"


def _cells(peer: PeerState) -> tuple[str, ...]:
    seat = str(peer.seat) if peer.HasField("seat") else "-"
    streams = peer.streams
    figures = (streams.final_height, streams.sent_bytes, streams.received_bytes, streams.dropped_frames)
    shown = tuple(map(str, figures)) if peer.HasField("streams") else ("-",) * 4
    turns = (str(peer.kept_turns), str(peer.lost_turns))
    return (seat, _state(peer), *turns, *shown, peer.public_key.hex())


def _document(status: GetStatusResponse, node: GetNodeResponse) -> dict[str, Any]:
    return {
        "seat": status.seat if status.is_seated else None,
        "epoch": str(status.epoch),
        "view": str(status.view),
        "leader": node.leader,
        "view_timeout_ms": node.view_timeout_ms,
        "is_view_timed": node.is_view_timed,
        "final_height": str(status.final_height),
        "executed_height": str(status.executed_height),
        "is_catching_up": status.is_catching_up,
        "execution_backlog": str(node.execution_backlog),
        "pool": {
            "transactions": node.pool.transactions,
            "size_bytes": str(node.pool.size_bytes),
            "deferred_transactions": node.pool.deferred_transactions,
            "oldest_age_ms": str(node.pool.oldest_age_ms),
            "waiting_transactions": node.pool.waiting_transactions,
        },
        "record_log": {
            "size_bytes": str(node.record_log.size_bytes),
            "sequence": str(node.record_log.sequence),
            "synced_sequence": str(node.record_log.synced_sequence),
        },
        "peers": [
            {
                "public_key": peer.public_key.hex(),
                "seat": peer.seat if peer.HasField("seat") else None,
                "state": _state(peer),
                "kept_turns": str(peer.kept_turns),
                "lost_turns": str(peer.lost_turns),
                "final_height": str(peer.streams.final_height),
                "sent_bytes": str(peer.streams.sent_bytes),
                "received_bytes": str(peer.streams.received_bytes),
                "dropped_frames": str(peer.streams.dropped_frames),
            }
            for peer in node.peers
        ],
    }
