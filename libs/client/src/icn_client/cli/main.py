"""Puts the command together and turns what went wrong into an exit code."""

from __future__ import annotations

import errno
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from icn_client.cli import (
    account_statements,
    accounts,
    audits,
    ballots,
    clusters,
    connecting,
    contract_calls,
    contracts,
    credit_simulation,
    diagnosing,
    evidence,
    exchanges,
    federations,
    files,
    identities,
    imports,
    keys,
    marketplace,
    members,
    memos,
    orders,
    organizations,
    payments,
    platform,
    proofs,
    proposals,
    protocol,
    recovery,
    reputation,
    sessions,
    simulation,
    stewards,
    units,
    validator_joining,
    validators,
    votes,
)
from icn_client.cli.output import (
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    CommandError,
    print_text,
    say,
    silence_stdout,
)

EXAMPLES = """\b
Examples:
  icn up                                        the platform on this machine, until Ctrl-C
  icn status                                    validators, heights, roots
  icn pay ACCOUNT 12.50 --as anna               a signed transfer
  icn proof fetch accounts/ID --out balance.json    a proof of a balance …
  icn proof verify balance.json --genesis genesis.json   … that anybody can check offline
"""

app = typer.Typer(
    name="icn",
    help="The Inter-Cooperative Network: mutual credit among cooperatives, with a proof of every balance.",
    epilog=EXAMPLES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    suggest_commands=False,  # click itself suggests
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
platform.register(app)
keys.register(app)
accounts.register(app)
units.register(app)
payments.register(app)
memos.register(app)
orders.register(app)
exchanges.register(app)
members.register(app)
recovery.register(app)
organizations.register(app)
proposals.register(app)
ballots.register(app)
federations.register(app)
stewards.register(app)
proofs.register(app)
audits.register(app)
credit_simulation.register(app)
account_statements.register(app)
imports.register(app)
files.register(app)
identities.register(app)
marketplace.register(app)
reputation.register(app)
connecting.register(app)
simulation.register(app)
evidence.register(app)
validators.register(app)
validator_joining.register(app)
protocol.register(app)
clusters.register(app)
diagnosing.register(app)
sessions.register(app)
votes.register(app)
contracts.register(app)
contract_calls.register(app)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        print_text(f"icn {version('icn-client')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """The Inter-Cooperative Network: mutual credit among cooperatives, with a proof of every balance."""


def main() -> None:
    """Run the command and exit: 0 done, 1 refused, 2 usage, 3 unreachable."""
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows less, and nothing fails
    try:
        app(prog_name="icn")
    except CommandError as error:
        say(f"icn: {error}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:
        silence_stdout()  # the reader of our output is gone
        raise SystemExit(EXIT_REFUSED) from None
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise  # a socket's, say: not about a file or the output, so it is our bug
        silence_stdout()
        say(f"icn: {error.filename or 'standard output'}: {error.strerror}")
        raise SystemExit(EXIT_REFUSED) from None
    except Exception as error:
        _end_of_call(error)
        raise


def _end_of_call(error: Exception) -> None:
    """Exit for an error that a service answered with; return for anything else, which is our bug."""
    kit_errors = sys.modules.get("icn_kit.errors")
    if kit_errors is None or not isinstance(error, kit_errors.DomainError):
        return
    unreachable = (kit_errors.ErrorKind.UNAVAILABLE, kit_errors.ErrorKind.DEADLINE_EXCEEDED)
    say(f"icn: {error.reason}: {error.message}")
    raise SystemExit(EXIT_UNREACHABLE if error.kind in unreachable else EXIT_REFUSED) from None


if __name__ == "__main__":
    main()
