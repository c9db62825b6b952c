"""What is told of a wrong router.yaml: the file, the place, the value and the remedy, and never a key."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from router_core.config import load
from router_core.errors import ConfigError

Refused = Callable[[str], ConfigError]


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """The error that the text of a registry file gets."""

    def refuse(text: str) -> ConfigError:
        path = tmp_path / "router.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}: ")
        return caught.value

    return refuse


AUDITED = "models: [openai:x]\npolicy: strategy\nauditor: {"
WRONG = [
    ("models: []", ["line 1, models:", "empty", "at least one"]),
    ("policy: difficulty", ["models: is missing"]),
    ("", ["an empty value is not a registry", "models:"]),
    ("- openai:x", ["a list is not a registry"]),
    ("openai:x", ["'openai:x' is not a registry"]),
    ("models: [gpt-4]", ["models[0]: 'gpt-4' is not of the form 'endpoint:model'"]),
    ("models: ['opnai:x']", ["models[0]:", "'opnai'", "did you mean 'openai'?"]),
    ("models: [7]", ["models[0]: 7 is neither a text nor a mapping"]),
    ("models: [openai:x, openai:x]", ["models: 'openai:x' is listed 2 times"]),
    ("models: [{id: x}]", ["models[0].name: is missing"]),
    ("models: [{name: openai:x, qualty: 1}]", ["models[0].qualty: unknown field", "did you mean 'quality'?"]),
    ("models: [{name: openai:x, quality: 1.5}]", ["models[0].quality: 1.5 is above 1"]),
    ("models: [{name: openai:x, quality: .nan}]", ["models[0].quality: nan"]),
    ("models: [{name: openai:x, quality: yes}]", ["models[0].quality: true is not a number"]),
    ("models: [{name: openai:x, price: free}]", ["models[0].price: 'free' is not a price", "{input: 0, output: 0}"]),
    ("models: [{name: openai:x, price: 2}]", ["models[0].price: 2 is not a price"]),
    ("models: [{name: openai:x, price: {input: free, output: 1}}]", ["models[0].price.input: 'free' is not a number"]),
    ("models: [{name: openai:x, price: {input: -1, output: 1}}]", ["models[0].price.input: -1 is below 0"]),
    ("models: [{name: openai:x, price: {input: .inf, output: 1}}]", ["models[0].price.input: inf"]),
    ("models: [{name: openai:x, price: {input: 1}}]", ["models[0].price.output: is missing"]),
    ("models: [{name: openai:x, context_window: 128k}]", ["models[0].context_window: '128k' is not a whole number"]),
    ("models: [{name: openai:x, context_window: 0}]", ["models[0].context_window: 0 is below 1"]),
    ("models: [{name: openai:x, latency_s: 0}]", ["models[0].latency_s: 0 is not above 0"]),
    ("models: [{name: openai:x, capabilities: [vision]}]", ["models[0].capabilities[0]: 'vision'", "'image'"]),
    ("models: [{name: openai:x, tags: cloud}]", ["models[0].tags: 'cloud' is not a list"]),
    ("models: [{name: openai:x, id: 4.1}]", ["models[0].id: 4.1 is not text; put it in quotes"]),
    (f"models: [{{name: openai:x, quality: 0x{'f' * 5000}}}]", ["models[0].quality: a huge number"]),
    ("models: [openai:x]\nmodel: y", ["line 2, model: unknown field (did you mean 'models'?)"]),
    ("models: [openai:x]\n3: y", ["line 2", "is a key that is not text"]),
    ("models: [openai:x]\nversion: 2", ["line 2, version: 2 is not 1"]),
    ("models: [openai:x]\naliases: {a: openai:y}", ["aliases.a: 'openai:y' is no model", "did you mean 'openai:x'?"]),
    ("models: [openai:x]\naliases: {'openai:x': openai:x}", ["'openai:x' is already the name of a model"]),
    ("models: [openai:x]\nendpoints: {mine: {timeout_s: 3}}", ["line 2, endpoints.mine:", "base_url is missing"]),
    ("models: [openai:x]\nendpoints: {opena: {timeout_s: 3}}", ["did you mean 'openai'?"]),
    ("models: [openai:x]\nendpoints: {'a:b': {base_url: http://h}}", ["endpoints.a:b: 'a:b' holds a colon"]),
    ("models: [openai:x]\nendpoints: {m: {base_url: ftp://h/v1}}", ["endpoints.m.base_url: 'ftp://h/v1'", "https://"]),
    ("models: [openai:x]\nendpoints: {m: {base_url: h/v1}}", ["endpoints.m.base_url: 'h/v1'"]),
    ("models: [openai:x]\nendpoints: {m: {base_url: 'http://'}}", ["endpoints.m.base_url: 'http://'", "a host"]),
    ("models: [openai:x]\nendpoints: {m: {base_url: 'http://h:99999'}}", ["endpoints.m.base_url", "not a URL"]),
    ("models: [openai:x]\nendpoints: {m: {base_url: 'http://[::1'}}", ["endpoints.m.base_url", "not a URL"]),
    ("models: [openai:x]\nendpoints: {m: {base_url: '${URL}'}}", ["endpoints.m.base_url: '${URL}'"]),
    ("models: [openai:x]\nendpoints: {m: {base_url: http://h, timeout_s: -1}}", ["endpoints.m.timeout_s: -1"]),
    ("models: [openai:x]\npolicy: hardest", ["line 2, policy: 'hardest' is no policy", "difficulty"]),
    ("models: [openai:x]\npolicy: {name: difficulty, treshold: 1}", ["policy:", "treshold"]),
    ("models: [openai:x]\nverifiers: [empty, nonsense]", ["verifiers[1]: 'nonsense'", "empty"]),
    ("models: [openai:x]\nverifiers: [{pattern: x}]", ["verifiers[0].name: is missing"]),
    ("models: [openai:x]\nverifiers: empty", ["verifiers: 'empty' is not a list"]),
    ("models: [openai:x]\nconstraints: {max_cost_usd: -1}", ["constraints.max_cost_usd: -1 is below 0", "no limit"]),
    ("models: [openai:x]\nconstraints: {max_latency_s: 0}", ["constraints.max_latency_s: 0 is not above 0"]),
    ("models: [openai:x]\nconstraints: {min_quality: 80}", ["constraints.min_quality: 80 is above 1"]),
    ("models: [openai:x]\nconstraints: {max_attempts: 0}", ["constraints.max_attempts: 0 is below 1"]),
    ("models: [openai:x]\nconstraints: {allow: []}", ["constraints.allow: is empty"]),
    ("models: [openai:x]\nconstraints: {deny: [openai:y]}", ["line 2, constraints.deny: 'openai:y' is no model"]),
    ("models: [openai:x]\nconstraints: {force_model: y}", ["line 2, constraints.force_model: 'y' is no model"]),
    (
        "models: [openai:x]\nconstraints: {local_only: 'yes'}",
        ["constraints.local_only: 'yes' is neither true nor false"],
    ),
    ("models: [openai:x]\nsettings: {stream_mode: wild}", ["settings.stream_mode: 'wild' is not 'hold'"]),
    ("models: [openai:x]\nsettings: {prefix_tokens: 0}", ["settings.prefix_tokens: 0 is below 1"]),
    (
        "models: [openai:x]\npolicy: strategy\nauditor: {model: openai:y, limit_usd: 1}",
        ["line 3, auditor.model: 'openai:y' is no model of this router", "did you mean 'openai:x'?"],
    ),
    (
        "models: [openai:x]\nauditor: {model: openai:x, limit_usd: 1}",
        ["line 2, auditor: only the policy 'strategy' learns", "this is 'difficulty'", "'policy: strategy'"],
    ),
    (f"{AUDITED}model: openai:x}}", ["line 3, auditor: the audits need a budget", "either limit_usd or limit_tokens"]),
    (f"{AUDITED}model: openai:x, limit_usd: 1, limit_tokens: 9}}", ["auditor: the audits need", "either limit_usd"]),
    (f"{AUDITED}model: openai:x, limit_usd: -1}}", ["auditor.limit_usd: -1 is below 0", "audits may cost"]),
    (f"{AUDITED}model: openai:x, limit_usd: 1, per: call}}", ["auditor.per: 'call' is not 'day', 'week'"]),
    (f"{AUDITED}model: openai:x, limit_usd: 1, share: 0}}", ["auditor.share: 0 is not above 0", "1 at most"]),
    (f"{AUDITED}model: openai:x, limit_usd: 1, share: 5}}", ["auditor.share: 5 is above 1", "share of the requests"]),
    (
        f"{AUDITED}model: openai:x, limit_usd: 1}}\nconstraints: {{local_only: true}}",
        ["line 3, auditor: 'openai:x' may see no request", "'constraints'", "name another model"],
    ),
    (f"{AUDITED}limit_usd: 1}}", ["auditor.model: is missing"]),
    (f"{AUDITED}modle: openai:x, limit_usd: 1}}", ["auditor.modle: unknown field (did you mean 'model'?)"]),
    (
        f"{AUDITED}model: openai:x, limit_usd: 1}}\nbudgets: [{{name: auditor, limit_usd: 5}}]",
        ["line 3, auditor: a budget under 'budgets' is called 'auditor'", "rename that one"],
    ),
    ("models: [openai:x]\nsettings: {retries: -1}", ["settings.retries: -1 is below 0"]),
    ("models: [openai:x", ["line 1, column 18", "correct it there"]),
    ("models:\n\t- openai:x", ["line 2, column 1"]),
    ("models: [openai:x]\nmodels: [openai:y]", ["line 2, column 1: the key 'models' stands twice"]),
    ("models: [{name: openai:x, tags: [a], tags: [b]}]", ["the key 'tags' stands twice"]),
    ("models: [openai:x]\n---\nmodels: [openai:y]", ["line 2", "another document"]),
    ("models: !!python/object/apply:os.system [ls]", ["line 1", "could not determine a constructor"]),
    ("models: [2024-13-45]", ["quotes"]),
    ("models: [openai:x]\n[a]: b", ["line 2", "unhashable key"]),
    ("models: &a [*a]", ["models[0]: a list is neither"]),
    ("models: " + "[" * 5000, ["nested too deeply"]),
]


@pytest.mark.parametrize(("text", "told"), WRONG, ids=[text[:60] for text, _ in WRONG])
def test_a_wrong_file_is_refused_with_the_place_the_value_and_the_remedy(
    refused: Refused, text: str, told: list[str]
) -> None:
    message = str(refused(text))
    for part in told:
        assert part in message
    assert "pydantic" not in message


def test_all_errors_are_told_at_once_in_the_order_of_the_file(refused: Refused) -> None:
    text = """
