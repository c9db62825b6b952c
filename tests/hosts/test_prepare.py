"""What is made of what a user gives to a call."""

from __future__ import annotations

from decimal import Decimal

import pydantic
import pytest

from router_core.hosts.chat import prepare
from router_core.hosts.messages import IMAGE_ALLOWANCE, WRAPPING
from router_core.registry import Registry
from router_core.types import Capability, Constraints, Turn

REGISTRY = Registry(Registry.of(["openai:small", "ollama:large"]).models, aliases={"fast": "openai:small"})
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "get_weather", "description": "The weather.", "parameters": PARAMETERS}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "A" * 100_000, "format": "wav"}}
PDF = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + "A" * 100_000}}


def prepared(messages="Hi", defaults=Constraints(), **options):
    return prepare(messages, options, defaults=defaults, registry=REGISTRY)


def view(messages="Hi", **options):
    return prepared(messages, **options)[0]


def payload(messages="Hi", **options):
    return prepared(messages, **options)[1]


def user(content, **more):
    return {"role": "user", "content": content, **more}


# What is made of a request.


def test_a_prompt_is_one_message_of_the_user():
    request, sent = prepared("Hi")
    assert request.turns == (Turn("user", "Hi"),)
    assert request.input_bytes == 2 + WRAPPING
    assert sent.messages == ({"role": "user", "content": "Hi"},)
    assert (sent.tools, sent.tool_choice, sent.response_format, sent.sampling) == ((), None, None, {})


def test_a_conversation_keeps_its_order_and_its_fields():
    messages = [
        {"role": "developer", "content": "Be brief."},
        user([{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}], name="ada"),
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Let me look.",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "a cat"},
    ]
    request, sent = prepared(messages)
    assert request.turns == (
        Turn("system", "Be brief."),
        Turn("user", "What is\nthis?"),
        Turn("assistant", ""),
        Turn("tool", "a cat"),
    )
    assert sent.messages == ({"role": "system", "content": "Be brief."}, *messages[1:])
    assert request.user_texts == ("What is\nthis?",)


def test_pictures_recordings_and_pdfs_are_seen_but_not_counted_as_text():
    request = view([user([{"type": "text", "text": "Look."}, IMAGE, AUDIO, PDF])])
    assert request.modalities == {Capability.IMAGE, Capability.AUDIO, Capability.PDF}
    assert request.turns == (Turn("user", "Look."),)
    assert request.input_bytes < 100_000
    assert view([user([IMAGE])]).input_bytes == view([user([IMAGE])]).input_bytes == IMAGE_ALLOWANCE + WRAPPING
    assert view([user([IMAGE, IMAGE])]).input_bytes == 2 * IMAGE_ALLOWANCE + WRAPPING


@pytest.mark.parametrize("tool", [TOOL, {"type": "function", "function": TOOL}])
def test_tools_may_be_given_plain_or_wrapped(tool):
    request, sent = prepared(tools=[tool])
    (spec,) = request.tools
    assert (spec.name, spec.description, spec.parameters) == ("get_weather", "The weather.", PARAMETERS)
    assert sent.tools == ({"type": "function", "function": TOOL},)


def test_a_tool_without_parameters_gets_an_empty_schema():
    assert payload(tools=[{"name": "now"}]).tools[0]["function"]["parameters"] == {"type": "object", "properties": {}}


def test_fields_that_only_some_servers_know_are_kept():
    tool = {"type": "function", "function": {**TOOL, "strict": True}, "cache_control": {"type": "ephemeral"}}
    assert payload(tools=[tool]).tools == (tool,)


@pytest.mark.parametrize(
    ("choice", "name", "wire"),
    [
        (None, None, None),
        ("auto", "auto", "auto"),
        ("none", "none", "none"),
        ("any", "any", "required"),
        ("required", "any", "required"),
        ("get_weather", "get_weather", {"type": "function", "function": {"name": "get_weather"}}),
        (
            {"type": "function", "function": {"name": "get_weather"}},
            "get_weather",
            {"type": "function", "function": {"name": "get_weather"}},
        ),
    ],
)
def test_a_tool_choice_is_said_in_the_routers_words_and_in_openais(choice, name, wire):
    request, sent = prepared(tools=[TOOL], tool_choice=choice)
    assert (request.tool_choice, sent.tool_choice) == (name, wire)
    assert request.forces_tool is (name not in {None, "auto", "none"})


def test_auto_without_tools_means_nothing():
    assert view(tools=[], tool_choice="auto").tool_choice is None


def test_a_schema_may_be_a_dictionary():
    schema = {"title": "A person!", "type": "object"}
    request, sent = prepared(schema=schema)
    assert (request.output_schema.json_schema, request.output_schema.build) == (schema, None)
    assert sent.response_format == {"type": "json_schema", "json_schema": {"name": "A_person", "schema": schema}}


def test_a_schema_may_be_a_class_that_describes_and_builds_itself():
    class Person(pydantic.BaseModel):
        name: str

    schema = view(schema=Person).output_schema
    assert (schema.name, schema.json_schema["required"]) == ("Person", ["name"])
    assert schema.build({"name": "Ada"}) == Person(name="Ada")
    with pytest.raises(ValueError, match="name"):
        schema.build({})


def test_sampling_goes_to_the_host_and_max_tokens_to_the_rules_too():
    sampling = {"max_tokens": 5, "temperature": 0, "top_p": 1, "stop": "\n", "seed": -1, "extra": {"n": 2}}
    request, sent = prepared(**sampling)
    assert sent.sampling == sampling
    assert request.max_tokens == 5


def test_labels_are_kept():
    request = view(tags=["a", "b", "a"], session="s", call_site="graph.node", stream_mode="commit")
    assert (request.tags, request.session, request.call_site) == ({"a", "b"}, "s", "graph.node")


# Constraints.


@pytest.mark.parametrize("amount", [0.1, "0.1", Decimal("0.1")])
def test_an_amount_of_dollars_is_exact(amount):
    assert view(max_cost_usd=amount).constraints.max_cost_usd == Decimal("0.1")


def test_names_of_models_may_be_aliases():
    constraints = view(force_model="fast", allow=["fast", "ollama:large"], deny=["fast"]).constraints
    assert constraints.force_model == "openai:small"
    assert constraints.allow == {"openai:small", "ollama:large"}
    assert constraints.deny == {"openai:small"}


def test_options_replace_defaults_field_by_field():
    defaults = Constraints(max_cost_usd=Decimal(1), min_quality=0.5, require_tags=frozenset({"eu"}), max_attempts=3)
    request, _ = prepared(defaults=defaults, min_quality=0.9, max_latency_s=2, max_attempts=None)
    assert request.constraints == Constraints(
        max_cost_usd=Decimal(1), min_quality=0.9, max_latency_s=2, require_tags=frozenset({"eu"}), max_attempts=3
    )
    assert view("Hi").constraints == Constraints()


def test_local_only_asks_for_the_tag_of_local_models():
    defaults = Constraints(require_tags=frozenset({"eu"}))
    assert prepared(defaults=defaults, local_only=True)[0].constraints.require_tags == {"eu", "local"}
    assert prepared(local_only=True, require_tags=["fast"])[0].constraints.require_tags == {"fast", "local"}
    assert prepared(defaults=defaults, local_only=False)[0].constraints.require_tags == {"eu"}
