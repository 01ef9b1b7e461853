"""Executes an archived chain again and names the first thing that is not as it says."""
