"""Counts beside other libraries, in time and in results: `make bench-tally`. See `__main__`."""
