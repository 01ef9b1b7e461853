"""One module per command or query, named like its RPC."""
