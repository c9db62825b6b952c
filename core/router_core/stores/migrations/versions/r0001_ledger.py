"""The ledger of receipts, and budgets with their reservations."""
# ruff: noqa: INP001 - as in env.py

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_KINDS = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)
_SORTED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    _requests()
    _attempts_and_decisions()
    _budgets()


def _tokens(*, nullable: bool) -> list[sa.Column[int]]:
    return [sa.Column(kind, sa.BigInteger, nullable=nullable) for kind in _KINDS]


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("request_id", _SORTED, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("session", sa.Text),
        sa.Column("call_site", sa.Text),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("latency_us", sa.BigInteger, nullable=False),
        sa.Column("attempt_count", sa.BigInteger, nullable=False),
        sa.Column("escalations", sa.BigInteger, nullable=False),
        sa.Column("fallbacks", sa.BigInteger, nullable=False),
        *_tokens(nullable=False),
        sa.Column("estimated", sa.Boolean, nullable=False),
        sa.Column("cost_nano", sa.BigInteger),
        sa.Column("baseline_model", sa.Text),
        sa.Column("baseline_nano", sa.BigInteger),
        sa.Column("predicted_nano", sa.BigInteger),
        sa.Column("prompt", sa.Text),
        sa.Column("answer", sa.Text),
    )
    op.create_index("requests_at", "requests", ["at_us", "request_id"])


def _attempts_and_decisions() -> None:
    op.create_table(
        "attempts",
        sa.Column("request_id", _SORTED, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("latency_us", sa.BigInteger, nullable=False),
        sa.Column("first_token_us", sa.BigInteger),
        *_tokens(nullable=True),
        sa.Column("estimated", sa.Boolean),
        sa.Column("cost_nano", sa.BigInteger),
        sa.Column("price_version", sa.Text),
        sa.Column("verdict_accepted", sa.Boolean),
        sa.Column("verdict_code", sa.Text),
        sa.Column("verdict_detail", sa.Text),
        sa.Column("failure", sa.Text),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "decisions",
        sa.Column("request_id", _SORTED, primary_key=True),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("confidence", sa.Double),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("ladder", "fallbacks", "candidates", "refusals")),
        sa.Column("quality", sa.Text, nullable=False),
        sa.Column("features", sa.Text, nullable=False),
    )


def _budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("definition", sa.Text, nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("id", _SORTED, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("budget", "key", "window", "unit")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("spent", "held", "pruned")),
    )
    op.create_table(
        "reservations",
        sa.Column("request_id", _SORTED, primary_key=True),
        sa.Column("counter", _SORTED, primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("spent", sa.BigInteger),
    )
    op.create_index(
        "reservations_held",
        "reservations",
        ["expires_us"],
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
