"""Counts in stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from icn_tally.explanations.words import amount, named
from icn_tally.sheets import Row, Sheet, Standing
from icn_tally.stages import Action, Count, Stage, Tie, written

_DEEDS: Final[dict[Action, str]] = {
    "elect": "elected",
    "transfer": "transferred first",
    "exclude": "excluded",
}


def explain_stages(count: Count, names: Sequence[str]) -> Sheet:
    """One sentence or more for each stage and tie; a column for each stage."""
    stages = count.stages
    columns = [count.written(stage.totals) for stage in stages]
    rows = [
        Row(name, tuple(column[place - 1] for column in columns), _came_of(place, count))
        for place, name in enumerate(names, start=1)
    ]
    rows += [
        Row("non-transferable", tuple(written(stage.non_transferable, count.places) for stage in stages)),
        Row("lost by rounding", tuple(written(stage.lost, count.places) for stage in stages)),
    ]
    header = tuple(_column(number, stage, names) for number, stage in enumerate(stages, start=1))
    return Sheet(tuple(_sentences(count, names)), header, tuple(rows))


def _sentences(count: Count, names: Sequence[str]) -> Iterator[str]:
    invalid = (
        f"; {count.invalid} more name nobody, or several first, and count for nobody" if count.invalid else ""
    )
    is_fixed = count.quota and all(stage.quota is None for stage in count.stages)
    quota = f" The quota is {count.quota}." if is_fixed else ""
    are = "is" if count.valid == 1 else "are"
    yield f"{amount(count.valid, 'ballot')} {are} valid{invalid}.{quota}"
    for number, stage in enumerate(count.stages, start=1):
        yield _stage_told(count, number, stage, names)
        yield from (_tie_told(tie, names) for tie in count.ties if tie.stage == number + 1)
    yield f"Elected: {named(count.winners, names)}."


def _stage_told(count: Count, number: int, stage: Stage, names: Sequence[str]) -> str:
    if stage.action == "elect":
        told = "First preferences are counted."
    else:
        before = count.stages[number - 2]
        had = ", ".join(
            f"{names[one - 1]} had {written(before.totals[one - 1], count.places)}"
            for one in stage.candidates
        )
        deed = "What is above the quota goes on" if stage.action == "transfer" else "Excluded"
        told = f"{deed}: {had}."
    elected = f" Elected: {named(stage.elected, names)}." if stage.elected else ""
    quota = "" if stage.quota is None else f" {written(stage.quota, count.places)} votes elect."
    return f"Stage {number}. {told}{quota}{elected}"


def _tie_told(tie: Tie, names: Sequence[str]) -> str:
    by = (
        f"stage {tie.earlier_stage} decided"
        if tie.earlier_stage is not None
        else f"the lot decided between {named(tie.drawn_among, names)}"
    )
    return f"{named(tie.candidates, names)} were tied; {by}: {names[tie.chosen - 1]} is {_DEEDS[tie.action]}."


def _column(number: int, stage: Stage, names: Sequence[str]) -> str:
    return (
        f"{number}"
        if stage.action == "elect"
        else f"{number}: {stage.action} {named(stage.candidates, names)}"
    )


def _came_of(place: int, count: Count) -> Standing:
    if place in count.winners:
        return "elected"
    is_out = any(stage.action == "exclude" and place in stage.candidates for stage in count.stages)
    return "out" if is_out else ""
