"""Becomes another program, its life tied to its parent's, and not as root where that program refuses root.

Run as a script (`python -I -S launch.py OPTIONS -- PROGRAM …`), so it imports the standard library only.
A script and not ``preexec_fn``: code between fork and exec may deadlock in a process that has threads.

Source: prctl(2), user_namespaces(7).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
OVERFLOW_ID = 65534
"""The kernel's and Debian's id of ``nobody``."""
EXIT_CANNOT_LAUNCH = 126
"""As a shell says that a program was found and could not be run."""


def main() -> None:
    """Parse the options, prepare this process, become the program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--identity", choices=["keep", "namespace", "nobody"], default="keep")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    try:
        if options.identity == "namespace":
            enter_user_namespace()
        elif options.identity == "nobody":
            become_nobody()
        die_with_parent(options.parent, options.death_signal)
        os.execv(options.program[0], options.program)  # noqa: S606 - no shell is wanted here
    except OSError as error:
        sys.stderr.write(f"cannot launch {options.program[0]}: {error}\n")
        raise SystemExit(EXIT_CANNOT_LAUNCH) from None


def enter_user_namespace() -> None:
    """Appear as ``nobody`` to this process while the kernel goes on treating it as the caller.

    Raises:
        OSError: the kernel or a container's profile forbids user namespaces.
    """
    user, group = os.geteuid(), os.getegid()
    _checked(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{OVERFLOW_ID} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{OVERFLOW_ID} {group} 1")


def become_nobody() -> None:
    """Give up root for good.

    Raises:
        OSError: this process may not change its user.
    """
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


def die_with_parent(parent: int, death_signal: int) -> None:
    """Have the kernel send ``death_signal`` when the thread that started this process ends.

    A change of credentials would clear it, so it comes last.
    """
    _checked(
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0), "prctl(PDEATHSIG)"
    )
    if os.getppid() != parent:  # it ended before the line above
        signal.raise_signal(death_signal)
        raise SystemExit(EXIT_CANNOT_LAUNCH)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
