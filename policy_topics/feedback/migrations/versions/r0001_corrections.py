"""Corrections."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TABLE = "policy_topics_corrections"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("content_sha256", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("text_sha256", sa.String(64), nullable=False),
        sa.Column("old", sa.JSON, nullable=False),
        sa.Column("new", sa.JSON, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("taxonomy", sa.Integer, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.Text),
        sa.Column("document", sa.Text),
        sa.Column("consent", sa.Boolean, nullable=False),
        sa.UniqueConstraint("id", name=f"{TABLE}_id"),
        sa.CheckConstraint("consent", name=f"{TABLE}_consent"),
    )
    op.create_index(f"{TABLE}_text", TABLE, ["text_sha256"])
    op.create_index(f"{TABLE}_time", TABLE, ["time"])
