"""router.yaml: what it may say, and what it becomes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from router_core.config import Config, json_schema, load
from router_core.config.shape import ConstraintsEntry, EndpointEntry, ModelEntry, PriceEntry, SettingsEntry
from router_core.config.starter import Found, starter_text
from router_core.errors import ConfigError
from router_core.events import BudgetReached
from router_core.observers.webhook import Webhook
from router_core.options import Settings
from router_core.registry import Endpoint, model_from_string
from router_core.types import DEFAULT_CAPABILITIES, Capability, Constraints, Model, Price
from router_core.verifiers import default_verifiers

Read = Callable[[str], Config]

FULL = """
version: 1
models:
  - ollama:llama3.2
  - name: openai:gpt-4.1-nano
    quality: 0.72
    price: {input: 0.10, output: 0.40, cache_read: 0.025}
    context_window: 1047576
    max_output_tokens: 32768
    latency_s: 1.2
    capabilities: [tools, tool_choice, structured_output, image]
    tags: [cloud]
  - {name: big, id: Big-70B, endpoint: my-vllm, capabilities: []}
aliases: {fast: openai:gpt-4.1-nano}
endpoints:
  my-vllm: {base_url: http://127.0.0.1:8000/v1, api_key_env: MY_KEY, provider: vllm, timeout_s: 60}
  groq: {timeout_s: 9}
policy: {name: difficulty, medium: 0.2}
verifiers: [empty, {name: regex, must_match: "^[A-Z]"}]
constraints: {max_cost_usd: 0.05, deny: [fast], require_tags: [cloud], local_only: true, max_attempts: 2}
settings: {stream_mode: commit, on_rejected: raise, retries: 0}
"""


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the text of a registry file."""

    def read_text(text: str) -> Config:
        path = tmp_path / "router.yaml"
        path.write_text(text, encoding="utf-8")
        return load(path)

    return read_text


def test_a_full_file_says_everything_about_a_router(read: Read) -> None:
    config = read(FULL)
    local, nano, big = config.registry.models
    assert local == model_from_string("ollama:llama3.2")
    assert nano == Model(
        name="openai:gpt-4.1-nano",
        id="gpt-4.1-nano",
        provider="openai",
        endpoint="openai",
        price=Price(input=Decimal("0.1"), output=Decimal("0.4"), cache_read=Decimal("0.025")),
        quality=0.72,
        context_window=1047576,
        max_output_tokens=32768,
        latency_s=1.2,
        capabilities=DEFAULT_CAPABILITIES | {Capability.IMAGE},
        tags=frozenset({"cloud"}),
    )
    assert (big.id, big.provider, big.endpoint, big.capabilities) == ("Big-70B", "vllm", "my-vllm", frozenset())
    assert config.registry.find("fast") is nano
    assert config.policy.name == "difficulty"
    assert [verifier.name for verifier in config.verifiers] == ["empty", "regex"]
    assert config.constraints == Constraints(
        max_cost_usd=Decimal("0.05"),
        deny=frozenset({"openai:gpt-4.1-nano"}),
        require_tags=frozenset({"cloud", "local"}),
        max_attempts=2,
    )
    assert config.settings == Settings(stream_mode="commit", on_rejected="raise", retries=0)


def test_one_line_is_a_router_with_the_defaults(read: Read) -> None:
    config = read("models: [openai:gpt-4.1]")
    assert config.registry.models == (model_from_string("openai:gpt-4.1"),)
    assert config.policy.name == "difficulty"
    assert [verifier.name for verifier in config.verifiers] == [verifier.name for verifier in default_verifiers()]
    assert (config.constraints, config.settings) == (Constraints(), Settings())


def test_a_section_with_all_its_lines_commented_out_is_absent(read: Read) -> None:
    text = "models: [openai:gpt-4.1]\naliases:\nendpoints:\npolicy:\nverifiers:\nconstraints:\nsettings:\n"
    config = read(text)
    assert config.constraints == Constraints()
    assert config.verifiers


def test_an_empty_list_of_verifiers_is_none_at_all(read: Read) -> None:
    assert read("models: [openai:gpt-4.1]\nverifiers: []").verifiers == ()


@given(st.decimals(min_value=0, max_value=100_000, places=6))
def test_prices_are_what_the_text_says(tmp_path_factory: pytest.TempPathFactory, price: Decimal) -> None:
    path = tmp_path_factory.mktemp("prices") / "router.yaml"
    path.write_text(f"models: [{{name: 'openai:x', price: {{input: {price:f}, output: '{price:f}'}}}}]")
    assert load(path).registry.models[0].price == Price(input=price, output=price)


def test_a_limit_may_be_written_with_an_exponent(read: Read) -> None:
    config = read("models: [openai:x]\nconstraints: {max_cost_usd: 1e-4}")
    assert config.constraints.max_cost_usd == Decimal("0.0001")


def endpoint(config: Config, name: str) -> Endpoint:
    return config.registry.endpoints[name]


def test_an_endpoint_of_a_known_name_replaces_what_it_gives_and_keeps_the_rest(read: Read) -> None:
    text = "models: [openai:x]\nendpoints: {openai: {timeout_s: 5}, groq: {api_key_env: null}}"
    config = read(text)
    assert endpoint(config, "openai").timeout_s == 5
    assert endpoint(config, "openai").base_url == "https://api.openai.com/v1"
    assert endpoint(config, "openai").api_key_env == "OPENAI_API_KEY"
    assert endpoint(config, "groq").api_key_env is None


@pytest.mark.parametrize(
    ("given_endpoint", "local"),
    [
        ("{base_url: http://127.0.0.1:8000/v1}", True),
        ("{base_url: 'http://[::1]:8000/v1'}", True),
        ("{base_url: http://localhost:8000/v1}", True),
        ("{base_url: http://gpu-box:8000/v1}", False),
        ("{base_url: https://127.0.0.1.example.com/v1}", False),
        ("{base_url: http://gpu-box:8000/v1, local: true}", True),
        ("{base_url: http://127.0.0.1:8000/v1, local: false}", False),
    ],
)
@pytest.mark.parametrize("name", ["mine", "ollama"])
def test_a_model_is_free_and_local_where_its_endpoint_is(
    read: Read, name: str, given_endpoint: str, local: object
) -> None:
    model = read(f"models: ['{name}:m']\nendpoints: {{{name}: {given_endpoint}}}").registry.models[0]
    assert ("local" in model.tags) is local
    assert model.price == (Price.free() if local else None)


def test_a_local_model_may_have_a_price_and_keeps_its_tag(read: Read) -> None:
    text = "models: [{name: 'ollama:m', price: {input: 1, output: 2}, tags: [gpu]}]"
    model = read(text).registry.models[0]
    assert model.price == Price(input=Decimal(1), output=Decimal(2))
    assert model.tags == {"local", "gpu"}


def test_the_name_of_a_model_may_be_a_mere_name(read: Read) -> None:
    text = """
models:
  - {name: strong, endpoint: openai}
  - {name: 'a:b', endpoint: openai}
  - {name: 'x:y', endpoint: openai, id: z}
"""
    models = read(text).registry.models
    assert [(m.name, m.endpoint, m.id) for m in models] == [
        ("strong", "openai", "strong"),
        ("a:b", "openai", "b"),
        ("x:y", "openai", "z"),
    ]


def test_a_shared_part_may_be_written_once(read: Read) -> None:
    text = """
models:
  - {name: openai:a, price: &cheap {input: 1, output: 2}}
  - {name: openai:b, price: {<<: *cheap, output: 3}}
"""
    assert read(text).registry.models[1].price == Price(input=Decimal(1), output=Decimal(3))


def test_variables_are_named_and_never_read(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "a-secret-value")
    assert "a-secret-value" not in repr(read(FULL))


# ------------------------------------------------------------------------------------------------------------ schema


def test_the_schema_is_one_and_accepts_what_load_accepts() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for text in (FULL, "models: [openai:x]", starter_text(Found("http://127.0.0.1:11434"))):
        assert validator.is_valid(yaml.safe_load(text))
    json.dumps(schema)


@pytest.mark.parametrize(
    "text",
    [
        "models: []",
        "policy: difficulty",
        "models: [openai:x]\nmodel: y",
        "models: [{id: x}]",
        "models: [{name: openai:x, price: free}]",
        "models: [{name: openai:x, price: {input: -1, output: 0}}]",
        "models: [{name: openai:x, quality: 2}]",
        "models: [{name: openai:x, latency_s: 0}]",
        "models: [{name: openai:x, capabilities: [vision]}]",
        "models: [openai:x]\nconstraints: {max_cost_usd: -1}",
        "models: [openai:x]\nconstraints: {max_attempts: 0}",
        "models: [openai:x]\nendpoints: {m: {base_url: ftp://h}}",
        "models: [openai:x]\nendpoints: {m: {base_url: http://h, api_key_env: abc}}",
        "models: [openai:x]\nsettings: {stream_mode: wild}",
        "models: [openai:x]\nversion: 2",
    ],
)
def test_the_schema_refuses_what_load_refuses(read: Read, text: str) -> None:
    assert not Draft202012Validator(json_schema()).is_valid(yaml.safe_load(text))
    with pytest.raises(ConfigError):
        read(text)


@pytest.mark.parametrize(
    ("entry", "value", "besides"),
    [
        (ConstraintsEntry, Constraints, {"local_only"}),
        (SettingsEntry, Settings, set()),
        (PriceEntry, Price, set()),
        (ModelEntry, Model, set()),
        (EndpointEntry, Endpoint, set()),
    ],
)
def test_the_file_can_say_all_that_the_router_takes(entry: type, value: type, besides: set[str]) -> None:
    implied = {Model: {"provider"}, Endpoint: {"name"}}.get(value, set())
    assert set(entry.model_fields) - besides == {field.name for field in fields(value)} - implied


def test_every_field_is_described() -> None:
    schema = json_schema()
    for shape in (schema, *schema["$defs"].values()):
        for name, field in shape.get("properties", {}).items():
            # pydantic leaves out a text that the referenced mapping says already.
            assert field.get("description") or "$ref" in field, name


def test_a_ledger_and_budgets_are_read(tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(
        f"""
models: [ollama:llama3.2]
ledger: {{store: "sqlite:///{tmp_path}/router.db", store_text: off}}
budgets:
  - {{name: daily, limit_usd: 0.1, per: day, timezone: Europe/Madrid}}
  - {{name: each user, limit_tokens: 1000, scope: "tag:user", on_exceeded: degrade}}
"""
    )
    ledger = load(file).ledger

    assert ledger is not None
    assert [(budget.name, budget.unit, budget.limit) for budget in ledger.budgets] == [
        ("daily", "nano", 100_000_000),
        ("each user", "tokens", 1_000),
    ]


def test_an_auditor_has_a_budget_of_its_own_in_the_ledger_and_its_judge_answers_nobody(read: Read) -> None:
    config = read("""
models: [openai:weak, openai:strong, {name: openai:grader, tags: [judge]}]
policy: strategy
aliases: {referee: openai:grader}
auditor: {model: referee, share: 0.1, compare: true, limit_tokens: 1000}
""")
    assert config.audits is not None
    assert config.ledger is not None
    assert (config.audits.model.name, config.audits.share, config.audits.compare) == ("openai:grader", 0.1, True)
    assert config.ledger.budgets == ()
    [budget] = config.audits.ledger.budgets
    assert config.ledger.given == (budget,)
    assert (budget.name, budget.limit_tokens, budget.per, budget.scope) == ("auditor", 1000, "day", "tag:auditor")


WEBHOOK = """
models: [ollama:llama3.2]
ledger: {store: "memory://", webhook_env: BUDGET_WEBHOOK}
budgets: [{name: daily, limit_tokens: 10, per: day, thresholds: [90]}]
"""


def test_thresholds_are_posted_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(WEBHOOK)
    reached = BudgetReached("r", "daily", "", "2026-11-25", 90, "tokens", limit=10, spent=9, held=0)

    monkeypatch.setenv("BUDGET_WEBHOOK", "https://127.0.0.1:1/s3cret")
    ledger = load(file).ledger
    assert ledger is not None
    assert isinstance(ledger._alert, Webhook)
    assert ledger.budgets[0].thresholds == (90,)

    monkeypatch.setenv("BUDGET_WEBHOOK", "ftp://s3cret")
    with pytest.raises(ConfigError, match="BUDGET_WEBHOOK") as caught:
        load(file)
    assert "s3cret" not in str(caught.value)

    monkeypatch.delenv("BUDGET_WEBHOOK")
    ledger = load(file).ledger
    assert ledger is not None
    assert ledger._alert is not None
    ledger._alert(reached)
    assert "not posted, for the environment variable BUDGET_WEBHOOK is not set" in caplog.text
    assert "has reached 90 %" in caplog.text


def test_a_wrong_budget_is_named_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    file.write_text("models: [ollama:llama3.2]\nbudgets:\n  - {name: daily, limit_usd: 1, scope: users}\n")

    with pytest.raises(ConfigError, match="'users' is no scope"):
        load(file)
