"""Reads that are one call of a service each: which route asks which call for what."""
