"""Parameters of a did:webvh log: what each entry may change and what is then in force.

Source: did:webvh 1.0, "did:webvh DID Method Parameters" and "The witness Parameter".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from icn_crypto.jcs import JsonValue

from icn_credentials import did_key, json_forms
from icn_credentials.faults import CredentialFault, InvalidDid
from icn_credentials.json_forms import JsonObject
from icn_credentials.multikey import KeyKind
from icn_credentials.webvh_keys import is_update_key, key_hash

METHOD: Final = "did:webvh:1.0"
KEYS_MAX: Final = 64
WITNESSES_MAX: Final = 64
WATCHERS_MAX: Final = 64
TTL_SECONDS_DEFAULT: Final = 3_600
TTL_SECONDS_MAX: Final = 2**31

_DEFAULTS: Final[Mapping[str, JsonValue]] = {
    "nextKeyHashes": [],
    "witness": {},
    "watchers": [],
    "portable": False,
    "deactivated": False,
    "ttl": TTL_SECONDS_DEFAULT,
    "updateKeys": [],
}
"""What null stands for in logs of early implementations."""
_NAMES: Final = frozenset(("method", "scid", *_DEFAULTS))


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who must approve entries, and how many of them."""

    threshold: int
    dids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is in force after an entry."""

    scid: str
    update_keys: tuple[str, ...]
    next_key_hashes: tuple[str, ...] = ()
    witnesses: Witnesses | None = None
    watchers: tuple[str, ...] = ()
    is_portable: bool = False
    is_deactivated: bool = False
    ttl_seconds: int = TTL_SECONDS_DEFAULT

    @classmethod
    def first(cls, form: JsonObject) -> Parameters:
        """Of the first entry.

        Raises:
            InvalidDid: method, scid or update keys are missing, or a value has not its form.
        """
        for name in ("method", "scid", "updateKeys"):
            if form.get(name) is None:
                raise InvalidDid(f"the first entry needs the parameter {name}")
        empty = cls(json_forms.text(form, "scid", InvalidDid), ())
        return _apply(empty, form)

    def changed(self, form: JsonObject) -> Parameters:
        """Of an entry after this one.

        Raises:
            InvalidDid: the DID is deactivated, keys are not those committed to, or a value has not its form.
        """
        if self.is_deactivated:
            raise InvalidDid("the DID is deactivated, nothing follows")
        if "scid" in form:
            raise InvalidDid("scid stands in the first entry only")
        if form.get("portable") is True and not self.is_portable:
            raise InvalidDid("a DID is made portable in its first entry only")
        if self.next_key_hashes:
            for name in ("updateKeys", "nextKeyHashes"):
                if form.get(name) is None:
                    raise InvalidDid(f"while keys are committed to, every entry has {name}")
        after = _apply(self, form)
        if self.next_key_hashes:
            for key in after.update_keys:
                if key_hash(key) not in self.next_key_hashes:
                    raise InvalidDid(f"update key {key[:60]} is not among those committed to")
        return after


def _apply(before: Parameters, form: JsonObject) -> Parameters:
    unknown = sorted(set(form) - _NAMES)
    if unknown:
        raise InvalidDid(f"parameter {unknown[0][:80]!r} is not of {METHOD}")
    values = {name: _DEFAULTS.get(name) if value is None else value for name, value in form.items()}
    if values.get("method", METHOD) != METHOD:
        raise InvalidDid(f"method {str(values['method'])[:40]!r} is not {METHOD}")
    after = before
    if "updateKeys" in values:
        after = replace(after, update_keys=_keys(values["updateKeys"]))
    if "nextKeyHashes" in values:
        hashes = _list(values["nextKeyHashes"], "nextKeyHashes", KEYS_MAX)
        after = replace(after, next_key_hashes=hashes)
    if "witness" in values:
        after = replace(after, witnesses=_witnesses(values["witness"]))
    if "watchers" in values:
        after = replace(after, watchers=_list(values["watchers"], "watchers", WATCHERS_MAX))
    if "portable" in values:
        after = replace(after, is_portable=_flag(values["portable"], "portable"))
    if "deactivated" in values:
        after = replace(after, is_deactivated=_flag(values["deactivated"], "deactivated"))
    if "ttl" in values:
        after = replace(after, ttl_seconds=_number(values["ttl"], "ttl", 0, TTL_SECONDS_MAX))
    return after


def _list(value: JsonValue, name: str, count_max: int) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidDid(f"{name}: a list is expected")
    found = json_forms.texts(value, name, InvalidDid, count_max)
    if len(set(found)) != len(found):
        raise InvalidDid(f"{name}: an item stands twice")
    return tuple(found)


def _keys(value: JsonValue) -> tuple[str, ...]:
    keys = _list(value, "updateKeys", KEYS_MAX)
    for key in keys:
        if not is_update_key(key):
            raise InvalidDid(f"updateKeys: {key[:60]!r} is no Ed25519 multikey in base58btc")
    return keys


def _flag(value: JsonValue, name: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidDid(f"{name}: true or false is expected")
    return value


def _number(value: JsonValue, name: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidDid(f"{name}: a whole number from {least} to {most} is expected")
    return value


def _witnesses(value: JsonValue) -> Witnesses | None:
    if value == {}:
        return None
    if not isinstance(value, dict) or set(value) != {"threshold", "witnesses"}:
        raise InvalidDid("witness: {} or an object with threshold and witnesses is expected")
    listed = value["witnesses"]
    if not isinstance(listed, list):
        raise InvalidDid("witnesses: a list is expected")
    dids = []
    for form in json_forms.objects(listed, "witnesses", InvalidDid, WITNESSES_MAX):
        did = json_forms.text(form, "id", InvalidDid)
        try:
            kind = did_key.read_key(did).kind
        except CredentialFault as error:
            raise InvalidDid(f"witness {did[:80]}: {error}") from None
        if kind is not KeyKind.ED25519:
            raise InvalidDid(f"witness {did[:80]} is no did:key of Ed25519")
        dids.append(did)
    if len(set(dids)) != len(dids):
        raise InvalidDid("witnesses: one stands twice")
    return Witnesses(_number(value["threshold"], "threshold", 1, max(len(dids), 1)), tuple(dids))
