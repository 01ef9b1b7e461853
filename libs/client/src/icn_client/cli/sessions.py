"""`icn sign-in`: see what is one's own in a browser, with a code that the own key has earned."""

from __future__ import annotations

from typing import Annotated

import typer

from icn_client.cli.common import (
    AsOption,
    DataOption,
    JsonOption,
    KeystoreOption,
    load_network,
    open_identity,
    platform_directory,
)
from icn_client.cli.output import Refused, Unreachable, UsageError, print_json, print_text

_EXAMPLES = """\b
Examples:
  icn sign-in --as anna                         a link and a code for the phone's browser, good once
  icn sign-in --as anna --gateway https://icn.example
  icn sign-in --as anna --token --json          a token for a program that reads
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sign-in", epilog=_EXAMPLES)(sign_in)


def sign_in(  # noqa: PLR0917 - one parameter per option
    acting: AsOption,
    gateway: Annotated[
        str | None,
        typer.Option(
            "--gateway",
            metavar="URL",
            help="Gateway to sign in at; by default the platform's. Its address is part of what is signed.",
        ),
    ] = None,
    token: Annotated[
        bool, typer.Option("--token", help="A token for a program instead of a code for a browser.")
    ] = False,
    keystore: KeystoreOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign in at the gateway: a session reads what is yours and can do nothing. The key stays here."""
    from icn_client.sign_in import GatewayUnreachable, SignInRefused
    from icn_client.sign_in import sign_in as sign

    directory = platform_directory(data)
    network = load_network(directory)
    identity = open_identity(acting, keystore, directory)
    keys = identity.keys[: identity.threshold]
    try:
        answer = sign(
            gateway or network.gateway_url,
            network.genesis.hash,
            identity.principal,
            keys,
            "program" if token else "page",
        )
    except ValueError as error:
        raise UsageError(f"--gateway: {error}") from None
    except SignInRefused as error:
        raise Refused(f"{error.reason}: {error}", error.reason) from None
    except GatewayUnreachable as error:
        raise Unreachable(str(error), "GATEWAY_UNREACHABLE") from None
    if as_json:
        print_json(answer)
    elif token:
        print_text(str(answer["token"]))
    else:
        print_text(f"code  {answer['code']}")
        print_text(f"link  {answer['link']}")
        print_text("Good once, within five minutes: open the link, or type the code at /sign-in.")
