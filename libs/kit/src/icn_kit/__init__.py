"""What at least three services need: errors, database, events, gRPC, metrics, logs."""
