"""The rules of the house. Unlike a lint rule, none of these can be silenced where it is broken.

What a rule cannot have yet stands in ``EXCEPTIONS``, a list that may only shrink: an entry that is no longer needed
fails the test just as a new offender does.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import pkgutil
import re
import socket
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_socket import SocketConnectBlockedError

import router_core
from router_core import errors

ROOT = Path(__file__).parents[2]
PACKAGES = ("core/router_core", "langchain_router", "llamaindex_router")
TOP_LEVEL = {
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "benchmarks",
    "cookbook",
    "core",
    "langchain_router",
    "llamaindex_router",
    "pyproject.toml",
    "tests",
}
PUBLIC_NAMES = [
    "AllAttemptsFailed",
    "Answer",
    "AnswersRejected",
    "Attempt",
    "Budget",
    "CallOptions",
    "Chunk",
    "ConfigError",
    "Constraints",
    "Decision",
    "Endpoint",
    "InvalidRequest",
    "Ledger",
    "MissingExtra",
    "Model",
    "NoFeasibleModel",
    "Price",
    "Receipt",
    "Registry",
    "Router",
    "RouterError",
    "Settings",
    "StreamBroken",
    "Usage",
    "Verdict",
]
# Written in pieces, so that this file does not break its own rule.
NOT_COMMITTED = ("/work" + "/", "/root" + "/", "/t" + "mp/", "pypi" + ".org", "python" + "hosted", "npmjs" + ".org")

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_INIT_PARAMETERS = 8
MAX_EXPORTS = 25

EXCEPTIONS: dict[str, set[str]] = {}
"""Rule to offenders, as the rule names them."""


@dataclass(frozen=True)
class Source:
    """A Python file of the repository."""

    name: str
    text: str
    tree: ast.Module

    @property
    def shipped(self) -> bool:
        return self.name.startswith(PACKAGES)

    @property
    def speaks(self) -> bool:
        """Whether printing is its job."""
        return not self.shipped or "/cli/" in self.name or "/demo/" in self.name

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
        """The nodes of these kinds, each with its place: "file::Class::method()"."""
        pending = [(self.name, node) for node in ast.iter_child_nodes(self.tree)]
        while pending:
            where, node = pending.pop()
            if isinstance(node, ast.ClassDef):
                where = f"{where}::{node.name}"
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                where = f"{where}::{node.name}()"
            if isinstance(node, kinds):
                yield where, node
            pending.extend((where, child) for child in ast.iter_child_nodes(node))


def committed_files() -> list[Path]:
    """The files that are in the repository or would be added to it."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(path for name in names.split("\0") if name and (path := ROOT / name).is_file())


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    texts = {p.relative_to(ROOT).as_posix(): p.read_text("utf-8") for p in committed_files() if p.suffix == ".py"}
    return [Source(name, text, ast.parse(text)) for name, text in texts.items()]


def is_public(where: str) -> bool:
    """Whether users may name this place: no part of it is private, magic or local to a function."""
    return "()::" not in where and not any(part.startswith("_") for part in where.split("::")[1:])


def long_modules(source: Source) -> Iterator[str]:
    if source.text.count("\n") > MAX_MODULE_LINES:
        yield source.name


def long_functions(source: Source) -> Iterator[str]:
    for where, node in source.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        if node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES:
            yield where


def wide_constructors(source: Source) -> Iterator[str]:
    for where, node in source.nodes(ast.FunctionDef):
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        if node.name == "__init__" and len([a for a in given if a]) - 1 > MAX_INIT_PARAMETERS:
            yield where


def long_export_lists(source: Source) -> Iterator[str]:
    for where, node in source.nodes(ast.Assign, ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        exports = any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)
        if exports and len(node.value.elts) > MAX_EXPORTS:
            yield where


def broad_handlers(source: Source) -> Iterator[str]:
    if not source.shipped:
        return
    for where, node in source.nodes(ast.ExceptHandler, ast.Call):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        else:
            caught = node.args if ast.unparse(node.func).endswith("suppress") else []
        if any(one is None or ast.unparse(one) in {"Exception", "BaseException"} for one in caught):
            yield where


