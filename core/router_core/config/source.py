"""The text of ``router.yaml`` with what is wrong in it: YAML, the lines of its values, and words for errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml
from yaml.composer import ComposerError

from router_core.config.shape import CONCEALED, shape_at
from router_core.errors import ConfigError
from router_core.registry import KNOWN_ENDPOINTS, did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Loc: TypeAlias = tuple[int | str, ...]

_KEY = re.compile(
    r"\b(?:sk-[\w-]{16,}|(?:gsk|hf|tgp)_\w{16,}|(?:xai|pplx|nvapi)-\w{32,}|AIza[\w-]{30,}|AKIA[A-Z0-9]{16}"
    r"|gh[opsu]_\w{30,}|github_pat_\w{30,}|eyJ[\w-]{16,}\.[\w-]{8,})|\bBearer\s+\S{8,}",
    re.ASCII,
)
"""How keys begin at OpenAI (and those who followed: Anthropic, DeepSeek, OpenRouter), Groq, Hugging Face, Together,
xAI, Perplexity, NVIDIA, Google, AWS and GitHub; a JSON Web Token; an Authorization header."""

_KEY_FIELD = re.compile(r"(?:^|[_-])(?:key|apikey|token|secret|password|authorization)$", re.IGNORECASE)

_LONGEST = 100
"""Characters of a text, or bits of a number, beyond which a value is not quoted in full."""

_WORDING: Mapping[str, str] = {
    "missing": "is missing",
    "invalid_key": "is a key that is not text; put it in quotes",
    "too_short": "is empty; give at least one",
    "string_too_short": "is empty",
    "string_type": "{value} is not text; put it in quotes",
    "string_pattern_mismatch": "{value} holds a colon or a space, or is empty",
    "literal_error": "{value} is not {expected}",
    "enum": "{value} is not {expected}",
    "greater_than": "{value} is not above {gt}",
    "greater_than_equal": "{value} is below {ge}",
    "less_than_equal": "{value} is above {le}",
    "decimal_type": "{value} is not a number",
    "decimal_parsing": "{value} is not a number",
    "float_type": "{value} is not a number",
    "float_parsing": "{value} is not a number",
    "finite_number": "{value} is not a finite number",
    "int_type": "{value} is not a whole number",
    "int_parsing": "{value} is not a whole number",
    "int_from_float": "{value} is not a whole number",
    "bool_type": "{value} is neither true nor false",
    "list_type": "{value} is not a list; write [one, two]",
    "frozen_set_type": "{value} is not a list; write [one, two]",
    "dict_type": "{value} is not a mapping of names to values",
    "model_type": "{value} is neither a text nor a mapping of fields to values",
}
"""pydantic's error types in words; any other type speaks for itself."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key stands once: YAML demands it, PyYAML lets the last one win."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise ComposerError(
                    problem=f"the key {key.value!r} stands twice; keep one", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return node


class Source:
    """A registry file that is being read. Errors are gathered by path, so that the user sees all of them at once.

    Raises:
        ConfigError: the file cannot be read or is not YAML.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problems: dict[Loc, str] = {}
        self.data, self._node = _parse(path)
        for loc in _keys_in(self.data, (), set()):
            self.wrong(loc, f"looks like a key; {_instead_of_key(loc, self.data)}")

    def wrong(self, loc: Loc, text: str) -> None:
        """Note what is wrong at a path; the first note of a path stays."""
        self._problems.setdefault(loc, text)

    def invalid(self, error: ErrorDetails) -> None:
        """Note one of pydantic's errors."""
        loc = tuple(part for part in error["loc"] if part != "[key]")
        self.wrong(loc, _in_words(loc, error, self.data))

    @contextmanager
    def at(self, *loc: int | str) -> Iterator[None]:
        """Note a ``ConfigError`` of the block as a problem of this path."""
        try:
            yield
        except ConfigError as error:
            # It names its section itself, as "models: " or "verifiers.regex".
            self.wrong(loc, re.sub(rf"^{loc[0]}(?:: |\.)", "", str(error)) if loc else str(error))

    def check(self) -> None:
        """Raise ``error`` if anything is wrong so far."""
        if self._problems:
            raise self.error()

    def error(self) -> ConfigError:
        """All that is wrong so far, in the order of the file."""
        found = sorted((_line(self._node, loc), _written(loc), text) for loc, text in self._problems.items())
        lines = [f"line {line}, {where}: {text}" if where else text for line, where, text in found]
        told = lines[0] if len(lines) == 1 else "".join([f"{len(lines)} errors", *(f"\n  - {line}" for line in lines)])
        return _without_keys(f"{self._path}: {told}")


