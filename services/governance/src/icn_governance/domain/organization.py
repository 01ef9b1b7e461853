"""What an organization says of itself. Source: docs/spec/governance.md; limits in the proto."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from icn_governance.domain.errors import malformed

DISPLAY_NAME_CHARACTERS_MAX: Final = 200
DESCRIPTION_CHARACTERS_MAX: Final = 4_000
CONTACT_CHARACTERS_MAX: Final = 1_000
WEBSITE_CHARACTERS_MAX: Final = 300
_KIND: Final = re.compile(r"[a-z](?:[a-z-]{0,30}[a-z])?")
_WEBSITE: Final = re.compile(r"https://[!-~]+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_IN_TEXT: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Profile:
    """An organization in its own words."""

    organization: bytes
    """Principal or authority, 16 bytes."""
    display_name: str
    kind: str
    """Such as cooperative, federation, working-group."""
    description: str
    contact: str
    website: str


def checked_profile(profile: Profile) -> Profile:
    """The same profile.

    Raises:
        InvalidArgument: a field is out of its limits (FIELD_INVALID).
    """
    if len(profile.organization) != 16:
        raise malformed("organization", "16 bytes are expected")
    name = profile.display_name
    if not 1 <= len(name) <= DISPLAY_NAME_CHARACTERS_MAX or _CONTROL.search(name) or not name.strip():
        raise malformed(
            "display_name", f"1 to {DISPLAY_NAME_CHARACTERS_MAX} characters in one line are expected"
        )
    if not is_kind(profile.kind):
        raise malformed("kind", "1 to 32 characters a to z and hyphens are expected, such as working-group")
    for field, text, characters_max in (
        ("description", profile.description, DESCRIPTION_CHARACTERS_MAX),
        ("contact", profile.contact, CONTACT_CHARACTERS_MAX),
    ):
        if len(text) > characters_max or _CONTROL_IN_TEXT.search(text):
            raise malformed(
                field, f"at most {characters_max} characters without control characters are expected"
            )
    website = profile.website
    if website and (len(website) > WEBSITE_CHARACTERS_MAX or _WEBSITE.fullmatch(website) is None):
        raise malformed(
            "website", f"an https:// address of at most {WEBSITE_CHARACTERS_MAX} characters is expected"
        )
    return profile


def is_kind(text: str) -> bool:
    """Whether the text can be the kind of an organization."""
    return _KIND.fullmatch(text) is not None
