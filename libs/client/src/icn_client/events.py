"""Reads a whole event stream of the platform on this machine, to compare it before and after a loss."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from icn.kit.v1.envelope_pb2 import EventEnvelope
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from icn_client.connection import NetworkFile

STREAM: Final = "ICN_LEDGER"
SUBJECTS: Final = "icn.ledger.>"
USER: Final = "icn"
EVENTS_MAX: Final = 1_000_000
"""Of one stream in memory; the story has some dozens."""
BATCH: Final = 500
WAIT_SECONDS: Final = 2.0


async def read_events(directory: Path, network: NetworkFile) -> dict[str, bytes]:
    """All events of the ledger's stream by id, each as its envelope's content without the trace.

    Empty where there is no stream. ``directory`` is the platform's, whose owner may read the password.
    """
    password = (directory / "shared" / "nats" / "password").read_text("ascii").strip()
    client = Client()
    await client.connect(
        f"nats://{network.document['nats']['address']}",
        user=USER,
        password=password,
        name="icn events",
        max_reconnect_attempts=0,
        allow_reconnect=False,
    )
    try:
        return await _read(client)
    finally:
        await client.close()


async def _read(client: Client) -> dict[str, bytes]:
    streams = client.jetstream(timeout=WAIT_SECONDS)
    found: dict[str, bytes] = {}
    try:
        left = (await streams.stream_info(STREAM)).state.messages
        consumer = await streams.pull_subscribe(
            SUBJECTS,
            stream=STREAM,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE),
        )
        while left > 0 and len(found) < EVENTS_MAX:
            messages = await consumer.fetch(min(BATCH, left), timeout=WAIT_SECONDS)
            left -= len(messages)
            for message in messages:
                envelope = EventEnvelope.FromString(message.data)
                envelope.traceparent = ""
                found[envelope.id.hex()] = envelope.SerializeToString(deterministic=True)
    except (NotFoundError, NatsError):
        return found
    return found
