"""`icn sim`: the deterministic simulation of consensus."""

from __future__ import annotations

from typing import Annotated

import typer

from icn_client.cli.output import EXIT_REFUSED, Refused, UsageError, print_json, progress, say

SEEDS_DEFAULT = 200
SEED_MAX = 2**63 - 1
VIOLATIONS_SHOWN_MAX = 10
_EXAMPLES = """\b
Examples:
  icn sim
  icn sim --seeds 2000
  icn sim --first-seed 4711 --seeds 1
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sim", epilog=_EXAMPLES)(simulate)


def simulate(
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", help="How many seeds, at most 10,000,000.")
    ] = SEEDS_DEFAULT,
    first_seed: Annotated[
        int, typer.Option("--first-seed", metavar="S", help="The first of them; from 0.")
    ] = 0,
) -> None:
    """Play seeds of chaos against the validators' core: lost messages, crashes, bad disks, seats that lie.

    The last line is JSON: seeds, forks, counts of faults and of states reached. Exit status 1 when a promise
    was broken or too little was reached; what broke it is played again by --first-seed SEED --seeds 1.
    Source: docs/spec/simulator.md.
    """
    from icn_sim.campaign import SEEDS_MAX, WorkerFailed, run

    if not 1 <= seeds <= SEEDS_MAX:
        raise UsageError(f"--seeds: {seeds} is not from 1 to {SEEDS_MAX:,}")
    if not 0 <= first_seed <= SEED_MAX - seeds:
        raise UsageError(f"--first-seed: {first_seed} is not from 0 to {SEED_MAX - seeds}")
    try:
        with progress("seeds", seeds) as shown:
            result = run(first_seed, seeds, shown.update)
    except WorkerFailed as error:
        raise Refused(f"a process of the simulation ended: {error}", "SIMULATION_FAILED") from None
    for seed, message in sorted(result.violations.items())[:VIOLATIONS_SHOWN_MAX]:
        say(f"seed {seed}: {message[:500]}")
        say(f"  play it again: icn sim --first-seed {seed} --seeds 1")
    for name, (reached, minimum) in sorted(result.missed.items()):
        say(f"{name}: {reached}, of {result.seeds} seeds at least {minimum} were to be reached")
    print_json(result.to_dict())
    if not result.is_clean:
        raise typer.Exit(EXIT_REFUSED)
