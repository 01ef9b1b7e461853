"""The optional accelerator: ``icn_native``, built from ``native/`` by ``make native``.

Everything works without it, with the same results; a test compares both where it is importable.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

INTERFACE: Final = 3
"""Of the functions below; a module built from older or newer sources has another, and is not used."""


class Accelerator(Protocol):
    """What ``icn_native`` offers. Every function gives what the Python one of the same purpose gives."""

    def ed25519_verdicts(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> bytes:
        """One byte per (public key, message, signature): 0 invalid, 1 cofactored only, 2 valid (ZIP-215)."""

    def ed25519_verify_batch(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> bytes:
        """One byte per item: 1 valid by ZIP-215, 0 not."""

    def merkle_log_root(self, leaves: Sequence[bytes]) -> bytes:
        """As ``merkle_log.root_of``."""

    def state_tree_changes(
        self, head: bytes, leaves: Sequence[tuple[int, bytes, bytes | None]]
    ) -> dict[bytes, bytes | None]:
        """As ``state_tree.changes_of``; ``head`` is that of the preimage of keys."""

    def state_tree_update(
        self, get: Callable[[bytes], bytes | None], changes: dict[bytes, bytes | None]
    ) -> tuple[bytes | None, dict[bytes, bytes | None]]:
        """Root (None: as before) and changed pages by prefix (None: goes), as ``StateTree.update``."""


def load() -> Accelerator | None:
    """The accelerator, None where it is not built or was built from other sources."""
    try:
        import icn_native  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        return None
    found = getattr(icn_native, "INTERFACE", 1)
    if found != INTERFACE:
        warnings.warn(
            f"icn_native has interface {found}, not {INTERFACE}, so it is not used: run `make native`",
            stacklevel=2,
        )
        return None
    return cast(Accelerator, icn_native)


accelerator: Accelerator | None = load()
