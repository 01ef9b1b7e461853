"""The validator's gRPC doors: for clients and for other validators."""
