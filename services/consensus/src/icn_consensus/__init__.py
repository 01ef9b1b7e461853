"""Orders opaque bytes and makes them final (Simplex)."""
