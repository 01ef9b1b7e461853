"""REST, server-sent events and the page."""
