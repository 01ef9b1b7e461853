"""What the ledger must reach: `make bench-ledger`. See `__main__`."""