constraints: {max_cost_usd: -1}
models:
  - openai:x
  - name: openai:y
    price: free
settings:
  retries: many
"""
    lines = str(refused(text)).splitlines()
    assert lines[0].endswith("3 errors")
    assert [line.split(":")[0] for line in lines[1:]] == [
        "  - line 2, constraints.max_cost_usd",
        "  - line 6, models[1].price",
        "  - line 8, settings.retries",
    ]


def test_wrong_models_policies_verifiers_and_endpoints_are_told_at_once(refused: Refused) -> None:
    text = "models: ['opnai:x', 'y']\npolicy: p\nverifiers: [v]\nendpoints: {e: {local: true}}"
    assert "5 errors" in str(refused(text))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"models: ['openai:\xff']", "is not UTF-8"),
        (b"models: ['openai:\x00']", "special characters are not allowed"),
        (b"\xef\xbb\xbfmodels: []", "models: is empty"),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "router.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        load(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(ConfigError, match=f"{path}: cannot be read"):
            load(path)


TYPED = """
models: [ollama:llama3.2, {name: openai:x, price: {input: 0.10, output: 0.40}, tags: [cloud]}]
aliases: {fast: openai:x}
endpoints:
  mine: {base_url: http://127.0.0.1:8000/v1, timeout_s: 60}
policy: {name: difficulty, medium: 0.2}
verifiers: [empty, {name: regex, must_match: "^[A-Z]"}]
"""
SECTIONS = ["aliases", "endpoints", "policy", "verifiers", "constraints", "settings"]
WORDS = """
    version models name id endpoint price input output quality tags base_url api_key_env local allow min_quality model
    force_model stream_mode context_window openai openai:x http://127.0.0.1/v1 difficulty medium static random seed
    callable function regex must_match empty too_short
"""
NAMES = [*re.findall(r"\S+", WORDS), *SECTIONS]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(NAMES) | st.text(max_size=5) | st.dates()
)
ANYTHING = st.recursive(
    SCALARS,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | SCALARS, part, max_size=4),
    max_leaves=12,
)
NEAR = st.fixed_dictionaries(
    {"models": st.lists(st.just("openai:x") | ANYTHING, max_size=2)},
    optional=dict.fromkeys(SECTIONS, ANYTHING),
)


@given(NEAR | ANYTHING)
def test_any_yaml_is_a_configuration_or_a_config_error(tmp_path_factory: pytest.TempPathFactory, data: object) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    try:
        assert load(path).registry.models
    except ConfigError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 - either outcome is right


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")  # Python's, of a pattern mistyped as [[
@given(st.lists(st.tuples(st.integers(0, len(TYPED) - 1), st.sampled_from("{}[]:,-&*!|>%@'\"\t\n #0x")), max_size=4))
def test_a_mistyped_file_is_a_configuration_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, typos: list[tuple[int, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "typos.yaml"
    text = list(TYPED)
    for position, char in typos:
        text[position] = char
    path.write_text("".join(text), encoding="utf-8")
    try:
        load(path)
    except ConfigError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 - either outcome is right


# ----------------------------------------------------------------------------------------------------------- secrets

KEY = "sk-proj-4f9aKQ0dY7mN2vXw8LrT"


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        (f"models: [{{name: openai:x, api_key: {KEY}}}]", "OPENAI_API_KEY"),
        ("models: [{name: groq:x, token: hunter2-hunter2}]", "GROQ_API_KEY"),
        (f"models: [openai:x]\nendpoints: {{groq: {{api_key_env: {KEY}}}}}", "GROQ_API_KEY"),
        ("models: [openai:x]\nendpoints: {my-vllm: {base_url: http://h, api_key_env: hunter2}}", "MY_VLLM_API_KEY"),
        ("models: [openai:x]\nendpoints: {m: {base_url: 'https://user:hunter2@h/v1'}}", "M_API_KEY"),
        ("models: [openai:x]\nendpoints: {m: {base_url: 'https://h/v1?key=hunter2'}}", "M_API_KEY"),
        (f"models: [openai:x]\nendpoints: {{m: {{base_url: http://h, headers: {{auth: {KEY}}}}}}}", "M_API_KEY"),
        (f"models: ['openai:{KEY}']", "OPENAI_API_KEY"),
        (f"models: [openai:x]\nverifiers: [{{name: regex, pattern: 'Bearer {KEY}'}}]", "OPENAI_API_KEY"),
        (f"models: [openai:x]\npolicy: {KEY}", "OPENAI_API_KEY"),
        (f"api_key: {KEY}\nmodels: [openai:x]", "OPENAI_API_KEY"),
        (f"models: [[{KEY}]]", "OPENAI_API_KEY"),
        (f"models: [{{name: {KEY}, token: x}}]", "OPENAI_API_KEY"),
        (f"models: [openai:x]\nendpoints: {{{KEY}: {{token: {KEY}}}}}", "OPENAI_API_KEY"),
        (f"models: {KEY}", "OPENAI_API_KEY"),
        (KEY, "OPENAI_API_KEY"),
    ],
)
def test_a_key_in_the_file_is_refused_and_never_shown(refused: Refused, text: str, variable: str) -> None:
    error = refused(text)
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert f"environment variable {variable}" in str(error)
    assert KEY.lower() not in shown.lower().replace("_", "-")
    assert "hunter2" not in str(error)
    assert error.__context__ is None


@pytest.mark.parametrize(
    "text",
    [
        f"models: [openai:x]\naliases: {{{KEY}: openai:y}}",
        f"models: [openai:x]\n{KEY}: 1",
        f"models: [openai:x]\nx: *{KEY}",
        f"a: 1\n{KEY}: 1\n{KEY}: 1",
        f"models: !{KEY} x",
    ],
)
def test_a_key_in_the_wrong_place_of_the_file_is_not_shown_either(refused: Refused, text: str) -> None:
    error = refused(text)
    assert KEY not in str(error)
    assert error.__context__ is None
