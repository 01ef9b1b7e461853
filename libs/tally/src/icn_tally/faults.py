"""What can be wrong with what a count is given."""

from __future__ import annotations


def printable(text: str) -> str:
    """A name that may come from outside: in quotes where it is empty or has signs that steer a terminal."""
    return text if text and text.isprintable() else repr(text)


class InvalidFile(ValueError):
    """A file of ballots cannot be read."""

    def __init__(self, line: int, fault: str) -> None:
        super().__init__(f"line {line}: {fault}")
        self.line = line
        """Counted from 1."""
        self.fault = fault


class InvalidBallots(ValueError):
    """Ballots break a rule of the model, or a rule of counting cannot count them."""


class InvalidParameter(ValueError):
    """A parameter of a rule is missing, unknown or out of its limits."""

    def __init__(self, name: str, fault: str) -> None:
        super().__init__(f"{printable(name)}: {fault}")
        self.name = name
        self.fault = fault
