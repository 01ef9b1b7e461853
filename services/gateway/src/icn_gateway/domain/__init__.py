"""Pure rules of the door: identifiers, limits, which validator to ask, which events a client has missed."""
