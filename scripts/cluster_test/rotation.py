"""Certificates, passwords and keys are replaced as docs/operating says, while members trade."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from unittest.mock import patch

import httpx
from cryptography import x509
from icn_client.cluster_files import SHARED_ROLES, VALIDATOR_ROLES
from icn_client.platforms import open_founders
from icn_localnet import certificates
from icn_localnet.certificates import Authority, hosts_of

from e2e.pages import steps_of
from scripts.cluster_test.load import Load, count_missing, steady_load
from scripts.cluster_test.pages import run_commands
from scripts.cluster_test.release import RELEASE, SEATS, Cluster, Failed, say, wait_for
from scripts.cluster_test.validators import EDGE_SECONDS_MAX, block_without_seat_0, is_named

CERTIFICATES_PAGE, PASSWORDS_PAGE, KEYS_PAGE = (
    "rotate-certificates.md",
    "rotate-passwords.md",
    "rotate-keys.md",
)
ASKED_EVERY_SECONDS = 0.5
PATHS = ("/market", "/people", "/scores", "/proposals", "/accounts")
"""Pages of what marketplace, identity, reputation, governance and validators answer to the gateway."""
TRIES = 3
"""Of a read: the first and two more, as a client's."""
SPREAD_SECONDS_MAX = 150.0
"""Until Kubernetes has brought a Secret into every pod that mounts it."""
CHANGED_SEAT = 3
PAGE_BLOCK_SECONDS_MAX = 1500.0
"""Every pod is started again one after the other."""


# --- calls that go on meanwhile


