"""did:peer, numalgo 0 (one key) and 2 (several keys and services in the DID itself).

Source: Peer DID Method Specification 1.0, "Generation Method" 0 and 2.
"""

from typing import Final

from icn_crypto.jcs import JsonValue, NotIJson, parse

from icn_credentials import did_key, multibase
from icn_credentials.documents import DID_CONTEXT, MULTIKEY_CONTEXT
from icn_credentials.faults import CredentialFault, InvalidDid
from icn_credentials.json_forms import JsonObject, check_size
from icn_credentials.multikey import KeyKind, read_multikey

PREFIX: Final = "did:peer:"
CHARACTERS_MAX: Final = 16_384
ELEMENTS_MAX: Final = 32

_PURPOSES: Final = {
    "A": "assertionMethod",
    "E": "keyAgreement",
    "V": "authentication",
    "I": "capabilityInvocation",
    "D": "capabilityDelegation",
}
_SERVICE: Final = "S"
_SHORT_NAMES: Final = {"t": "type", "s": "serviceEndpoint", "r": "routingKeys", "a": "accept"}
_SHORT_VALUES: Final = {"dm": "DIDCommMessaging"}


def resolve(did: str) -> JsonObject:
    """The DID document.

    Raises:
        InvalidDid: another numalgo than 0 and 2, or an element that cannot be read.
    """
    if not did.startswith(PREFIX) or len(did) > CHARACTERS_MAX:
        raise InvalidDid("not a did:peer of a size that is read")
    numalgo, rest = did[len(PREFIX) : len(PREFIX) + 1], did[len(PREFIX) + 1 :]
    try:
        if numalgo == "0":
            key = read_multikey(rest)
            if not rest.startswith(multibase.BASE58BTC.prefix):
                raise InvalidDid("a did:peer of numalgo 0 is written in base58btc")
            return did_key.document_of(did, key)
        if numalgo == "2":
            return _several(did, rest)
    except InvalidDid:
        raise
    except CredentialFault as error:
        raise InvalidDid(f"no did:peer: {error}") from None
    raise InvalidDid(f"did:peer with numalgo {numalgo!r} is not resolved, only 0 and 2")


def _several(did: str, rest: str) -> JsonObject:
    elements = rest.split(".")
    if elements[0] or not 1 < len(elements) <= ELEMENTS_MAX + 1:
        raise InvalidDid(f"a did:peer of numalgo 2 has 1 to {ELEMENTS_MAX} elements, each after a dot")
    methods: list[JsonValue] = []
    services: list[JsonValue] = []
    purposes: dict[str, list[JsonValue]] = {}
    for element in elements[1:]:
        code, content = element[:1], element[1:]
        if code == _SERVICE:
            services.extend(_services(did, content, len(services)))
            continue
        if code not in _PURPOSES:
            raise InvalidDid(f"an element of a did:peer begins with A, E, V, I, D or S, not {code!r}")
        key = read_multikey(content)
        if (_PURPOSES[code] == "keyAgreement") != (key.kind is KeyKind.X25519):
            raise InvalidDid(f"a key of {key.kind.name} is not for {_PURPOSES[code]}")
        method = f"{did}#key-{len(methods) + 1}"
        methods.append({"id": method, "type": "Multikey", "controller": did, "publicKeyMultibase": content})
        purposes.setdefault(_PURPOSES[code], []).append(method)
    document: JsonObject = {
        "@context": [DID_CONTEXT, MULTIKEY_CONTEXT],
        "id": did,
        "verificationMethod": methods,
        **purposes,
    }
    if services:
        document["service"] = services
    return document


def _services(did: str, content: str, before: int) -> list[JsonObject]:
    decoded = multibase.decode_digits(multibase.BASE64URL, content.rstrip("="))
    try:
        value = parse(decoded)
    except NotIJson as error:
        raise InvalidDid(f"a service is not JSON: {error}") from None
    check_size(value, "a service", InvalidDid)
    found = value if isinstance(value, list) else [value]
    services: list[JsonObject] = []
    for item in found:
        service = _lengthen(item)
        if not isinstance(service, dict):
            raise InvalidDid("a service is a JSON object")
        number = before + len(services)
        service.setdefault("id", f"{did}#service" + (f"-{number}" if number else ""))
        services.append(service)
    return services


def _lengthen(value: JsonValue) -> JsonValue:
    """Abbreviated names and types written out."""
    if isinstance(value, list):
        return [_lengthen(item) for item in value]
    if not isinstance(value, dict):
        return value
    written: JsonObject = {}
    for name, item in value.items():
        full = _SHORT_NAMES.get(name, name)
        is_short = full == "type" and isinstance(item, str)
        written[full] = _SHORT_VALUES.get(str(item), item) if is_short else _lengthen(item)
    return written
