"""What a validator keeps: its record log on disk, final blocks in Postgres."""
