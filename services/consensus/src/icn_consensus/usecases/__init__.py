"""What a validator does around the core: carry out its actions, keep the pool, answer clients, catch up."""
