"""The tables of the SQL stores, the same in SQLite and PostgreSQL.

Money is BIGINT nano-dollars and NULL where it is unknown; moments are BIGINT microseconds since 1970 (UTC), durations
BIGINT microseconds; structures are JSON text. A fleet gives the store a database or a schema of its own
(``?options=-csearch_path%3Drouter``), since the tables have plain names.

A change of a table is a new revision in ``migrations/versions``, and ``HEAD`` here.
"""

from __future__ import annotations

import json
from functools import lru_cache

import sqlalchemy as sa

from router_core.stores.book import Key
from router_core.stores.rows import KINDS

HEAD = "0006"
"""The revision that this code reads and writes."""

VERSION_TABLE = "router_schema_version"

METADATA = sa.MetaData()

# Sorted by bytes in PostgreSQL too: locks are taken in the order in which Python sorts.
_SORTED = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _tokens(*, known: bool) -> list[sa.Column[int]]:
    return [sa.Column(kind, sa.BigInteger, nullable=not known) for kind in KINDS]


REQUESTS = sa.Table(
    "requests",
    METADATA,
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
    *_tokens(known=True),
    sa.Column("estimated", sa.Boolean, nullable=False),
    sa.Column("cost_nano", sa.BigInteger),
    sa.Column("baseline_model", sa.Text),
    sa.Column("baseline_nano", sa.BigInteger),
    sa.Column("predicted_nano", sa.BigInteger),
    sa.Column("prompt", sa.Text),
    sa.Column("answer", sa.Text),
    sa.Index("requests_at", "at_us", "request_id"),
)
"""One row per receipt; the tokens and the cost are those of all attempts."""

ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column("request_id", _SORTED, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("latency_us", sa.BigInteger, nullable=False),
    sa.Column("first_token_us", sa.BigInteger),
    *_tokens(known=False),
    sa.Column("estimated", sa.Boolean),
    sa.Column("cost_nano", sa.BigInteger),
    sa.Column("price_version", sa.Text),
    sa.Column("verdict_accepted", sa.Boolean),
    sa.Column("verdict_code", sa.Text),
    sa.Column("verdict_detail", sa.Text),
    sa.Column("failure", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("service_tier", sa.Text),
    sa.Column("model_id", sa.Text),
    sa.Column("finish_reason", sa.Text),
    sa.Column("role", sa.Text, nullable=False, server_default="answer"),
)
"""One row per attempt; tokens are NULL where nothing is known of them."""

REPRICINGS = sa.Table(
    "repricings",
    METADATA,
    sa.Column("request_id", _SORTED, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("price_version", sa.Text, primary_key=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("cost_nano", sa.BigInteger),
)
"""What attempts cost by other prices than those that they were booked with; ``at_us`` is when that was computed."""

_UNLEARNED = "learned_score IS NULL OR learned_score <> score"

FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("request_id", _SORTED, primary_key=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("comment", sa.Text),
    sa.Column("learned_score", sa.Double),
    sa.Column("learned_number", sa.Double),
    sa.Index(
        "feedback_unlearned", "request_id", sqlite_where=sa.text(_UNLEARNED), postgresql_where=sa.text(_UNLEARNED)
    ),
)
"""What was said of an answer: ``score`` is 0 (useless) to 1 (as good as can be). The last word holds.

``learned_score`` is the score that the strategy memory was taught, or that could teach it nothing; ``learned_number``
which of the model's judgements that was, NULL where it was none."""

UNLEARNED = sa.or_(FEEDBACK.c.learned_score.is_(None), FEEDBACK.c.learned_score != FEEDBACK.c.score)
"""What of ``FEEDBACK`` is still to be learned: what its index finds."""

DECISIONS = sa.Table(
    "decisions",
    METADATA,
    sa.Column("request_id", _SORTED, primary_key=True),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("score", sa.Double),
    sa.Column("confidence", sa.Double),
    sa.Column("ladder", sa.Text, nullable=False),
    sa.Column("fallbacks", sa.Text, nullable=False),
    sa.Column("candidates", sa.Text, nullable=False),
    sa.Column("refusals", sa.Text, nullable=False),
    sa.Column("quality", sa.Text, nullable=False),
    sa.Column("features", sa.Text, nullable=False),
)
"""Where a request went, and why; no row for one that had no decision."""

BUDGETS = sa.Table(
    "budgets",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("definition", sa.Text, nullable=False),
)
"""The definitions of budgets, as JSON."""

COUNTERS = sa.Table(
    "counters",
    METADATA,
    sa.Column("id", _SORTED, primary_key=True),
    sa.Column("budget", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("window", sa.Text, nullable=False),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("pruned", sa.BigInteger, nullable=False),
)
"""What is spent and held of one budget, key, window and unit. ``id`` is the JSON list of these four, exactly as they
are told apart; ``pruned`` is the part of ``spent`` whose reservations are removed."""

RESERVATIONS = sa.Table(
    "reservations",
    METADATA,
    sa.Column("request_id", _SORTED, primary_key=True),
    sa.Column("counter", _SORTED, primary_key=True),
    sa.Column("amount", sa.BigInteger, nullable=False),
    sa.Column("floor", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("expires_us", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("spent", sa.BigInteger),
    sa.Index(
        "reservations_held",
        "expires_us",
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    ),
)
"""What each request holds or held of each counter. ``state`` is "held", "settled" or "reclaimed"; ``spent`` is NULL
while it is held."""

MEMORY = sa.Table(
    "memory",
    METADATA,
    sa.Column("id", _SORTED, primary_key=True),
    sa.Column("call_site", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    *(sa.Column(name, sa.Double, nullable=False) for name in ("good", "bad", "all_good", "all_bad")),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)
"""What the strategy memory knows of one model at one place. ``id`` is the JSON list of the four columns that follow,
exactly as they are told apart; ``at_us`` is when something was added last."""

MEMORY_STEPS = sa.Table(
    "memory_steps",
    METADATA,
    sa.Column("id", _SORTED, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("call_site", sa.Text, nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("from_model", sa.Text, nullable=False),
    sa.Column("to_model", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
)
"""The moves of the strategy memory. ``id`` is the JSON list of call site and task."""

MEMORY_WRITERS = sa.Table(
    "memory_writers",
    METADATA,
    sa.Column("writer", _SORTED, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
)
"""The last batch that each writer of the strategy memory has brought."""


@lru_cache(maxsize=4096)
def counter_id(key: Key) -> str:
    """The key as the ``id`` of its counter: ASCII, whatever the key holds."""
    return json.dumps(key)


@lru_cache(maxsize=4096)
def counter_key(counter: str) -> Key:
    """The key of the counter with this ``id``."""
    return Key(*json.loads(counter))
