"""Connections to the other validators and to this validator's application."""
