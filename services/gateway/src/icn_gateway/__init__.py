"""The only public door: REST, SSE and the web page."""
