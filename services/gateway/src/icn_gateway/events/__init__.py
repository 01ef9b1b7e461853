"""Committed events from the bus to the clients that follow them."""
