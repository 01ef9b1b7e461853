"""What a process and everything it started use, read from /proc: CPU time and proportional memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a whole process tree."""

    cpu_seconds: float
    """User and system time of the living, and of the dead children they have waited for."""
    pss_bytes: int
    """Proportional set size: shared pages are divided among those who share them."""
    processes: int


def usage(root: int) -> Usage:
    """Add up ``root`` and its descendants. What ends meanwhile or is not ours is left out."""
    cpu_ticks, pss_bytes, processes = 0, 0, 0
    for pid in tree(root):
        try:
            fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(") ")[2].split()
            rollup = (Path("/proc") / str(pid) / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        # proc(5): utime stime cutime cstime are the 12th to 15th fields, counted from state.
        cpu_ticks += sum(int(field) for field in fields[11:15])
        pss_bytes += next(
            int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")
        )
        processes += 1
    return Usage(cpu_ticks / CLOCK_TICKS, pss_bytes, processes)


def tree(root: int) -> list[int]:
    """``root`` and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found
