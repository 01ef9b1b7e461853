"""CPU of credentials, proofs and logs: `.venv/bin/python benches/credentials.py`. Medians of rounds."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from icn_credentials import credential, did_key, documents, status_list, webvh_author
from icn_credentials.multikey import KeyKind, PublicKey
from icn_credentials.proofs import EDDSA_JCS, MLDSA65_JCS, SUITES, Suite, add_proof
from icn_credentials.resolver import Resolver
from icn_credentials.webvh_log import read_log
from icn_crypto.suites import SigningKey
from icn_crypto.suites import Suite as SigningSuite

ROUNDS = 21
ENTRIES = 100
START_MS = 1_700_000_000_000


def main() -> None:
    """Print the table."""
    ed25519 = SigningKey(SigningSuite.ED25519, bytes(range(32)))
    ml_dsa = SigningKey(SigningSuite.ML_DSA_65, bytes(range(32)))
    classic = PublicKey(KeyKind.ED25519, ed25519.public_key)
    quantum_safe = PublicKey(KeyKind.ML_DSA_65, ml_dsa.public_key)
    form: dict[str, Any] = {
        "@context": [credential.CONTEXT_V2, credential.UNDEFINED_TERMS_V2],
        "type": ["VerifiableCredential", "MembershipCredential"],
        "issuer": did_key.from_key(classic),
        "validFrom": "2020-01-01T00:00:00Z",
        "credentialSubject": {"id": "did:example:anna", "memberOf": did_key.from_key(classic)},
    }

    def sign(document: dict[str, Any], suite: Suite) -> dict[str, Any]:
        key, secret = (quantum_safe, ml_dsa) if suite is MLDSA65_JCS else (classic, ed25519)
        return add_proof(
            document, suite, secret.sign, verification_method=did_key.method_id(key), created_ms=START_MS
        )

    one = sign(form, EDDSA_JCS)
    both = sign(one, MLDSA65_JCS)
    rdf = sign(form, SUITES["eddsa-rdfc-2022"])
    log = webvh_log_of(classic, ed25519)
    encoded = status_list.encode(status_list.empty())
    resolve, now_ms = Resolver().verification_method, time.time_ns() // 1_000_000
    assert credential.verify(both, resolve, now_ms).is_valid
    print("| what | CPU-ms |\n|---|---|")
    for name, work in (
        ("issue a set of both suites", lambda: sign(sign(form, EDDSA_JCS), MLDSA65_JCS)),
        ("verify eddsa-jcs-2022", lambda: credential.verify(one, resolve, now_ms)),
        ("verify a set of both suites", lambda: credential.verify(both, resolve, now_ms)),
        ("verify eddsa-rdfc-2022", lambda: credential.verify(rdf, resolve, now_ms)),
        (f"verify a log of {ENTRIES} entries", lambda: read_log(log, now_ms)),
        ("unfold a status list", lambda: status_list.decode(encoded)),
    ):
        print(f"| {name} | {cpu_ms(work):.2f} |")


def webvh_log_of(key: PublicKey, secret: SigningKey) -> bytes:
    """A log with one change a day."""
    did = webvh_author.template("coop.example")
    document: dict[str, Any] = {"id": did, "verificationMethod": [documents.multikey_method(did, "1", key)]}
    lines = [webvh_author.first_entry(document, [key], key, secret.sign, time_ms=START_MS)]
    entry = read_log(lines[0], START_MS).last
    for day in range(1, ENTRIES):
        moment_ms = START_MS + day * 86_400_000
        lines.append(webvh_author.next_entry(entry, entry.document, {}, key, secret.sign, time_ms=moment_ms))
        entry = read_log(b"\n".join(lines), moment_ms).last
    return b"\n".join(lines)


def cpu_ms(work: Callable[[], object]) -> float:
    """Median CPU time of a round."""
    work()
    spent = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        work()
        spent.append(time.process_time_ns() - started)
    return statistics.median(spent) / 1e6


if __name__ == "__main__":
    main()