@dataclass
class Reads:
    """Answers of pages, each behind a call of another service."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def steady_calls(cluster: Cluster) -> Iterator[tuple[Load, Reads]]:
    """Transfers, and pages of every service, as long as the block lasts."""
    reads, stop = Reads(), Event()
    url = cluster.gateway_url

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not stop.wait(ASKED_EVERY_SECONDS):
                for path in PATHS:
                    _read(client, path, reads)

    thread = Thread(target=ask)
    with steady_load(cluster) as load:
        thread.start()
        try:
            yield load, reads
        finally:
            stop.set()
            thread.join()


def _read(client: httpx.Client, path: str, reads: Reads) -> None:
    said = ""
    for _ in range(TRIES):
        try:
            answer = client.get(path)
        except httpx.HTTPError as error:
            said = repr(error)
            continue
        if answer.status_code == 200:
            reads.answered += 1
            return
        said = f"{answer.status_code} {answer.text[:200]}"
    reads.failures.append(f"{path}: {said}")


def _note_calls(cluster: Cluster, what: str, load: Load, reads: Reads) -> None:
    lost = asyncio.run(count_missing(cluster, load.transactions))
    failures = [*load.failures, *reads.failures]
    if failures:
        say(f"{what}: {failures[:5]}")
    cluster.note(
        f"{what}: calls that failed; acknowledged and lost",
        "0; 0",
        f"{len(failures)} of {len(load.transactions)} transfers and {reads.answered} pages; {lost}, "
        f"longest gap {load.longest_gap_seconds:.1f} s",
        not failures and not lost,
    )


# --- pages run as written


def run_block(cluster: Cluster, page: str, block: str, **written: str) -> None:
    """Run commands of a page as they are written, with ``written`` in place of the words in capitals.

    Raises:
        Failed: one of them does not end with 0.
    """
    for word, value in {"-n icn": f"-n {cluster.namespace}", **written}.items():
        block = block.replace(word, value)
    run_commands(cluster, page, block, PAGE_BLOCK_SECONDS_MAX)


# --- certificates


def rotate_certificates(cluster: Cluster) -> None:
    """All are renewed, then their authority is replaced, and nobody notices."""
    renew, new_authority = steps_of(f"operating/{CERTIFICATES_PAGE}")
    starts = cluster.starts()
    with steady_calls(cluster) as (load, reads):
        run_block(cluster, CERTIFICATES_PAGE, renew)
        _await_shown(cluster)
    _note_calls(cluster, "all certificates renewed", load, reads)
    before = _secret(cluster, "gateway-tls")["ca.crt"]
    with steady_calls(cluster) as (load, reads):
        run_block(cluster, CERTIFICATES_PAGE, new_authority)
        _await_shown(cluster)
    _note_calls(cluster, "the authority of all certificates replaced", load, reads)
    after = _secret(cluster, "gateway-tls")["ca.crt"]
    is_alone = after.count(b"BEGIN") == 1 and after not in before
    same = cluster.starts() == starts
    cluster.note(
        "the same: trusted afterwards; containers restarted",
        "the new authority alone; 0",
        f"{'the new authority alone' if is_alone else after.decode()}; {'0' if same else cluster.starts()}",
        is_alone and same,
    )


def _await_shown(cluster: Cluster) -> None:
    """Until every server shows its new certificate to a new connection."""
    stale: list[str] = []

    def is_so() -> bool:
        stale[:] = _stale(cluster)
        return not stale

    try:
        wait_for(is_so, "every server to show its new certificate", SPREAD_SECONDS_MAX)
    except Failed as failed:
        raise Failed(f"{failed}: not {', '.join(stale)}") from None


def _stale(cluster: Cluster) -> list[str]:
    """Parts that do not show the certificate of their Secret to a new connection."""
    servers: dict[str, tuple[int, ...]] = {f"validator-{seat}": (7001, 7002) for seat in SEATS}
    servers |= {name: (7100,) for name in SHARED_ROLES if name != "gateway"}
    wanted = {
        f"{RELEASE}-{part}:{port}": _secret(cluster, f"{part}-tls")["tls.crt"]
        for part, ports in (*servers.items(), ("nats", (4222,)), ("postgres", (5432,)))
        for port in ports
    }
    asked = [address for address in wanted if not address.endswith((":4222", ":5432"))]
    text = cluster.kubectl(
        "exec", "deploy/icn-gateway", "-c", "gateway", "--",
        "/opt/icn/venv/bin/python", "-c", SHOWN_PROBE, *asked,
    )  # fmt: skip
    shown = json.loads(text.splitlines()[-1])
    return [address for address, pem in wanted.items() if shown.get(address) != _ends_at(pem)]


def _ends_at(certificate: bytes) -> float:
    return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()


SHOWN_PROBE = """
import asyncio, json, os, socket, ssl, sys
from pathlib import Path
from cryptography import x509
from icn_kit.server_certificates import SERVER_CERTIFICATE_EXPIRY, ServerCertificates
from icn_kit.tls import TlsFiles
told = {name.removeprefix("ICN_GATEWAY_"): value for name, value in os.environ.items()}
files = TlsFiles(*(Path(told[name]) for name in ("TLS_CERTIFICATE", "TLS_KEY", "TLS_AUTHORITY")))
context = ssl.create_default_context(cafile=files.authority)
context.load_cert_chain(files.certificate, files.key)
context.set_alpn_protocols(["h2"])
shown = {}
for address in sys.argv[1:]:
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            with context.wrap_socket(connection, server_hostname=host) as secured:
                certificate = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True))
                shown[address] = certificate.not_valid_after_utc.timestamp()
    except OSError as error:
        shown[address] = str(error)
asyncio.run(ServerCertificates(files, told["NATS_URL"], told["DATABASE_URL"]).look())
(family,) = SERVER_CERTIFICATE_EXPIRY.collect()
ends = {sample.labels["server"]: sample.value for sample in family.samples}
release = sys.argv[1].partition("-")[0]
for server, port in (("nats", 4222), ("postgres", 5432)):
    shown[f"{release}-{server}:{port}"] = ends.get(server)
