"""Real Postgres servers, NATS and the services on one machine."""
