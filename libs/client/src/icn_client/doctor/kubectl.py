"""What `icn doctor` asks of Kubernetes, as the person who calls it may: kubectl with their kubeconfig."""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from icn_client.doctor import probe

CALL_SECONDS_MAX: Final = 30.0
ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
"""A release of 50 validators has about 10 MB of objects."""
PYTHON: Final = "/opt/icn/venv/bin/python"
"""Of every image (deploy/Dockerfile)."""
_KEYS: Final = (
    '{{range .items}}{{.metadata.name}}{{range $key, $value := .data}} {{$key}}{{end}}{{"\\n"}}{{end}}'
)
_CERTIFICATES: Final = (
    '{{range $one := .items}}{{with $one.data}}{{with index . "tls.crt"}}{{$one.metadata.name}} {{.}} '
    '{{with index $one.data "ca.crt"}}{{.}}{{end}}{{"\\n"}}{{end}}{{end}}{{end}}'
)


class KubectlFailed(Exception):
    """Kubernetes said no, or nothing; the message says to what and why."""


class KubectlUnreachable(KubectlFailed):
    """There is no kubectl here, or no cluster that answers."""


class Kubectl:
    """Calls in one namespace. Each takes up to CALL_SECONDS_MAX and raises KubectlFailed."""

    def __init__(self, namespace: str, program: str = "kubectl") -> None:
        self.namespace = namespace
        self._program = program

    def version(self) -> str:
        """Of the server, as ``1.34``."""
        found = json.loads(self._run("version", "-o", "json"))
        try:
            server = found["serverVersion"]
            return f"{server['major']}.{server['minor'].rstrip('+')}"
        except KeyError:
            raise KubectlUnreachable("no cluster answers: see kubectl cluster-info") from None

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Those that have these labels, by name."""
        chosen = ("-l", selector) if selector else ()
        found = json.loads(self._run("get", kind, *chosen, "-o", "json"))["items"]
        return sorted(found, key=lambda one: str(one["metadata"]["name"]))

    def secret_keys(self) -> dict[str, frozenset[str]]:
        """Names of the keys of each Secret; what they hold is not asked for."""
        lines = self._run("get", "secrets", "-o", f"go-template={_KEYS}").splitlines()
        return {name: frozenset(keys) for name, *keys in (line.split() for line in lines if line)}

    def certificates(self) -> dict[str, tuple[bytes, bytes]]:
        """Certificate and authorities in PEM form of each Secret that has some, which are no secret."""
        found = {}
        for line in self._run("get", "secrets", "-o", f"go-template={_CERTIFICATES}").splitlines():
            name, certificate, authority = [*line.split(), "", ""][:3]
            try:
                found[name] = (base64.b64decode(certificate), base64.b64decode(authority))
            except binascii.Error:
                found[name] = (b"", b"")
        return found

    def logs(self, pod: str, container: str, lines: int, *, is_previous: bool = False) -> str:
        """The last lines of a container, or of the one before it that ended."""
        previous = ("--previous",) if is_previous else ()
        return self._run("logs", pod, "-c", container, f"--tail={lines}", *previous)

    def probe(self, pod: str, container: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What `icn_client.doctor.probe` answers there."""
        source = Path(probe.__file__).read_text("utf-8")
        arguments = ("exec", "-i", pod, "-c", container, "--", PYTHON, "-", json.dumps(asked))
        answer: dict[str, Any] = json.loads(self._run(*arguments, stdin=source))
        return answer

    def _run(self, *arguments: str, stdin: str | None = None) -> str:
        what = f"kubectl {' '.join(arguments[:3])}"
        command = (self._program, "--namespace", self.namespace, *arguments)
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=CALL_SECONDS_MAX, check=False
            )
        except FileNotFoundError:
            raise KubectlUnreachable(f"no {self._program} on PATH: install it, or add it to PATH") from None
        except subprocess.TimeoutExpired:
            # A cluster that told its version is there, and one of its nodes may hang.
            failure = KubectlUnreachable if arguments[0] == "version" else KubectlFailed
            raise failure(f"{what}: no answer within {CALL_SECONDS_MAX:.0f} s") from None
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
            is_unreachable = "was refused" in said or "nable to connect" in said or "no configuration" in said
            raise (KubectlUnreachable if is_unreachable else KubectlFailed)(f"{what}: {said}")
        if len(done.stdout) > ANSWER_BYTES_MAX:
            raise KubectlFailed(f"{what}: an answer of {len(done.stdout)} bytes, above {ANSWER_BYTES_MAX}")
        return done.stdout