print(json.dumps(shown))
"""


def _metric(address: str, name: str) -> float:
    """NaN while nobody answers."""
    try:
        text = httpx.get(address, timeout=5).text
    except httpx.HTTPError:
        return float("nan")
    return next((float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)


def meet_ended_certificate(cluster: Cluster) -> None:
    """One that has ended is not taken by who runs, refused by who starts, and replaced without a loss."""
    pods = [pod["metadata"]["name"] for pod in cluster.pods() if "gateway" in pod["metadata"]["name"]]
    authority = Authority(cluster.federation / "authority")
    with patch.object(certificates, "LEAF_DAYS", 0):
        names = hosts_of(_secret(cluster, "gateway-tls")["tls.crt"])
        ended = authority.issue("gateway", cluster.work / "ended", names, renew_days=1)
    values = {"tls.crt": ended.certificate, "tls.key": ended.key}
    encoded = {name: base64.b64encode(path.read_bytes()).decode("ascii") for name, path in values.items()}
    with steady_calls(cluster) as (load, reads):
        cluster.kubectl(
            "patch", "secret", f"{RELEASE}-gateway-tls", "--type=merge", "-p", json.dumps({"data": encoded})
        )
        keeping = "new certificate files cannot be used, keeping the old ones"
        wait_for(
            lambda: all(keeping in cluster.logs(pod, "gateway") for pod in pods),
            "the gateways to keep their certificate",
            SPREAD_SECONDS_MAX,
        )
        cluster.kubectl("delete", "pod", pods[0])
        wait_for(
            lambda: bool(_refusal_of_starting(cluster, pods)), "a new gateway to refuse", SPREAD_SECONDS_MAX
        )
        said = _refusal_of_starting(cluster, pods)
        run_block(cluster, CERTIFICATES_PAGE, steps_of(f"operating/{CERTIFICATES_PAGE}")[0])
        cluster.kubectl("rollout", "status", f"deployment/{RELEASE}-gateway", "--timeout=400s")
    cluster.note(
        "a certificate that has ended: who starts with it",
        "refuses, and says what to do",
        said[:200],
        "ended at" in said and "renew it" in said,
    )
    _note_calls(cluster, "the same: who runs keeps the old one", load, reads)


def _refusal_of_starting(cluster: Cluster, before: list[str]) -> str:
    """Why a gateway that came after those does not start; empty while it has not said."""
    for pod in cluster.pods():
        name = pod["metadata"]["name"]
        if "gateway" in name and name not in before:
            log = cluster.logs(name, "gateway") or cluster.kubectl(
                "logs", name, "-c", "gateway", "--previous", may_fail=True
            )
            if "CertificateInvalid" in log:
                return log[log.rindex("CertificateInvalid") :]
    return ""


# --- passwords


CONNECT_PROBE = """
import sys, psycopg
try:
    psycopg.connect(sys.stdin.read().strip(), connect_timeout=5).close()
    print("accepted")
except psycopg.OperationalError as error:
    print("refused" if "password authentication failed" in str(error) else error)