def prints(source: Source) -> Iterator[str]:
    for where, node in source.nodes(ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == "print" and not source.speaks:
            yield where


def core_imports(source: Source) -> Iterator[str]:
    for where, node in source.nodes(ast.Import, ast.ImportFrom):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or "."]
        if any(module.split(".")[0] == "core" for module in modules):
            yield where


def undocumented(source: Source) -> Iterator[str]:
    if source.shipped:
        for where, node in source.nodes(ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef):
            if is_public(where) and ast.get_docstring(node) is None:
                yield where


RULES: list[Callable[[Source], Iterator[str]]] = [
    long_modules,
    long_functions,
    wide_constructors,
    long_export_lists,
    broad_handlers,
    prints,
    core_imports,
    undocumented,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_has_no_offender_beyond_its_exceptions(
    rule: Callable[[Source], Iterator[str]], sources: list[Source]
) -> None:
    offenders = {offender for source in sources for offender in rule(source)}
    exceptions = EXCEPTIONS.get(rule.__name__, set())

    assert sorted(offenders - exceptions) == []
    assert sorted(exceptions - offenders) == [], "no longer needed"


def test_exceptions_name_rules_that_exist() -> None:
    assert EXCEPTIONS.keys() <= {rule.__name__ for rule in RULES}


def test_top_level_holds_what_the_architecture_says() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in committed_files()}

    assert {name for name in names if not name.startswith(".")} <= TOP_LEVEL


def test_no_file_names_a_machine_or_a_registry() -> None:
    texts = {path: path.read_bytes().decode("utf-8", "ignore") for path in committed_files()}

    assert [(path.name, word) for path, text in texts.items() for word in NOT_COMMITTED if word in text] == []


def test_no_test_reaches_beyond_this_machine() -> None:
    with pytest.raises(SocketConnectBlockedError):
        socket.create_connection(("192.0.2.1", 443), timeout=1)  # an address for documentation (RFC 5737)


def test_version_is_the_same_everywhere() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert newest is not None
    assert newest[1] == declared
    assert importlib.metadata.version("router-core") == declared, "run: uv sync"


def test_readme_gives_the_commands_that_ci_runs() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    script = (ROOT / ".ci/run").read_text("utf-8")

    assert "pip install uv && uv run llm-router demo" in readme
    assert "uv run pytest" in readme
    assert "llm-router demo" in script
    assert "uv run pytest" in script


def test_public_names() -> None:
    assert sorted(router_core.__all__) == PUBLIC_NAMES
    assert [name for name in PUBLIC_NAMES if not hasattr(router_core, name)] == []


def test_errors_are_one_tree_and_it_is_drawn() -> None:
    for module in pkgutil.walk_packages(router_core.__path__, "router_core."):
        importlib.import_module(module.name)
    defined = {
        name: thing
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and thing.__module__ == errors.__name__
    }

    assert dict(drawn_errors()) == {name: direct_base(thing) for name, thing in defined.items()}
    modules = {error.__module__ for error in all_subclasses(errors.RouterError)}
    assert {module for module in modules if module.startswith("router_core.")} == {errors.__name__}


def drawn_errors() -> Iterator[tuple[str, str]]:
    """Each error in the tree of the docstring, with the one it hangs from."""
    path = [Exception.__name__]
    for line in (errors.__doc__ or "").splitlines():
        if drawn := re.match(r" {4}([│ ]*(?:[├└]── )?)([A-Z]\w+) ", line):
            depth = len(drawn[1]) // 4
            path[depth + 1 :] = [drawn[2]]
            yield drawn[2], path[depth]


def direct_base(error: type) -> str:
    return error.__bases__[0].__name__


def all_subclasses(error: type) -> set[type]:
    return {deeper for child in error.__subclasses__() for deeper in {child} | all_subclasses(child)}
