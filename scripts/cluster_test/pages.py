"""Pages of docs/operating, whose commands are run as they stand there on the release under test."""

from __future__ import annotations

import re
from collections.abc import Iterator

from e2e.pages import run_step, steps_of
from scripts.cluster_test.release import ROOT, Cluster, Failed

STEP_SECONDS_MAX = 1_200.0
NAMESPACE = re.compile(r"\bicn(?=-restored\b)|(?<=-n )icn\b|(?<=namespace )icn\b")
"""Where a page names the release's namespace, or one that is called after it."""


def run_commands(cluster: Cluster, page: str, commands: str, seconds_max: float) -> str:
    """What commands of a page printed, run where ``federation`` and ``deploy`` are. Raises Failed."""
    deploy = cluster.work / "deploy"
    deploy.unlink(missing_ok=True)
    deploy.symlink_to(ROOT / "deploy")
    path = f"{ROOT / '.venv' / 'bin'}:{cluster.environment['PATH']}"
    try:
        return run_step(commands, {**cluster.environment, "PATH": path}, cluster.work, seconds_max)
    except AssertionError as failed:
        raise Failed(f"docs/operating/{page}: {str(failed)[-3000:]}") from None


class Page:
    """One page: its steps in order, each run when it is asked for.

    A page is read in the folder where ``federation`` and ``deploy`` are, by somebody whose ``icn`` acts for
    the founders. Only the namespace differs where the release under test is in another.
    """

    def __init__(self, cluster: Cluster, page: str) -> None:
        self._cluster = cluster
        self._namespace = cluster.namespace
        self._page = page
        self._steps: Iterator[str] = iter(steps_of(f"operating/{page}"))

    def next(self) -> str:
        """The commands of the next step."""
        return NAMESPACE.sub(self._namespace, next(self._steps))

    def run_next(self) -> str:
        """What the next step printed. Raises Failed."""
        return self.run(self.next())

    def run(self, commands: str) -> str:
        """What a step printed. Raises Failed."""
        return run_commands(self._cluster, self._page, commands, STEP_SECONDS_MAX)

    def end(self) -> None:
        """All steps have been run. Raises Failed."""
        if (left := next(self._steps, None)) is not None:
            raise Failed(f"docs/operating/{self._page} goes on: {left[:200]}")