"""


def rotate_passwords(cluster: Cluster) -> None:
    """Every role and user has a new one, the old ones are refused, and no call was lost."""
    (block,) = steps_of(f"operating/{PASSWORDS_PAGE}")
    parts = (*SHARED_ROLES, *(f"validator-{seat}" for seat in SEATS))
    before = {part: _secret(cluster, part) for part in parts}
    with steady_calls(cluster) as (load, reads):
        run_block(cluster, PASSWORDS_PAGE, block)
        cluster.wait_until_ready()
    _note_calls(cluster, "all passwords replaced", load, reads)
    old, new = [], []
    for part in parts:
        after = _secret(cluster, part)
        if gone := set(before[part]) - set(after):
            raise Failed(f"the Secret of {part} has lost {', '.join(sorted(gone))}")
        roles = (
            [f"{role}-database-url" for role in VALIDATOR_ROLES] if "validator" in part else ["database-url"]
        )
        old += [_connects(cluster, part, before[part][key]) for key in roles]
        new += [_connects(cluster, part, after[key]) for key in roles]
    connected = [
        _metric(
            f"http://{pod['status']['podIP']}:{port['containerPort']}/metrics", "icn_kit_bus_connected_bool"
        )
        for pod in cluster.pods()
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
        if port["name"] in ("metrics", "m-ledger")
    ]
    cluster.note(
        "the same: old and new passwords of Postgres; processes connected to NATS",
        "refused; accepted; all",
        f"{old.count('refused')} of {len(old)} refused; {new.count('accepted')} of {len(new)} accepted; "
        f"{connected.count(1.0)} of {len(connected)}",
        {*old} == {"refused"} and {*new} == {"accepted"} and {*connected} == {1.0},
    )


def _connects(cluster: Cluster, part: str, address: bytes) -> str:
    """What Postgres says to a database's address, asked where it is used."""
    is_seat = part.startswith("validator")
    where = f"{RELEASE}-{part}-0" if is_seat else f"deploy/{RELEASE}-{part}"
    container = "consensus" if is_seat else part
    done = subprocess.run(
        ["kubectl", "-n", cluster.namespace, "exec", "-i", where, "-c", container, "--",
         "/opt/icn/venv/bin/python", "-c", CONNECT_PROBE],
        env={**os.environ, **cluster.environment}, input=address, capture_output=True, check=False,
        timeout=60,
    )  # fmt: skip
    return (done.stdout.decode() or done.stderr.decode()).strip()


# --- keys


def rotate_key(cluster: Cluster) -> None:
    """A seat gets another key as the page says, and votes with it."""
    offer, give = steps_of(f"operating/{KEYS_PAGE}")
    founders = {one.name: one for one in open_founders(cluster.federation)}
    principal = founders["wheelwright-workshop"].principal.hex()
    for name in ("consensus.json", "offer.json"):
        (cluster.work / name).unlink(missing_ok=True)
    pod = f"{RELEASE}-validator-{CHANGED_SEAT}-0"
    wait_for(
        lambda: has_stood_an_epoch(cluster),
        "the epoch after the one that named the last key",
        EDGE_SECONDS_MAX,
    )
    with steady_calls(cluster) as (load, reads):
        run_block(cluster, KEYS_PAGE, offer, PRINCIPAL=principal)
        named = cluster.work / "offer.json"
        is_next = is_named(cluster, named, "next")
        wait_for(lambda: is_named(cluster, named, "in_force"), "the edge with the new key", EDGE_SECONDS_MAX)
        run_block(cluster, KEYS_PAGE, give)
        final = max(int(one.get("final_height", 0)) for one in cluster.icn("status")["validators"])

        def follows() -> bool:
            seats = {one["seat"]: one for one in cluster.icn("status")["validators"]}
            return int(seats[CHANGED_SEAT].get("executed_height", 0)) >= final

        wait_for(follows, "the seat to follow with its new key")
    height = block_without_seat_0(cluster, "REKEYED")
    aside = cluster.kubectl("exec", pod, "-c", "consensus", "--", "ls", "/var/lib/icn/retired").split()
    cluster.note(
        "a seat's key replaced: named for the next epoch; the old one's record put aside; it is needed",
        "all",
        f"{'named' if is_next else 'not named'}; {len(aside)} aside; block {height} without seat 0",
        is_next and bool(aside),
    )
    _note_calls(cluster, "the same", load, reads)


def has_stood_an_epoch(cluster: Cluster) -> bool:
    """Whether the seats in force were those of the epoch before, too: then each may name another key."""
    shown = cluster.icn("validators", "show")
    return int(shown["epoch"]) > int(shown["since_epoch"])


def _secret(cluster: Cluster, part: str) -> dict[str, bytes]:
    """What the Secret of a part holds."""
    text = cluster.kubectl("get", "secret", f"{RELEASE}-{part}", "-o", "jsonpath={.data}")
    return {key: base64.b64decode(value) for key, value in json.loads(text).items()}
