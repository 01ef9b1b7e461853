"""What a voter or a teller must not lose between two commands: an opening, a secret. Readable by its owner.

They are kept beside the keystore, in clear: a ballot's opening is sent to governance at once anyway, and a
teller's secret is nothing but a lot.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from icn_localnet import files

FOLDER: Final = "papers"
FILE_BYTES_MAX: Final = 65_536


class PaperMissing(Exception):
    """There is no such file, or it is damaged; the message says which."""


def paper_path(keystore_folder: Path, kind: str, proposal: bytes, name: str) -> Path:
    """Where an identity's paper on a proposal is. ``kind``: ``ballot`` or ``lot``."""
    return keystore_folder / FOLDER / f"{kind}-{proposal.hex()}-{name}.json"


def write_paper(path: Path, values: dict[str, bytes]) -> None:
    """Keep some bytes, whole or not at all, in the place of what was kept before. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = json.dumps({name: value.hex() for name, value in values.items()}, indent=1)
    files.write_private(path, content.encode() + b"\n", may_replace=True)


def read_paper(path: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """What was kept.

    Raises:
        PaperMissing: nothing, or something else.
    """
    try:
        with path.open("rb") as file:
            document: Any = json.loads(file.read(FILE_BYTES_MAX))
        return {name: bytes.fromhex(document[name]) for name in names}
    except FileNotFoundError:
        raise PaperMissing(f"{path} is not there") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PaperMissing(f"{path} cannot be read: {error}") from None
