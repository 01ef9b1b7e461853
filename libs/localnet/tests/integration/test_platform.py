from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from icn_localnet import processes
from icn_localnet.hosted import is_healthy
from icn_localnet.network import SERVICES, Network, create_network
from icn_localnet.platform import RunningPlatform, launch
from icn_localnet.pytest_plugin import FounderKeys, PlatformUnderTest

PARTS = {
    "nats",
    "gateway",
    "postgres-shared",
    *SERVICES,
    *(f"{kind}-{seat}" for kind in ("postgres", "validator", "vm") for seat in range(4)),
}


@contextlib.contextmanager
def untouched(platform: RunningPlatform, *names: str) -> Iterator[None]:
    """All parts but ``names`` are the same processes afterwards."""
    before = platform.processes()
    yield
    after = platform.processes()
    assert {name: after[name] for name in PARTS - set(names)} == {
        name: before[name] for name in PARTS - set(names)
    }


def test_every_part_is_a_process_of_its_own_and_healthy(platform: PlatformUnderTest) -> None:
    table = platform.processes()
    assert set(table) == PARTS
    assert {part["state"] for part in table.values()} == {"running"}
    assert len({part["pid"] for part in table.values()}) == len(PARTS)
    network = platform.network
    for address in (
        network.gateway_metrics,
        *(validator.metrics for validator in network.validators),
        *(validator.vm_metrics for validator in network.validators),
        *(service.metrics for service in network.services.values()),
    ):
        assert is_healthy(address)
    with urllib.request.urlopen(platform.gateway_url, timeout=10) as answer:
        assert answer.status == 200


def test_what_is_killed_comes_back_and_the_others_never_notice(platform: PlatformUnderTest) -> None:
    for name in ("validator-1", "postgres-2", "nats", "gateway", "vm-1", "marketplace", "postgres-shared"):
        with untouched(platform, name):
            before = platform.pid(name)
            platform.kill_process(name)
            assert platform.pid(name) not in (None, before)


def test_a_validator_that_is_kept_down_stays_down_until_it_is_started(platform: PlatformUnderTest) -> None:
    with untouched(platform, "validator-3", "postgres-3"):
        platform.kill(3)
        try:
            time.sleep(1)
            assert platform.pid("validator-3") is None
            assert platform.pid("postgres-3") is None
        finally:
            platform.start(3)
        assert is_healthy(platform.network.validators[3].metrics)


def test_every_service_answers_a_member_at_the_address_that_the_network_names(
    platform: PlatformUnderTest,
) -> None:
    network = platform.network
    tls = network.directory / "shared" / "client" / "tls"
    credentials = grpc.ssl_channel_credentials(
        (tls / "authority.pem").read_bytes(),
        (tls / "key.pem").read_bytes(),
        (tls / "certificate.pem").read_bytes(),
    )
    for service in network.services.values():
        with grpc.secure_channel(service.address, credentials) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_validators_have_servers_and_passwords_of_their_own(platform: PlatformUnderTest) -> None:
    sockets = {
        path.resolve()
        for seat in range(4)
        for path in (platform.network.validator_directory(seat) / "postgres" / "run").glob(".s.PGSQL.*[0-9]")
    }
    assert len(sockets) == 4
    passwords = {
        (platform.network.validator_directory(seat) / "postgres" / "passwords.json").read_text()
        for seat in range(4)
    }
    assert len(passwords) == 4


def test_no_process_shows_a_secret_on_its_command_line(platform: PlatformUnderTest) -> None:
    network = platform.network
    secrets = [(network.shared_directory / "nats" / "password").read_text()]
    shared = (network.shared_directory / "postgres" / "passwords.json").read_text()
    secrets += [part for part in shared.split('"') if len(part) >= 24]
    for seat in range(4):
        for name in ("postgres/passwords.json", "keys/consensus.json"):
            text = (network.validator_directory(seat) / name).read_text()
            secrets += [part for part in text.split('"') if len(part) >= 24]
    assert len(secrets) > 12
    for part in platform.processes().values():
        command = Path(f"/proc/{part['pid']}/cmdline").read_text()
        assert not any(secret in command for secret in secrets)


@pytest.mark.timeout(600)
def test_a_platform_that_is_killed_leaves_nothing_and_goes_on_where_it_stopped(
    localnet_directory: Path,
) -> None:
    founders = [FounderKeys.generate(name).founder for name in "ABCD"]
    network = create_network(localnet_directory / "second", founders)
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from icn_localnet.network import Network\nfrom icn_localnet.platform import launch\n"
        "launch(Network.load(Path(sys.argv[1])))\nprint('up', flush=True)\ntime.sleep(600)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(network.directory)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    running = RunningPlatform(network.directory)
    before = running.network
    assert before.ready_pid is not None
    refused = subprocess.run(
        [sys.executable, "-m", "icn_localnet.platform", str(network.directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [f"the network in {network.directory} is running already"]

    pids = [part["pid"] for part in before.processes.values()]
    os.kill(before.ready_pid, signal.SIGKILL)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert processes.wait_until_gone(pids, 20)

    again = launch(Network.load(network.directory))
    try:
        after = again.network
        assert after.genesis == before.genesis
        assert after.validators == before.validators
        assert after.gateway == before.gateway
    finally:
        again.stop()
    stopped = Network.load(network.directory)
    assert stopped.processes == {}
    assert stopped.ready_pid is None
