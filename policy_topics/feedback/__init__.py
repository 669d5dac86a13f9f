"""Corrections: what people say that a paragraph is about, in SQLite or PostgreSQL until training learns from it."""
