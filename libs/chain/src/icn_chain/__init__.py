"""What headers, certificates and validator sets show of a chain. Pure: no I/O."""
