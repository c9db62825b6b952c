"""What the strategy memory has learned of what was said of answers."""
# ruff: noqa: INP001 - as in env.py

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_UNLEARNED = "learned_score IS NULL OR learned_score <> score"


def upgrade() -> None:
    """Add the columns. Older routers taught the memory themselves: what was said to them is not learned once more."""
    for name in ("learned_score", "learned_number"):
        op.add_column("feedback", sa.Column(name, sa.Double))
    op.execute("UPDATE feedback SET learned_score = score")
    where = sa.text(_UNLEARNED)
    op.create_index("feedback_unlearned", "feedback", ["request_id"], sqlite_where=where, postgresql_where=where)
