from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from icn_kit import tls
from icn_kit.tls import CertificateInvalid, TlsFiles, TlsWatch
from icn_localnet import certificates
from icn_localnet.certificates import Authority
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

EXPIRY = "icn_kit_certificate_expiry_time_seconds"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "authority")
    made.ensure("valley")
    return made


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> TlsFiles:
    return authority.issue("ledger", tmp_path / "ledger")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "WATCH_SECONDS", 0.0)


def test_the_metrics_tell_when_the_certificate_in_the_files_runs_out(files: TlsFiles) -> None:
    TlsWatch(files)
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    assert REGISTRY.get_sample_value(EXPIRY) == certificate.not_valid_after_utc.timestamp()
    files.certificate.unlink()
    assert REGISTRY.get_sample_value(EXPIRY) == 0


def half(files: TlsFiles) -> None:
    files.certificate.write_bytes(b"half a certif")


def keyless(files: TlsFiles) -> None:
    files.key.write_bytes(b"")


def trusting_nobody(files: TlsFiles) -> None:
    files.authority.write_bytes(b"\n")


def of_another_key(files: TlsFiles) -> None:
    files.key.write_bytes((files.key.parent.parent / "authority" / "authority.key").read_bytes())


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (half, "certificate.pem is no certificate in PEM form"),
        (keyless, "key.pem is no unencrypted private key"),
        (trusting_nobody, "authority.pem holds no certificate"),
        (of_another_key, "key.pem is not the key of .*certificate.pem: replace both together"),
    ],
)
def test_files_that_do_not_go_together_are_refused_at_first_and_not_taken_later(
    files: TlsFiles, spoil: Callable[[TlsFiles], None], sentence: str
) -> None:
    watch = TlsWatch(files)
    watch.read()
    spoil(files)
    with capture_logs() as logs:
        assert watch.read_if_changed() is None
    assert [entry["event"] for entry in logs] == [
        "new certificate files cannot be used, keeping the old ones"
    ]
    with capture_logs() as logs:
        assert watch.read_if_changed() is None
    assert logs == [], "told once for each change"
    with pytest.raises(CertificateInvalid, match=sentence):
        TlsWatch(files).read()


def test_what_was_replaced_one_after_the_other_is_taken_when_it_goes_together(
    authority: Authority, files: TlsFiles, tmp_path: Path
) -> None:
    watch = TlsWatch(files)
    new = authority.issue("ledger", tmp_path / "new")
    files.key.write_bytes(new.key.read_bytes())
    assert watch.read_if_changed() is None
    files.certificate.write_bytes(new.certificate.read_bytes())
    taken = watch.read_if_changed()
    assert taken is not None
    assert taken.certificate == new.certificate.read_bytes()


def test_a_certificate_that_has_ended_is_not_taken_and_the_metrics_tell(
    authority: Authority, files: TlsFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = TlsWatch(files)
    watch.read()
    monkeypatch.setattr(certificates, "LEAF_DAYS", 0)
    ended = authority.issue("ledger", tmp_path / "ended")
    with pytest.raises(
        CertificateInvalid, match=r"certificate.pem ended at 20.*Z, and others refuse it: renew"
    ):
        TlsWatch(ended).read()
    files.key.write_bytes(ended.key.read_bytes())
    files.certificate.write_bytes(ended.certificate.read_bytes())
    assert watch.read_if_changed() is None, "the old one is still good"
    shown = x509.load_pem_x509_certificate(ended.certificate.read_bytes())
    assert REGISTRY.get_sample_value(EXPIRY) == shown.not_valid_after_utc.timestamp()
