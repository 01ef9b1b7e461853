"""Reading members of JSON that came from outside, with faults that name the place."""

from collections.abc import Mapping
from typing import Final

from icn_crypto.jcs import JsonValue, NotIJson, parse

from icn_credentials.faults import CredentialFault

JsonObject = dict[str, JsonValue]

DEPTH_MAX: Final = 64
"""Objects and lists inside each other; a credential has under ten."""
VALUES_MAX: Final = 200_000
"""Values in one document, which bounds the time that walks over it take."""


def read_object(content: bytes, bytes_max: int, what: str, fault: type[CredentialFault]) -> JsonObject:
    """A JSON object from bytes, strictly: I-JSON without a member twice, bounded in size, depth and count.

    Raises:
        CredentialFault: of the kind asked for.
    """
    if len(content) > bytes_max:
        raise fault(f"{what} has {len(content)} bytes, at most {bytes_max} are read")
    try:
        value = parse(content)
    except NotIJson as error:
        raise fault(f"{what} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise fault(f"{what} is not a JSON object")
    check_size(value, what, fault)
    return value


def check_size(
    value: JsonValue, what: str, fault: type[CredentialFault], count_max: int = VALUES_MAX
) -> None:
    """Refuse what is too deep or has too many values.

    Raises:
        CredentialFault: of the kind asked for.
    """
    left: list[tuple[JsonValue, int]] = [(value, 1)]
    count = 0
    while left:
        item, depth = left.pop()
        count += 1
        if count > count_max:
            raise fault(f"{what} has more than {count_max} values")
        if isinstance(item, dict | list):
            if depth > DEPTH_MAX:
                raise fault(f"{what} is more than {DEPTH_MAX} levels deep")
            left.extend((inner, depth + 1) for inner in (item.values() if isinstance(item, dict) else item))


def text(form: Mapping[str, JsonValue], name: str, fault: type[CredentialFault]) -> str:
    """A string that must be there, not empty.

    Raises:
        CredentialFault: of the kind asked for.
    """
    value = form.get(name)
    if not isinstance(value, str) or not value:
        raise fault(f"{name}: a string is expected")
    return value


def optional_text(form: Mapping[str, JsonValue], name: str, fault: type[CredentialFault]) -> str | None:
    """A string, None where the member is absent.

    Raises:
        CredentialFault: of the kind asked for.
    """
    return text(form, name, fault) if name in form else None


def texts(value: JsonValue, name: str, fault: type[CredentialFault], count_max: int = 64) -> list[str]:
    """One string or a list of strings, as a list.

    Raises:
        CredentialFault: of the kind asked for.
    """
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or len(found) > count_max:
        raise fault(f"{name}: a string or a list of at most {count_max} strings is expected")
    strings = [item for item in found if isinstance(item, str) and item]
    if len(strings) != len(found):
        raise fault(f"{name}: every item is a string")
    return strings


def objects(value: JsonValue, name: str, fault: type[CredentialFault], count_max: int) -> list[JsonObject]:
    """One object or a list of objects, as a list.

    Raises:
        CredentialFault: of the kind asked for.
    """
    found = [value] if isinstance(value, dict) else value
    if not isinstance(found, list) or len(found) > count_max:
        raise fault(f"{name}: an object or a list of at most {count_max} objects is expected")
    forms = [item for item in found if isinstance(item, dict)]
    if len(forms) != len(found):
        raise fault(f"{name}: every item is an object")
    return forms
