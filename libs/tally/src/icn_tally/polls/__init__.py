"""Polls on the ledger: documents, commitments, lots, results and decisions, the same for whoever recounts.

Pure. Source: docs/spec/governance.md.
"""
