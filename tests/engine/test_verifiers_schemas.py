from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import BaseModel

from router_core.types import OutputSchema, Reply, RequestView, ToolCall, ToolSpec, Turn
from router_core.verifiers import default_verifiers, make_verifier, parse_output

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = ToolSpec("get_weather", parameters=CITY)
SEARCH = ToolSpec("search")


def ask(**fields) -> RequestView:
    return RequestView(turns=(Turn("user", "What is the weather in Lugo?"),), input_bytes=100, **fields)


def calls(*pairs: tuple[str, str]) -> Reply:
    made = tuple(ToolCall(str(i), name, arguments) for i, (name, arguments) in enumerate(pairs))
    return Reply(text="", tool_calls=made, finish_reason="tool_calls")


def objection(reply: Reply, request: RequestView) -> str | None:
    """The reason code of the first default verifier that objects."""
    verdicts = (verifier.check(request, reply) for verifier in default_verifiers())
    return next((verdict.code for verdict in verdicts if not verdict.accepted), None)


@pytest.mark.parametrize(
    ("choice", "called", "code"),
    [
        (None, [], None),
        ("auto", [], None),
        ("any", [], "tools_missing"),
        ("any", ["search"], None),
        ("get_weather", [], "tools_missing"),
        ("get_weather", ["search"], "tools_missing"),
        ("search", ["get_weather", "search"], None),
        ("auto", ["get_wether"], "unknown_tool"),
        ("search", ["search", "delete_all"], "unknown_tool"),
    ],
)
def test_tool_calls_that_were_demanded_and_offered(choice: str | None, called: list[str], code: str | None) -> None:
    request = ask(tools=(WEATHER, SEARCH), tool_choice=choice)
    arguments = {"get_weather": '{"city": "Lugo"}'}
    reply = calls(*((name, arguments.get(name, "{}")) for name in called)) if called else Reply(text="Sunny.")

    assert objection(reply, request) == code


@pytest.mark.parametrize("arguments", ['{"city": "Lugo"}', ' {"city": "A Coruña", "days": 3}\n'])
def test_tool_arguments_that_fit(arguments: str) -> None:
    assert objection(calls(("get_weather", arguments)), ask(tools=(WEATHER,))) is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('{"city": "Lugo"', "not JSON"),
        ("city=Lugo", "not JSON"),
        ("", "'city' is a required property"),
        ("null", "not a JSON object"),
        ('["Lugo"]', "not a JSON object"),
        ('{"city": NaN}', "NaN"),
        ('{"city": 7}', "$.city"),
        ('{"city": "Lugo", "days": 0}', "$.days"),
        ('{"city": "Lugo", "when": "now"}', "'when'"),
        ("[" * 100_000, "too deeply"),
        ('{"days": ' + "9" * 5000 + "}", "not JSON"),
    ],
)
def test_tool_arguments_that_do_not_fit(arguments: str, told: str) -> None:
    verdict = make_verifier("tool_arguments", {}).check(ask(tools=(WEATHER,)), calls(("get_weather", arguments)))

    assert verdict.code == "tool_arguments"
    assert told in verdict.detail
    assert "get_weather" in verdict.detail
    assert len(verdict.detail) < 400


def test_a_tool_without_parameters_may_be_called_with_nothing() -> None:
    for arguments in ("", " ", "{}"):
        assert objection(calls(("search", arguments)), ask(tools=(SEARCH,))) is None


CYCLE: dict[str, object] = {"type": "object"}
CYCLE["not"] = CYCLE
BROKEN = [
    {"type": "strnig"},
    {"properties": 3},
    {"$ref": "#/nowhere"},
    {"$ref": "http://127.0.0.1:9/schema.json"},
    {"$ref": "#"},
    {"properties": {"city": {"pattern": "("}}},
    {"properties": {"city": {"pattern": r"\p{L}"}}},
    {"$schema": 5},
    {"default": object()},
    CYCLE,
]


@pytest.mark.parametrize("schema", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_schema_is_not_held_against_the_answer(schema: dict[str, object]) -> None:
    request = ask(tools=(ToolSpec("get_weather", parameters=schema),), output_schema=OutputSchema("x", schema))

    assert objection(calls(("get_weather", '{"city": "Lugo"}')), request) is None
    assert objection(calls(("get_weather", "{")), request) == "tool_arguments"
    assert objection(Reply(text='{"city": "Lugo"}'), request) is None


def test_a_schema_that_was_changed_in_place_counts_as_it_is_now() -> None:
    schema = {"type": "object", "required": ["city"]}
    request = ask(tools=(ToolSpec("f", parameters=schema),))

    assert objection(calls(("f", "{}")), request) == "tool_arguments"
    schema["required"] = []
    assert objection(calls(("f", "{}")), request) is None


def test_threads_with_more_schemas_than_are_kept() -> None:
    def fits(n: int) -> tuple[str | None, str | None]:
        tool = ToolSpec("f", parameters={"properties": {"n": {"const": n}}})
        request = ask(tools=(tool,))
        return objection(calls(("f", f'{{"n": {n}}}')), request), objection(calls(("f", '{"n": -1}')), request)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fits, [*range(300), *range(300)])) == {(None, "tool_arguments")}


class Trip(BaseModel):
    city: str
    days: int = 1


TRIP = OutputSchema("Trip", Trip.model_json_schema(), build=Trip.model_validate)


def test_output_that_fits_becomes_the_users_own_type() -> None:
    assert objection(Reply(text=' {"city": "Lugo"} '), ask(output_schema=TRIP)) is None
    assert parse_output(TRIP, '{"city": "Lugo"}') == Trip(city="Lugo")
    assert parse_output(OutputSchema("City", CITY), '{"city": "Lugo"}') == {"city": "Lugo"}


@pytest.mark.parametrize(
    "text",
    ["Lugo", "", "null", "[]", '{"city": 7}', '{"city": "Lugo"', '```json\n{"city": "Lugo"}\n```', '{"days": 1e999}'],
)
def test_output_that_does_not_fit(text: str) -> None:
    verdict = make_verifier("schema", {}).check(ask(output_schema=TRIP), Reply(text=text, finish_reason="stop"))

    assert verdict.code == "schema"
    assert "'Trip'" in verdict.detail
    with pytest.raises(ValueError, match=r"."):
        parse_output(TRIP, text)


def test_no_value_and_a_failed_build_count_as_failure() -> None:
    def refuse(value: object) -> object:
        raise ValueError(f"{value} is out of range")

    for schema in (
        OutputSchema("nullable", {"type": ["integer", "null"]}),
        OutputSchema("built", {}, build=lambda _: None),
        OutputSchema("refused", {}, build=refuse),
    ):
        assert (
            objection(Reply(text="null" if schema.name == "nullable" else "7"), ask(output_schema=schema)) == "schema"
        )


def test_tool_calls_come_before_the_output() -> None:
    assert objection(calls(("search", "")), ask(tools=(SEARCH,), output_schema=TRIP)) is None
