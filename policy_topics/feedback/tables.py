"""The one table, as it is now; `migrations/` says how it came to be."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()
_NAME = "policy_topics_corrections"
VERSION_TABLE = "policy_topics_version"
"""Which migrations are done. Its name, too, leaves room for the tables of others in a PostgreSQL database."""

CORRECTIONS = Table(
    _NAME,
    METADATA,
    Column("number", Integer, primary_key=True),  # in the order of storing
    Column("id", String(36), nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("text_sha256", String(64), nullable=False),
    Column("old", JSON, nullable=False),
    Column("new", JSON, nullable=False),
    Column("model", Text),
    Column("version", Text, nullable=False),
    Column("taxonomy", Integer, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("who", Text),
    Column("document", Text),
    Column("consent", Boolean, nullable=False),
    UniqueConstraint("id", name=f"{_NAME}_id"),
    CheckConstraint("consent", name=f"{_NAME}_consent"),  # the database, too, takes no text without it
    Index(f"{_NAME}_text", "text_sha256"),
    Index(f"{_NAME}_time", "time"),
)
