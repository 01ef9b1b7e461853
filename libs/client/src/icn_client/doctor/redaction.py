"""Takes out of text and objects what opens something, before they leave a machine.

It goes by what secrets look like, for nobody here knows which there are. Too much may go with them.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

REDACTED: Final = "[redacted]"
TOKEN_CHARACTERS_MIN: Final = 20
"""Of what `secrets.token_urlsafe` makes of 15 bytes; whoever chooses fewer chooses a word."""

_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_IN_ADDRESS: Final = re.compile(r"(?<=://)([^\s/@:'\"]*):[^\s@]+@")
"""Name and password before the host of any address."""
_SECRETIVE: Final = (
    r"(?:pass(?:word|phrase|wd)?|secret|token|private[_-]?key|api[_-]?key|seed|sk|credentials?|authorization|cookie|"
    r"sealing(?:[_.-]key)?|ed25519|ml[_-]dsa[_-]\d+)"
)
_NAMED: Final = re.compile(
    # name, quote, separator, then a quoted value or one word; what only points to a secret is kept
    rf"(?i)([\w.-]*{_SECRETIVE}(?:\b|_)[\w.-]*[\"'\\]*\s*[:=]\s*)"
    r"(\\?\"(?:[^\"\\]|\\[^\"])*\\?\"|'[^']*'|(?:bearer|basic)\s+[^\s\"',}]+|[^\s\"',;{}\[\]\\]+)"
)
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_TOKEN: Final = re.compile(
    rf"(?<![\w.+/=-])[\w+/=-]{{{TOKEN_CHARACTERS_MIN},}}(?:\.[\w+/=-]{{16,}})*(?![\w+/-])"
)
_IS_SECRET_NAME: Final = re.compile(rf"(?i)(?:^|[^a-z]){_SECRETIVE}(?:$|[^a-z])")
_POINTERS: Final = frozenset(
    ("name", "key", "secretName", "secretKeyRef", "optional", "secret", "tokenExpirationSeconds")
)
_DROPPED: Final = frozenset(("managedFields", "kubectl.kubernetes.io/last-applied-configuration"))


def redact(text: str) -> str:
    """The text without private keys, passwords in addresses, values whose name says secret, and long random
    words."""
    text = _PRIVATE_KEY.sub(REDACTED, text)
    text = _IN_ADDRESS.sub(rf"\1:{REDACTED}@", text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    text = _NAMED.sub(_without_value, text)
    return _TOKEN.sub(lambda found: REDACTED if _is_random(found[0]) else found[0], text)


def redact_object(value: Any, name: str = "") -> Any:
    """An object of Kubernetes, or anything of JSON, without the same; the data of Secrets goes as a whole."""
    if isinstance(value, dict):
        if value.get("kind") == "Secret":
            return {
                **redact_object({k: v for k, v in value.items() if k not in ("data", "stringData", "kind")}),
                "kind": "Secret",
            }
        if "name" in value and "value" in value and _IS_SECRET_NAME.search(str(value["name"])):
            return {**value, "value": REDACTED}  # of an environment
        return {key: redact_object(one, key) for key, one in value.items() if key not in _DROPPED}
    if isinstance(value, list):
        # What follows a flag such as --token is its value.
        flags = ["", *(one if isinstance(one, str) and one.startswith("-") else "" for one in value)]
        return [redact_object(one, flag or name) for one, flag in zip(value, flags, strict=False)]
    if isinstance(value, str):
        is_named = name not in _POINTERS and _IS_SECRET_NAME.search(name)
        return REDACTED if is_named and value else redact(value)
    return value


def redacted_json(value: Any) -> bytes:
    """For a file of the bundle."""
    return json.dumps(redact_object(value), indent=1, sort_keys=True).encode() + b"\n"


def _without_value(found: re.Match[str]) -> str:
    value = found[2]
    if value.strip("\\\"'").lower() in {"", "null", "none", "true", "false", REDACTED}:
        return found[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{found[1]}{quote}{REDACTED}{quote}"


def _is_random(word: str) -> bool:
    """Capital and small letters and digits mixed, as no name, path or hash of ours is."""
    return any(map(str.isupper, word)) and any(map(str.islower, word)) and any(map(str.isdigit, word))
