"""What an attempt was made for, and what was said of answers."""
# ruff: noqa: INP001 - as in env.py

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_SORTED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column and the table. Older routers made every attempt for an answer."""
    op.add_column("attempts", sa.Column("role", sa.Text, nullable=False, server_default="answer"))
    op.create_table(
        "feedback",
        sa.Column("request_id", _SORTED, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("comment", sa.Text),
    )
