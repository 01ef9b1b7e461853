from __future__ import annotations

import nats
import nats.errors
import pytest
from icn_localnet.nats import NatsServer


async def test_a_message_that_was_acknowledged_is_there_after_a_kill(nats_server: NatsServer) -> None:
    connection = await nats.connect(nats_server.url)
    stream = connection.jetstream()
    await stream.add_stream(name="kill", subjects=["kill.>"])
    await stream.publish("kill.one", b"kept")
    await connection.close()
    port = nats_server.port
    nats_server.kill()
    nats_server.start()
    assert nats_server.port == port
    connection = await nats.connect(nats_server.url)
    message = await connection.jetstream().get_msg("kill", seq=1)
    assert message.data == b"kept"
    await connection.close()


async def test_a_stranger_without_the_password_is_turned_away(nats_server: NatsServer) -> None:
    async def ignore(_error: Exception) -> None:
        return

    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await nats.connect(
            nats_server.address, allow_reconnect=False, max_reconnect_attempts=0, error_cb=ignore
        )


def test_password_and_configuration_are_readable_by_their_owner_only(nats_server: NatsServer) -> None:
    for name in ("password", "nats.conf"):
        assert (nats_server.directory / name).stat().st_mode & 0o777 == 0o600
    assert "sync_interval: always" in (nats_server.directory / "nats.conf").read_text()


async def test_a_wiped_store_holds_no_stream(nats_server: NatsServer) -> None:
    connection = await nats.connect(nats_server.url)
    await connection.jetstream().add_stream(name="wiped", subjects=["wiped.>"])
    await connection.close()
    nats_server.stop()
    nats_server.wipe()
    nats_server.start()
    connection = await nats.connect(nats_server.url)
    assert await connection.jetstream().streams_info() == []
    await connection.close()
