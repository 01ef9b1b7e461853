"""Committees from approval ballots."""
