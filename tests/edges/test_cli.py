"""The command line: its help, its registry file, and the commands that call no model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router_core.cli.app import app
from router_core.config import json_schema
from router_core.errors import ConfigError

Run = Callable[..., Result]
Refused = Callable[..., str]

KEY = "sk-proj-4f9aKQ0dY7mN2vXw8LrT"


def test_help_names_the_commands_and_loads_nothing_slow() -> None:
    code = (
        "import sys\nfrom router_core.cli import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "print(sorted({'openai', 'pydantic', 'yaml', 'rich', 'jsonschema', 'genai_prices'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"
    for command in ("demo", "ask", "explain", "models", "config"):
        assert command in shown


@pytest.mark.parametrize(
    ("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)]
)
def test_errors_have_no_colours_where_none_are_wanted(here: Path, env: dict[str, str], coloured: bool) -> None:  # noqa: FBT001
    given = {"TERM": "xterm", "NO_COLOR": "", **env}
    result = CliRunner().invoke(app, ["memory", "show"], env=given, color=True)
    assert result.exit_code == 2
    assert ("\x1b" in result.stderr) is coloured


def test_the_version_is_the_package_s(run: Run) -> None:
    assert run("--version").stdout == f"llm-router {version('router-core')}\n"


@pytest.mark.parametrize("command", [["models"], ["explain", "hi"], ["ask", "hi"], ["config", "check"]])
def test_without_a_registry_file_the_error_says_how_to_get_one(command: Sequence[str], refused: Refused) -> None:
    told = refused(*command)
    assert "llm-router config init" in told
    assert "llm-router demo" in told


def test_the_file_is_the_option_s_else_the_variable_s_else_the_one_here(here: Path, run: Run) -> None:
    for name in ("router.yaml", "variable.yaml", "option.yaml"):
        (here / name).write_text(f"models: ['openai:{name}']")
    env = {"LLM_ROUTER_CONFIG": "variable.yaml"}
    assert "openai:router.yaml" in run("models").stdout
    assert "openai:variable.yaml" in run("models", env=env).stdout
    assert "openai:variable.yaml" in run("config", "check", env=env).stdout
    assert "openai:option.yaml" in run("models", "--config", "option.yaml", env=env).stdout


def test_debug_shows_the_error_itself(run: Run) -> None:
    assert isinstance(run("--debug", "models").exception, ConfigError)


def test_demo_is_given_its_options_and_its_code_is_the_command_s(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    given: dict[str, Any] = {}

    def run_demo(**options: Any) -> int:
        given.update(options)
        return 7

    monkeypatch.setattr("router_core.demo.run_demo", run_demo)
    assert run("demo", "--live", "--out", "there", "--config", "mine.yaml").exit_code == 7
    given.pop("console")
    assert given == {"live": True, "out": Path("there"), "config": Path("mine.yaml")}


# -------------------------------------------------------------------------------------------------------------- config


def test_check_says_what_a_right_file_means(config: Path, run: Run) -> None:
    result = run("config", "check", str(config))
    assert result.exit_code == 0
    assert f"{config} is right." in result.stdout.replace("\n", "")
    assert "Policy: difficulty" in result.stdout
    assert "Verifiers: " in result.stdout


def test_check_notes_keys_that_are_not_set(here: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    (here / "router.yaml").write_text("models: [openai:gpt-4.1-nano, groq:x]")
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    result = run("config", "check")
    assert result.exit_code == 0
    assert "OPENAI_API_KEY is not set" in result.stdout
    assert "GROQ_API_KEY is not set" not in result.stdout
    assert KEY not in result.stdout


def test_check_tells_all_errors_of_a_wrong_file(here: Path, refused: Refused) -> None:
    (here / "wrong.yaml").write_text("models: [{name: openai:x, price: free, qualty: 1}]\nsettings: {retries: -1}")
    told = refused("config", "check", "wrong.yaml")
    assert "wrong.yaml: 3 errors" in told
    assert "line 1, models[0].price: 'free' is not a price" in told
    assert "line 1, models[0].qualty: unknown field (did you mean 'quality'?)" in told
    assert "line 2, settings.retries: -1 is below 0" in told


def test_schema_writes_the_schema(run: Run) -> None:
    assert json.loads(run("config", "schema").stdout) == json_schema()


def test_init_writes_what_it_finds_and_the_file_is_right(here: Path, server: Any, run: Run) -> None:
    env = {"OLLAMA_HOST": server.host, "OPENAI_API_KEY": KEY}
    result = run("config", "init", env=env)
    assert result.exit_code == 0
    assert f"Ollama at http://{server.host}: weak, strong" in result.stdout
    assert "OPENAI_API_KEY" in result.stdout
    assert KEY not in result.stdout + (here / "router.yaml").read_text()
    listed = json.loads(run("models", "--json", env=env).stdout)
    assert [model["name"] for model in listed] == [
        "ollama:weak",
        "ollama:strong",
        "openai:gpt-4.1-nano",
        "openai:gpt-4.1",
    ]
    assert listed[0]["base_url"] == f"http://{server.host}/v1"
    assert run("config", "check", env=env).exit_code == 0


def test_init_writes_an_example_where_nothing_is_found(here: Path, run: Run) -> None:
    result = run("config", "init", "--out", "mine.yaml", env={"OLLAMA_HOST": "127.0.0.1:9"})
    assert result.exit_code == 0
    assert "Nothing was found" in result.stdout
    assert "set OPENAI_API_KEY" in (here / "mine.yaml").read_text()
    assert run("config", "check", "mine.yaml").exit_code == 0


def test_init_overwrites_only_when_told_to(here: Path, run: Run, refused: Refused) -> None:
    (here / "router.yaml").write_text("mine")
    env = {"OLLAMA_HOST": "127.0.0.1:9"}
    assert "--force" in refused("config", "init", env=env)
    assert (here / "router.yaml").read_text() == "mine"
    assert run("config", "init", "--out", ".", env=env).exit_code == 2
    assert run("config", "init", "--force", env=env).exit_code == 0
    assert "models:" in (here / "router.yaml").read_text()


# -------------------------------------------------------------------------------------------------------------- models


def test_models_shows_unknown_as_unknown_and_of_keys_only_whether_they_are_set(here: Path, run: Run) -> None:
    (here / "router.yaml").write_text("""
models:
  - {name: "ollama:llama3.2", context_window: 131072, tags: [gpu]}
  - openai:gpt-4.1-nano
  - {name: "[bold]own", endpoint: groq, id: nobody/has-a-price-for-this, capabilities: []}
aliases: {fast: openai:gpt-4.1-nano}
""")
    env = {"OPENAI_API_KEY": KEY}
    rows = run("models", env=env).stdout
    local, nano, own = (next(row for row in rows.splitlines() if name in row) for name in ("llama", "nano", "[bold]"))
    assert local.split() == ["1", "ollama:llama3.2", "0.00", "0.00", "131,072", "unknown", "unknown", "-"]
    assert nano.split()[-1] == "yes"
    assert own.split() == ["3", "[bold]own", "unknown", "unknown", "unknown", "unknown", "unknown", "no"]
    assert "tags: gpu, local" in rows
    assert "fast is an alias of openai:gpt-4.1-nano" in rows
    listed = json.loads(run("models", "--json", env=env).stdout)
    assert [model["input_usd_per_million"] for model in listed] == ["0", listed[1]["input_usd_per_million"], None]
    assert [model["key_present"] for model in listed] == [None, True, False]
    assert listed[1]["aliases"] == ["fast"]
    assert KEY not in rows + json.dumps(listed)
