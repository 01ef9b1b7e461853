"""What can be generated is not committed, and secrets are not either."""

from __future__ import annotations

import re
from pathlib import Path

GENERATED = re.compile(r"(_pb2(_grpc)?\.pyi?|\.pyc|\.so|\.egg-info/.*)$")
PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/]{16}")


def test_stubs_and_builds_are_not_committed(tracked: list[Path]) -> None:
    assert [path for path in tracked if GENERATED.search(str(path))] == []


def test_no_private_key_is_committed(root: Path, tracked: list[Path]) -> None:
    assert [path for path in tracked if PRIVATE_KEY.search((root / path).read_bytes())] == []


def test_these_rules_can_fail() -> None:
    assert GENERATED.search("protos/icn/ledger/v1/service_pb2_grpc.py")
    assert not GENERATED.search("protos/icn/ledger/v1/service.proto")
    assert PRIVATE_KEY.search(b"-----BEGIN EC PRIVATE KEY-----\n" + b"A" * 64)
