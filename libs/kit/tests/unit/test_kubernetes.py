from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from icn_kit.kubernetes import KubernetesApi, KubernetesRefused


class Server(ThreadingHTTPServer):
    """Answers each (method, path) as told, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        status, answer = self.server.answers.get((self.command, self.path), (404, {"message": "not found"}))
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_DELETE = do_PATCH = do_GET  # noqa: N815 - as http.server wants them

    def log_message(self, *_arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def api(server: Server, tmp_path: Path) -> KubernetesApi:
    (tmp_path / "token").write_text("first\n")
    return KubernetesApi(f"http://127.0.0.1:{server.server_port}", "icn", tmp_path / "token", None)


def test_sets_come_by_name_with_the_labels_asked_for(server: Server, api: KubernetesApi) -> None:
    path = "/apis/apps/v1/namespaces/icn/statefulsets?labelSelector=icn.coop%2Fkind%3Dvalidator"
    items = [{"metadata": {"name": name}} for name in ("icn-validator-1", "icn-validator-0")]
    server.answers["GET", path] = (200, {"items": items})
    found = api.stateful_sets("icn.coop/kind=validator")
    assert [one["metadata"]["name"] for one in found] == ["icn-validator-0", "icn-validator-1"]


def test_a_renewed_token_is_used(server: Server, api: KubernetesApi, tmp_path: Path) -> None:
    server.answers["GET", "/api/v1/namespaces/icn/configmaps/note"] = (200, {"data": {"a": "1"}})
    assert api.config_map("note") == {"a": "1"}
    (tmp_path / "token").write_text("second")
    api.config_map("note")
    assert [headers["Authorization"] for _, _, headers, _ in server.asked] == [
        "Bearer first",
        "Bearer second",
    ]


def test_an_empty_config_map_holds_nothing(server: Server, api: KubernetesApi) -> None:
    server.answers["GET", "/api/v1/namespaces/icn/configmaps/note"] = (200, {"data": None})
    assert api.config_map("note") == {}


def test_a_note_is_added_beside_the_others(server: Server, api: KubernetesApi) -> None:
    server.answers["PATCH", "/api/v1/namespaces/icn/configmaps/note"] = (200, {})
    api.add_to_config_map("note", {"b": "2"})
    _, _, headers, body = server.asked[0]
    assert (headers["Content-Type"], body) == ("application/merge-patch+json", {"data": {"b": "2"}})


def test_a_pod_is_deleted_only_if_it_is_still_that_one(server: Server, api: KubernetesApi) -> None:
    path = "/api/v1/namespaces/icn/pods/icn-validator-0-0"
    assert api.pod("icn-validator-0-0") is None
    server.answers["DELETE", path] = (409, {"message": "the UID in the precondition does not match"})
    with pytest.raises(KubernetesRefused, match="DELETE pods/icn-validator-0-0: the UID") as refused:
        api.delete_pod("icn-validator-0-0", "some-uid")
    assert refused.value.status == 409
    assert server.asked[-1][3] == {"preconditions": {"uid": "some-uid"}}


def test_nobody_who_answers_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    with pytest.raises(KubernetesRefused, match="GET pods/a") as refused:
        KubernetesApi("http://127.0.0.1:9", "icn", tmp_path / "token", None).pod("a")
    assert refused.value.status == 0


def test_outside_of_a_pod_there_is_no_account(tmp_path: Path) -> None:
    with pytest.raises(KubernetesRefused, match="no pod that has a service account"):
        KubernetesApi.of_this_pod({}, tmp_path)
