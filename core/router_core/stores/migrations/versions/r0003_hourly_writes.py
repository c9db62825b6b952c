"""Which of the tokens that were written to a cache are kept there for an hour: that costs more."""
# ruff: noqa: INP001 - as in env.py

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NAME = "cache_write_1h_tokens"


def upgrade() -> None:
    """Add the column to both tables. Older routers took every write for a short one, and booked it so: that is 0."""
    op.add_column("requests", sa.Column(_NAME, sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("attempts", sa.Column(_NAME, sa.BigInteger))
    op.execute(f"UPDATE attempts SET {_NAME} = 0 WHERE cache_write_tokens IS NOT NULL")  # noqa: S608 - ours
