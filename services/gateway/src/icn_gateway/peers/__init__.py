"""The validators, over gRPC."""
