from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography import x509
from icn_kit.tls import TlsFiles, TlsWatch
from icn_localnet.certificates import Authority
from prometheus_client import REGISTRY

EXPIRY = "icn_kit_certificate_expiry_time_seconds"


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    authority = Authority(tmp_path / "authority")
    authority.ensure("valley")
    return authority.issue("ledger", tmp_path / "ledger")


def test_the_metrics_tell_when_the_certificate_that_was_read_runs_out(files: TlsFiles) -> None:
    TlsWatch(files).read()
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert REGISTRY.get_sample_value(EXPIRY) == certificate.not_valid_after_utc.timestamp()


def test_what_is_no_certificate_is_left_to_whoever_uses_it(files: TlsFiles) -> None:
    watch = TlsWatch(files)
    watch.read()
    before = REGISTRY.get_sample_value(EXPIRY)
    files.certificate.write_bytes(b"half a certif")
    os.utime(files.certificate)
    assert watch.read().certificate == b"half a certif"
    assert REGISTRY.get_sample_value(EXPIRY) == before
