"""Becomes another program, its life tied to its parent's, and not as root where that program refuses root.

Run as a script (`python -I -S launch.py OPTIONS -- PROGRAM …`), so it imports the standard library only.
A script and not ``preexec_fn``: code between fork and exec may deadlock in a process that has threads.

Source: prctl(2), user_namespaces(7), landlock(7).
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
PR_SET_NO_NEW_PRIVS = 38
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
"""System calls, the same number on every architecture."""
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
RIGHTS_SINCE = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""What can be done to files, by the version of Landlock that first governs it: everything, moving between
folders, truncating, ioctl of devices."""
RIGHTS_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""Those that a file has: executing, writing, reading, truncating, ioctl."""
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
    parser.add_argument("--hide", type=Path, action="append", default=[])
    parser.add_argument("--reach", type=Path, action="append", default=[])
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    try:
        if options.hide:
            confine(options.hide, options.reach)
        if options.identity == "namespace":
            enter_user_namespace()
        elif options.identity == "nobody":
            become_nobody()
        die_with_parent(options.parent, options.death_signal)
        # A shell that starts something in the background has it ignore this, and all that it starts in turn.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(options.program[0], options.program)  # noqa: S606 - no shell is wanted here
    except OSError as error:
        sys.stderr.write(f"cannot launch {options.program[0]}: {error}\n")
        raise SystemExit(EXIT_CANNOT_LAUNCH) from None


def confine(hidden: list[Path], reachable: list[Path]) -> bool:
    """Have the kernel refuse this process, and all it starts, every file below ``hidden`` but ``reachable``.

    Landlock has no rule that forbids, only rules that allow: so everything beside the way to ``hidden`` is
    allowed, as it is now. What comes later into a folder on that way stays closed.

    Returns:
        False where the kernel has no Landlock; nothing is hidden then.

    Raises:
        OSError: the kernel refused a rule.
    """
    library = ctypes.CDLL(None, use_errno=True)
    version = library.syscall(LANDLOCK_CREATE_RULESET, None, 0, LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        sys.stderr.write("this kernel has no Landlock: nothing is hidden from this process\n")
        return False
    rights = sum(right for since, right in RIGHTS_SINCE.items() if since <= version)
    attributes = ctypes.c_uint64(rights)
    ruleset = library.syscall(LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), 8, 0)
    if ruleset < 0:
        _checked(ruleset, "landlock_create_ruleset")
    shut = [path.resolve() for path in hidden]
    for path in [*_beside(Path("/"), shut), *reachable]:
        try:
            file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:  # gone since it was listed, as things in the temporary folder go
            continue
        allowed = rights if path.is_dir() else rights & RIGHTS_OF_FILES
        # struct landlock_path_beneath_attr is packed: u64 allowed_access, s32 parent_fd.
        rule = allowed.to_bytes(8, sys.byteorder) + file.to_bytes(4, sys.byteorder)
        _checked(
            library.syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0),
            "landlock_add_rule",
        )
        os.close(file)
    _checked(library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(NO_NEW_PRIVS)")
    _checked(library.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)
    return True


def _beside(folder: Path, shut: list[Path]) -> list[Path]:
    """Everything below ``folder`` that is neither shut nor on the way there, each as high up as possible.

    Links are left out: where they lead is reached by its own name, or it is shut.
    """
    try:
        entries = [folder / entry.name for entry in os.scandir(folder) if not entry.is_symlink()]
    except OSError:  # it can be passed through but not listed, as /home of some hosts, or it is not there
        entries = [path for path in shut for path in [path, *path.parents] if path.parent == folder]
    found: list[Path] = []
    for path in entries:
        if path in shut:
            continue
        is_on_the_way = any(path in each.parents for each in shut)
        found += _beside(path, shut) if is_on_the_way else [path]
    return found


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
