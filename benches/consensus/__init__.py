"""ICN's consensus and ledger beside CometBFT, in one run: `make bench-consensus`."""
