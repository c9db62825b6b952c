"""Who answered an attempt and how it was served, and costs that were computed anew."""
# ruff: noqa: INP001 - as in env.py

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SORTED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns and the table. Older attempts have NULL in the columns: nothing is known of it."""
    for name in ("service_tier", "model_id", "finish_reason"):
        op.add_column("attempts", sa.Column(name, sa.Text))
    op.create_table(
        "repricings",
        sa.Column("request_id", _SORTED, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("price_version", sa.Text, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("cost_nano", sa.BigInteger),
    )
