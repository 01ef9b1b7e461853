"""Runs contracts for the ledger of the same node."""
