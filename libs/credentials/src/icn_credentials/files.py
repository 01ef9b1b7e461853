"""What ``icn did resolve`` and ``icn vc verify`` do with the contents of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from icn_crypto.jcs import JsonValue

from icn_credentials import credential, json_forms, status_list
from icn_credentials.credential import CREDENTIAL_BYTES_MAX, Status, Verdict
from icn_credentials.faults import CredentialFault, InvalidCredential, InvalidStatusList
from icn_credentials.json_forms import JsonObject
from icn_credentials.resolver import Resolver
from icn_credentials.status_list import StatusList
from icn_credentials.webvh_log import Log, read_log

Answer = dict[str, JsonValue]
LISTS_MAX: Final = 64
LOGS_MAX: Final = 64


def read_logs(contents: Iterable[tuple[bytes, bytes | None]], now_ms: int) -> dict[str, Log]:
    """Verified logs by self-certifying identifier, from ``did.jsonl`` and ``did-witness.json`` each.

    Raises:
        InvalidDid: one of them does not hold from its first entry on.
    """
    logs = [read_log(content, now_ms, witnesses) for content, witnesses in contents]
    return {log.scid: log for log in logs}


def read_status_lists(
    contents: Iterable[bytes], logs: Mapping[str, Log], now_ms: int
) -> dict[str, StatusList]:
    """Verified status lists by the id of their credentials.

    Raises:
        InvalidStatusList: one does not hold, has no id, or was not made by its issuer.
    """
    lists: dict[str, StatusList] = {}
    for content in contents:
        form = json_forms.read_object(content, CREDENTIAL_BYTES_MAX, "the status list", InvalidStatusList)
        verdict = credential.verify(form, Resolver(logs).verification_method, now_ms)
        if not verdict.is_valid:
            raise InvalidStatusList(f"the status list does not hold: {verdict.reason}")
        if not verdict.is_issuer_bound:
            raise InvalidStatusList("the status list is not signed by its issuer")
        lists[json_forms.text(form, "id", InvalidStatusList)] = status_list.read_list(form)
    return lists


def verify_credential(
    content: bytes,
    logs: Mapping[str, Log],
    lists: Mapping[str, StatusList],
    now_ms: int,
    at_ms: int | None = None,
) -> Answer:
    """``{"valid","reason","proofs","issuer","issuer_bound","status"}`` for the content of a file.

    Args:
        content: of the file.
        logs: of the DIDs that it may name.
        lists: of its status.
        now_ms: the verifier's time.
        at_ms: judge as at this moment, with the keys of then.
    """
    try:
        form = json_forms.read_object(content, CREDENTIAL_BYTES_MAX, "the credential", InvalidCredential)
    except CredentialFault as fault:
        return answer_of(Verdict(False, str(fault), ()))
    moment_ms = now_ms if at_ms is None else at_ms
    return answer_of(credential.verify(form, Resolver(logs, at_ms).verification_method, moment_ms, lists))


def answer_of(verdict: Verdict) -> Answer:
    """A verdict as JSON."""
    proofs: list[JsonValue] = [
        JsonObject(
            valid=proof.is_valid,
            reason=proof.reason,
            cryptosuite=proof.suite,
            verificationMethod=proof.verification_method,
            proofPurpose=proof.purpose,
        )
        for proof in verdict.proofs
    ]
    return {
        "valid": verdict.is_valid,
        "reason": verdict.reason,
        "proofs": proofs,
        "issuer": verdict.issuer,
        "issuer_bound": verdict.is_issuer_bound,
        "status": (verdict.status if verdict.issuer else Status.NOT_CHECKED).value,
    }
