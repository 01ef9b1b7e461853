"""`python -m icn_client.cli` is `icn`."""

from icn_client.cli.main import main

main()
