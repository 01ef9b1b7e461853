"""Making entries of a did:webvh log. The caller holds the key and brings the time.

Source: did:webvh 1.0, "Create (Register)", "Update (Rotate)", "Deactivate (Revoke)".
"""

from collections.abc import Sequence

from icn_crypto import jcs
from icn_crypto.jcs import JsonValue

from icn_credentials import did_key, proofs, times, webvh_did
from icn_credentials.faults import InvalidDid
from icn_credentials.json_forms import JsonObject
from icn_credentials.multikey import PublicKey
from icn_credentials.proofs import EDDSA_JCS, Sign
from icn_credentials.webvh_did import SCID_PLACEHOLDER
from icn_credentials.webvh_log import Entry, entry_version_id, replace_text, scid_of
from icn_credentials.webvh_parameters import METHOD


def template(domain: str, path: Sequence[str] = ()) -> str:
    """The DID with its placeholder, from the domain as it stands in the DID and the path.

    Raises:
        InvalidDid: no host, or no path.
    """
    did = webvh_did.PREFIX + ":".join((SCID_PLACEHOLDER, domain, *path))
    webvh_did.read(did, is_template=True)
    return did


def first_entry(
    document: JsonObject,
    update_keys: Sequence[PublicKey],
    signer: PublicKey,
    sign: Sign,
    *,
    time_ms: int,
    parameters: JsonObject | None = None,
) -> bytes:
    """The first line of a log, without a line end.

    Args:
        document: whose id is a ``template``, and which names itself by it.
        update_keys: who may update.
        signer: one of them.
        sign: signs with its private key.
        time_ms: of the version, to the second.
        parameters: further ones, such as ``portable`` and ``nextKeyHashes``.

    Raises:
        InvalidDid: the document's id is no template.
    """
    webvh_did.read(str(document.get("id")), is_template=True)
    keys: list[JsonValue] = [key.did_key_part() for key in update_keys]
    form: JsonObject = {
        "versionId": SCID_PLACEHOLDER,
        "versionTime": times.write(time_ms),
        "parameters": {
            "method": METHOD,
            "scid": SCID_PLACEHOLDER,
            "updateKeys": keys,
            **(parameters or {}),
        },
        "state": document,
    }
    scid = scid_of(form)
    return _signed(
        replace_text(form, SCID_PLACEHOLDER, scid), 1, scid, signer=signer, sign=sign, time_ms=time_ms
    )


def next_entry(
    previous: Entry,
    document: JsonObject,
    parameters: JsonObject,
    signer: PublicKey,
    sign: Sign,
    *,
    time_ms: int,
) -> bytes:
    """The line after ``previous``, without a line end.

    Raises:
        InvalidDid: the time, to the second, is not after the previous entry's.
    """
    if time_ms // 1_000 * 1_000 <= previous.version_time_ms:
        raise InvalidDid("versions of a DID are at least a second apart")
    form: JsonObject = {
        "versionId": previous.version_id,
        "versionTime": times.write(time_ms),
        "parameters": parameters,
        "state": document,
    }
    return _signed(form, previous.number + 1, previous.version_id, signer=signer, sign=sign, time_ms=time_ms)


def _signed(
    form: JsonObject, number: int, before: str, *, signer: PublicKey, sign: Sign, time_ms: int
) -> bytes:
    named: JsonObject = {**form, "versionId": entry_version_id(form, number, before)}
    signed = proofs.add_proof(
        named, EDDSA_JCS, sign, verification_method=did_key.method_id(signer), created_ms=time_ms
    )
    # A list is what most readers expect, though the method allows one proof alone.
    return jcs.canonicalize({**signed, "proof": [signed["proof"]]})
