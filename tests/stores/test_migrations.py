"""Tables: made once, brought up from every older revision, left alone if they are newer."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest

from router_core.errors import StoreError
from router_core.records import Feedback
from router_core.stores import Repricing, open_store
from tests.stores import hammer
from tests.stores.samples import full_entry
from tests.stores.test_receipts import FULL

pytest.importorskip("alembic", reason="not installed; run: uv sync")

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from router_core.stores.engines import make_engine, parse
from router_core.stores.failures import Place
from router_core.stores.schema import HEAD, METADATA, VERSION_TABLE
from router_core.stores.upgrade import MIGRATIONS

VERSION = "SELECT version_num FROM router_schema_version"


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    return made


REVISIONS = [script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()]


def engine_of(url: str) -> object:
    parsed = parse(url)
    return make_engine(parsed, Place(parsed))


def differences(url: str) -> list[object]:
    """What the tables have that the code does not know, or lack."""
    engine = engine_of(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        found = compare_metadata(context, METADATA)
    engine.dispose()
    return found


def execute(url: str, statement: str) -> list[object]:
    engine = engine_of(url)
    try:
        with engine.begin() as connection:
            result = connection.exec_driver_sql(statement)
            return list(result.scalars()) if result.returns_rows else []
    finally:
        engine.dispose()


def test_a_new_database_gets_the_tables_that_the_code_knows(new_url: str) -> None:
    store = open_store(new_url)
    store.record(full_entry())
    assert list(store.entries()) == [FULL]
    store.close()

    assert differences(new_url) == []
    assert execute(new_url, VERSION) == [HEAD]


def test_the_newest_revision_is_the_one_that_the_code_knows() -> None:
    assert ScriptDirectory.from_config(config()).get_heads() == [HEAD]


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_revision_is_brought_up(new_url: str, revision: str) -> None:
    engine = engine_of(new_url)
    with engine.connect() as connection, connection.begin():
        old = config()
        old.attributes["connection"] = connection
        command.upgrade(old, revision)
    engine.dispose()

    store = open_store(new_url)
    store.record(full_entry())
    assert list(store.entries()) == [FULL]
    assert store.verify() == []
    store.close()
    assert differences(new_url) == []


def test_what_an_old_router_wrote_is_kept_and_what_it_did_not_know_is_unknown(new_url: str) -> None:
    engine = engine_of(new_url)
    with engine.connect() as connection, connection.begin():
        old = config()
        old.attributes["connection"] = connection
        command.upgrade(old, "0001")
    engine.dispose()
    for table, row in {"requests": FULL, "attempts": FULL["attempts"][0], "decisions": FULL["decision"]}.items():
        columns = [name for name in columns_of(new_url, table) if name in row]
        values = ", ".join(literal(row[name]) for name in columns)
        execute(new_url, f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})")  # noqa: S608 - ours

    store = open_store(new_url)
    [row] = store.entries()
    store.save_repricings([Repricing(FULL["request_id"], 1, "list", 9.0, 4)])
    store.close()

    unknown = dict.fromkeys(("service_tier", "model_id", "finish_reason"))
    short = {"cache_write_1h_tokens": 0}
    assert row == {**FULL, **short, "attempts": [{**FULL["attempts"][0], **short, **unknown}]}
    assert execute(new_url, "SELECT cost_nano FROM repricings") == [4]


def test_feedback_that_an_old_router_has_learned_from_teaches_nothing_again(new_url: str) -> None:
    engine = engine_of(new_url)
    with engine.connect() as connection, connection.begin():
        old = config()
        old.attributes["connection"] = connection
        command.upgrade(old, "0005")
    engine.dispose()
    features = {"call_site": "faq", "task": "question"}
    decision = {**FULL["decision"], "reason": "remembered", "features": features}
    said = {"request_id": FULL["request_id"], "at_us": 1, "score": 0.5}
    for table, row in {"requests": FULL, "decisions": decision, "feedback": said}.items():
        columns = [name for name in columns_of(new_url, table) if name in row]
        values = ", ".join(literal(row[name]) for name in columns)
        execute(new_url, f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})")  # noqa: S608 - ours

    store = open_store(new_url)
    assert store.learn_feedback(100.0, 9.0) == ()
    store.save_feedback(Feedback(FULL["request_id"], 1.0, None, 9.0))
    assert store.learn_feedback(100.0, 9.0) == ((("faq", "question"), ""),)
    store.close()


def columns_of(url: str, table: str) -> list[str]:
    engine = engine_of(url)
    names = [column["name"] for column in inspect(engine).get_columns(table)]
    engine.dispose()
    return names


def literal(value: object) -> str:
    """The value as SQL has it; structures are JSON."""
    if value is None or isinstance(value, bool | int | float):
        return "NULL" if value is None else str(value).upper()
    text = value if isinstance(value, str) else json.dumps(value)
    return "'" + text.replace("'", "''") + "'"


def test_tables_of_a_newer_router_are_refused_and_left_alone(url: str) -> None:
    execute(url, "UPDATE router_schema_version SET version_num = '9999'")
    try:
        with pytest.raises(
            StoreError, match=f"revision 9999, this router-core knows up to {HEAD}: a newer one"
        ) as caught:
            open_store(url)

        assert caught.value.remedy == "upgrade router-core, or give another database"
        assert execute(url, VERSION) == ["9999"]
    finally:
        execute(url, f"UPDATE router_schema_version SET version_num = '{HEAD}'")  # noqa: S608 - a constant of ours


def test_a_migration_that_fails_leaves_nothing(new_url: str) -> None:
    """The last but one of its tables is there already, and somebody else's."""
    execute(new_url, "CREATE TABLE counters (name TEXT)")

    with pytest.raises(StoreError, match="a table of that name is there already") as caught:
        open_store(new_url)

    assert "of its own" in caught.value.remedy
    with pytest.raises(Exception, match="requests"):
        execute(new_url, "SELECT count(*) FROM requests")
    execute(new_url, "DROP TABLE counters")
    open_store(new_url).close()


def test_processes_that_open_a_new_database_at_once_make_its_tables_once(new_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=context) as pool:
        opened = list(pool.map(hammer.opening, [new_url] * 8))

    assert len(set(opened)) == 1
    assert execute(new_url, VERSION) == [HEAD]
    assert differences(new_url) == []


def test_alembic_is_loaded_only_where_tables_are_made(url: str) -> None:
    script = (
        "import sys; from router_core.stores import open_store; open_store(sys.argv[1]).close(); "
        "print('alembic' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script, url], check=True, capture_output=True, text=True)
    assert run.stdout == "False\n"