def _without_keys(text: str) -> ConfigError:
    """The error with this text, which may quote the file: nothing that looks like a key leaves this place."""
    return ConfigError(_KEY.sub("[hidden]", text))


def _parse(path: Path) -> tuple[object, yaml.Node | None]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give the path of a registry file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return (None if node is None else loader.construct_document(node)), node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = f"{path}: {where}{error.problem}; correct it there"
    except yaml.YAMLError as error:
        problem = f"{path}: {getattr(error, 'reason', 'is not YAML')}; correct the YAML"
    except RecursionError:
        problem = f"{path}: is nested too deeply to be a registry file"
    except ValueError as error:
        problem = f"{path}: {error}; put a value that is no date or number in quotes"
    # Raised here so that no traceback shows PyYAML's error, which quotes the file.
    raise _without_keys(problem)


def _keys_in(value: object, loc: Loc, seen: set[int]) -> Iterator[Loc]:
    """Paths of values that look like keys. ``seen`` ends the walk where YAML aliases make a circle."""
    if isinstance(value, str) and _KEY.search(value):
        yield loc
    elif isinstance(value, (dict, list)) and id(value) not in seen:
        seen.add(id(value))
        for part, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _keys_in(item, (*loc, part), seen)


def _instead_of_key(loc: Loc, data: object) -> str:
    variable = _variable(loc, data)
    return f"put the key in the environment variable {variable} and name that under the endpoint's api_key_env"


def _variable(loc: Loc, data: Any) -> str:
    """The environment variable in which the key of the endpoint or model at this path belongs."""
    match loc:
        case ("endpoints", name, *_):
            endpoint = str(name)
        case ("models", int(index), str(), *_):
            entry = data["models"][index]
            endpoint = str(entry.get("endpoint") or entry.get("name")).partition(":")[0]
        case _:
            endpoint = ""
    if not endpoint or _KEY.search(endpoint):
        endpoint = "openai"
    known = KNOWN_ENDPOINTS.get(endpoint)
    return (known and known.api_key_env) or f"{re.sub(r'[^A-Za-z0-9]+', '_', endpoint).upper()}_API_KEY"


def _in_words(loc: Loc, error: ErrorDetails, data: object) -> str:
    kind = error["type"]
    if kind == CONCEALED:
        return f"{error['msg']}; if it holds a key, {_instead_of_key(loc, data)}"
    if not loc:
        return f"{_shown(data)} is not a registry; write at least 'models:' and a list of models, weakest first"
    shape, name = shape_at(loc[:-1]), str(loc[-1])
    if kind == "extra_forbidden":
        if _KEY_FIELD.search(name):
            return f"keys do not stand in this file; {_instead_of_key(loc, data)}"
        known = list(shape.model_fields)
        return f"unknown field{did_you_mean(name, known)}; known are {', '.join(known)}"
    value, wording = _shown(error["input"]), _WORDING.get(kind)
    text = wording.format(value=value, **error.get("ctx", {})) if wording else f"{value} {error['msg']}"
    field = shape.model_fields.get(name)
    return f"{text} ({field.description.rstrip('.')})" if field and field.description else text


def _shown(value: object) -> str:
    """A value as it may stand in an error: what mappings and lists hold is left out."""
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…")
    if isinstance(value, int) and value.bit_length() > _LONGEST:
        return "a huge number"
    return "an empty value" if value is None else str(value).lower()


def _line(node: yaml.Node | None, loc: Loc) -> int:
    """The line, from 1, of the value at this path, or of the nearest thing around it."""
    line = 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            key, node = next(((k, v) for k, v in node.value if k.value == str(part)), (None, None))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            key = node = node.value[part]
        else:
            break
        if key is None:
            break
        line = key.start_mark.line + 1
    return line


def _written(loc: Loc) -> str:
    """A path as a person writes it: models[2].price.input."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")
