"""Run by Alembic, on the connection and in the transaction that ``stores/upgrade.py`` has begun.

A revision is a file of ``versions`` that is never changed once it is released. It writes its tables down by itself:
``schema.py`` says how they are now, a revision how they were made.
"""
# ruff: noqa: INP001 - Alembic loads these files by path; a package would be imported by who walks through packages

from __future__ import annotations

from alembic import context

from router_core.stores.schema import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
with context.begin_transaction():
    context.run_migrations()
