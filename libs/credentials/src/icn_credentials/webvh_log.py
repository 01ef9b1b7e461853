"""Verifying a did:webvh log: every entry follows from the one before, or the log ends before it.

Source: did:webvh 1.0, "Read (Resolve)" and the sections it names.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from icn_crypto import jcs
from icn_crypto.jcs import JsonValue

from icn_credentials import json_forms, multihash, proofs, times, webvh_did
from icn_credentials.documents import VerificationMethod
from icn_credentials.faults import CredentialFault, InvalidDid, InvalidProof, NotFound
from icn_credentials.json_forms import JsonObject
from icn_credentials.proofs import ASSERTION, EDDSA_JCS, Terms
from icn_credentials.webvh_did import SCID_PLACEHOLDER
from icn_credentials.webvh_keys import update_key_method
from icn_credentials.webvh_parameters import METHOD, Parameters, Witnesses

LOG_BYTES_MAX: Final = 4_194_304
ENTRIES_MAX: Final = 10_000
ENTRY_BYTES_MAX: Final = 262_144
WITNESS_BYTES_MAX: Final = 4_194_304
CLOCK_TOLERANCE_MS: Final = 300_000
"""How far ahead of the resolver's clock an entry may be (did:webvh 1.0 recommends five minutes)."""

_MEMBERS: Final = frozenset(("versionId", "versionTime", "parameters", "state", "proof"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A version of the DID whose entry holds."""

    number: int
    """From 1."""
    version_id: str
    version_time_ms: int
    parameters: Parameters
    """In force once the entry is published."""
    document: JsonObject

    @property
    def did(self) -> str:
        """The DID, which a portable one may change."""
        return str(self.document["id"])


@dataclass(frozen=True, slots=True)
class Log:
    """The entries that hold, from the first on, and why the next one does not."""

    entries: tuple[Entry, ...]
    fault: str = ""
    """Empty where the whole log holds."""
    lines: tuple[bytes, ...] = field(default=(), repr=False)
    """The entries as they were read, without line ends."""

    @property
    def last(self) -> Entry:
        """The newest entry that holds."""
        return self.entries[-1]

    @property
    def scid(self) -> str:
        """The self-certifying identifier."""
        return self.entries[0].parameters.scid


def read_log(content: bytes, now_ms: int, witness_content: bytes | None = None) -> Log:
    """Verify a log from its first entry on.

    Args:
        content: of ``did.jsonl``.
        now_ms: the resolver's time.
        witness_content: of ``did-witness.json``, where there is one.

    Raises:
        InvalidDid: too large, or not even the first entry holds.
    """
    if len(content) > LOG_BYTES_MAX:
        raise InvalidDid(f"the log has {len(content)} bytes, at most {LOG_BYTES_MAX} are read")
    lines = content.split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    if not 1 <= len(lines) <= ENTRIES_MAX:
        raise InvalidDid(f"a log has 1 to {ENTRIES_MAX} entries, not {len(lines)}")
    entries: list[Entry] = []
    witnessed: list[Witnesses | None] = []
    fault = ""
    for line in lines:
        try:
            entry = read_entry(line, entries[-1] if entries else None, now_ms)
        except CredentialFault as error:
            fault = f"entry {len(entries) + 1}: {error}"
            break
        witnessed.append(_witnesses_of(entry, entries[-1] if entries else None))
        entries.append(entry)
    if any(witnessed):
        counted = _count_witnessed(entries, witnessed, witness_content, now_ms)
        if counted < len(entries):
            fault = f"entry {counted + 1}: too few of its witnesses approved it"
            entries = entries[:counted]
    if not entries:
        raise InvalidDid(fault)
    return Log(tuple(entries), fault, tuple(line.rstrip(b"\r") for line in lines[: len(entries)]))


def read_entry(line: bytes, previous: Entry | None, now_ms: int) -> Entry:
    """Verify one entry after the one before it; its witnesses are not asked.

    Raises:
        CredentialFault: it does not hold.
    """
    form = json_forms.read_object(line, ENTRY_BYTES_MAX, "the entry", InvalidDid)
    if set(form) != _MEMBERS:
        raise InvalidDid(f"an entry has the members {', '.join(sorted(_MEMBERS))} and no others")
    state, changed = form["state"], form["parameters"]
    if not isinstance(state, dict) or not isinstance(changed, dict):
        raise InvalidDid("parameters and state are objects")
    parameters = Parameters.first(changed) if previous is None else previous.parameters.changed(changed)
    version_id = json_forms.text(form, "versionId", InvalidDid)
    number = 1 if previous is None else previous.number + 1
    _check_version(form, version_id, number, parameters.scid if previous is None else previous.version_id)
    if previous is None:
        _check_scid(form, parameters.scid)
    time_ms = times.read(form["versionTime"], "versionTime", InvalidDid, must_be_utc=True)
    if previous is not None and time_ms <= previous.version_time_ms:
        raise InvalidDid("versionTime is not after that of the entry before")
    if time_ms > now_ms + CLOCK_TOLERANCE_MS:
        raise InvalidDid(f"versionTime {form['versionTime']} is ahead")
    _check_document(state, parameters, previous)
    _check_proofs(form, _active_keys(parameters, previous), now_ms)
    return Entry(number, version_id, time_ms, parameters, state)


def _check_version(form: JsonObject, version_id: str, number: int, before: str) -> None:
    expected = entry_version_id(form, number, before)
    if version_id != expected:
        raise InvalidDid(f"versionId is {version_id[:80]!r}, the entry's content makes it {expected!r}")


def entry_version_id(form: Mapping[str, JsonValue], number: int, before: str) -> str:
    """``versionId`` of an entry: its number and the hash over it and its predecessor's versionId."""
    hashed: JsonObject = {name: value for name, value in form.items() if name != "proof"}
    return f"{number}-{multihash.base58_sha256(jcs.canonicalize({**hashed, 'versionId': before}))}"


def scid_of(form: Mapping[str, JsonValue]) -> str:
    """The self-certifying identifier of a first entry whose places for it hold the placeholder."""
    hashed: JsonObject = {name: value for name, value in form.items() if name != "proof"}
    return multihash.base58_sha256(jcs.canonicalize({**hashed, "versionId": SCID_PLACEHOLDER}))


def replace_text(form: Mapping[str, JsonValue], old: str, new: str) -> JsonObject:
    """Every occurrence of a text in an object replaced, as the method has it: in its JSON."""
    replaced = json.loads(json.dumps(form, ensure_ascii=False).replace(old, new))
    assert isinstance(replaced, dict), "an object stays one"
    return replaced


def _check_scid(form: JsonObject, scid: str) -> None:
    if not multihash.is_base58_sha256(scid):
        raise InvalidDid("the self-certifying identifier is a SHA-256 in base58btc")
    unsigned = {name: value for name, value in form.items() if name not in ("proof", "versionId")}
    found = scid_of(replace_text(unsigned, scid, SCID_PLACEHOLDER))
    if found != scid:
        raise InvalidDid(f"scid is {scid!r}, the first entry's content makes it {found!r}")


def _check_document(document: JsonObject, parameters: Parameters, previous: Entry | None) -> None:
    did = json_forms.text(document, "id", InvalidDid)
    if webvh_did.read(did).scid != parameters.scid:
        raise InvalidDid("the document's id has another self-certifying identifier")
    if previous is None or did == previous.did:
        return
    if not parameters.is_portable:
        raise InvalidDid(f"the document's id changed to {did}, and the DID is not portable")
    known = json_forms.texts(document.get("alsoKnownAs", []), "alsoKnownAs", InvalidDid)
    if previous.did not in known:
        raise InvalidDid("a moved document names its earlier id in alsoKnownAs")


def _active_keys(parameters: Parameters, previous: Entry | None) -> tuple[str, ...]:
    """Keys that may sign the entry: its own if it is the first or they were committed to."""
    if previous is None or previous.parameters.next_key_hashes:
        return parameters.update_keys
    return previous.parameters.update_keys


def _check_proofs(form: JsonObject, keys: Sequence[str], now_ms: int) -> None:
    def resolve(method_id: str, _purpose: str) -> VerificationMethod:
        method = update_key_method(method_id)
        if method.key.did_key_part() not in keys:
            raise InvalidProof(f"{method_id[:80]} may not update this DID")
        return method

    for proof in proofs.proofs_of(form):
        if proof.get("cryptosuite") != EDDSA_JCS.name:
            raise InvalidProof(f"entries of {METHOD} are signed with {EDDSA_JCS.name}")
    for verdict in proofs.verify(form, Terms(resolve, now_ms + CLOCK_TOLERANCE_MS, ASSERTION)):
        if not verdict.is_valid:
            raise InvalidProof(verdict.reason)


def _witnesses_of(entry: Entry, previous: Entry | None) -> Witnesses | None:
    """Who must approve the entry: those before it, or its own where there were none."""
    before = previous.parameters.witnesses if previous is not None else None
    return before or entry.parameters.witnesses


def _count_witnessed(
    entries: Sequence[Entry],
    witnessed: Sequence[Witnesses | None],
    content: bytes | None,
    now_ms: int,
) -> int:
    """How many entries, from the first on, have the approval they need."""
    approvals = _read_approvals(content, entries, now_ms) if content is not None else {}
    for index, witnesses in enumerate(witnessed):
        if witnesses is None:
            continue
        # An approval of a later entry covers the earlier ones.
        count = sum(approvals.get(did, 0) >= index + 1 for did in witnesses.dids)
        if count < witnesses.threshold:
            return index
    return len(entries)


def _read_approvals(content: bytes, entries: Sequence[Entry], now_ms: int) -> dict[str, int]:
    """The highest entry that each witness approved. Proofs that do not hold are passed over.

    Raises:
        InvalidDid: the file has not its form.
    """
    wrapped = b'{"proofs":' + content + b"}"
    form = json_forms.read_object(wrapped, WITNESS_BYTES_MAX, "the witness file", InvalidDid)
    items = json_forms.objects(form.get("proofs"), "witness file", InvalidDid, ENTRIES_MAX)
    numbers = {entry.version_id: entry.number for entry in entries}
    approvals: dict[str, int] = {}
    for item in items:
        number = numbers.get(str(item.get("versionId")))
        if number is None or "proof" not in item:
            continue  # not published yet, says the method
        signed: JsonObject = {"versionId": item["versionId"]}
        for proof in json_forms.objects(item["proof"], "proof", InvalidDid, proofs.PROOFS_MAX):
            if proof.get("cryptosuite") != EDDSA_JCS.name:
                continue
            terms = Terms(lambda method_id, _purpose: update_key_method(method_id), now_ms)
            (verdict,) = proofs.verify({**signed, "proof": proof}, terms)
            if verdict.is_valid:
                approvals[verdict.controller] = max(number, approvals.get(verdict.controller, 0))
    return approvals


def find(
    log: Log,
    *,
    did: str | None = None,
    version_id: str | None = None,
    version_number: int | None = None,
    version_time_ms: int | None = None,
) -> Entry:
    """The version asked for; the newest where nothing is.

    Raises:
        InvalidDid: no version of the log has this DID, or the version asked for is not among those that hold.
        NotFound: the log has no such version.
    """
    if did is not None and all(entry.did != did for entry in log.entries):
        raise InvalidDid(f"the log is not {did}'s: its document is {log.last.did}")
    if version_id is None and version_number is None and version_time_ms is None:
        if log.fault:
            raise InvalidDid(log.fault)
        return log.last
    found = [
        entry
        for entry in log.entries
        if version_id in (None, entry.version_id) and version_number in (None, entry.number)
    ]
    if version_time_ms is not None:
        found = [entry for entry in found if _was_active(log, entry, version_time_ms)]
    if not found:
        if log.fault:
            raise InvalidDid(log.fault)
        raise NotFound("the log has no such version")
    return found[-1]


def _was_active(log: Log, entry: Entry, time_ms: int) -> bool:
    if entry.version_time_ms > time_ms:
        return False
    if entry.number < len(log.entries):
        return time_ms < log.entries[entry.number].version_time_ms
    return not log.fault  # who knows when the next one begins
