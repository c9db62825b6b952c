"""What the strategy memory knows, its steps, and who wrote last."""
# ruff: noqa: INP001 - as in env.py

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_SORTED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "memory",
        sa.Column("id", _SORTED, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("call_site", "task", "model", "kind")),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("good", "bad", "all_good", "all_bad")),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "memory_steps",
        sa.Column("id", _SORTED, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("call_site", "task")),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("from_model", "to_model", "why", "detail", "evidence")),
    )
    op.create_table(
        "memory_writers",
        sa.Column("writer", _SORTED, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
