"""A line of JSON for each request."""

from __future__ import annotations

import json
import logging

import pytest

from router_core.observers import ReceiptLog
from tests.drive.conftest import Driver
from tests.edges.telemetry import DRIVERS, FULL, Telemetry


@pytest.mark.parametrize("name", DRIVERS)
async def test_a_request_is_one_line_of_json_without_its_texts(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "router_core.receipts")
    told = Telemetry()
    router = told.router({"weak": "bad", "middle": FULL}, observers=[told.log, ReceiptLog()])

    await Driver(name, told.log).ask(router, "Where is the treasure?", session="s\n7")

    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "\n" not in record.getMessage()
    assert json.loads(record.getMessage()) == told.log.receipts[0].summary()
    assert "treasure" not in record.getMessage()
    assert "good enough" not in record.getMessage()


def test_it_goes_where_it_is_told_to(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "app.audit")
    told = Telemetry()
    loud = ReceiptLog(logging.getLogger("app.audit"), level=logging.DEBUG)
    quiet = ReceiptLog(level=logging.DEBUG)

    told.router({"weak": FULL}, observers=[loud, quiet]).complete("What is it?")

    assert [record.name for record in caplog.records] == ["app.audit"]
