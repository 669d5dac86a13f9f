"""Policy topics over HTTP: a BentoML service around one Starlette app."""
