"""What a loss of power would leave of the files a test writes: what was synced, and nothing else."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest


class Power:
    """Watches every fsync and fdatasync from now on; the disk is asked all the same."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._contents: dict[int, bytes] = {}
        """Synced bytes by inode."""
        self._names: dict[int, dict[str, int]] = {}
        """Synced entries by the inode of their folder."""
        self.syncs = 0
        """Of files, not of folders."""
        self.on_sync: Callable[[], None] | None = None
        """Called before and after each of both; what it syncs itself is not watched."""
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def watched(file: int) -> None:
            look, self.on_sync = self.on_sync, None
            if look is not None:
                look()
            sync(file)
            status = os.fstat(file)
            if stat.S_ISDIR(status.st_mode):
                with os.scandir(file) as entries:
                    self._names[status.st_ino] = {entry.name: entry.inode() for entry in entries}
            else:
                self.syncs += 1
                self._contents[status.st_ino] = Path(f"/proc/self/fd/{file}").read_bytes()
            if look is not None:
                look()
                self.on_sync = look

        return watched

    def image(self, folder: Path, target: Path) -> Path:
        """Put what would be left of a folder's files into another folder, made anew."""
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for name, inode in self._names.get(folder.stat().st_ino, {}).items():
            (target / name).write_bytes(self._contents.get(inode, b""))
        return target
