"""The usage of a provider as its CSV tells it: tokens and dollars by day (UTC) and model.

Columns are known by their names, whatever their case (``_KNOWN``):

- OpenAI's export of usage (``start_time_iso``, ``model``, ``input_tokens``, ``output_tokens``, ``input_cached_tokens``,
  ``num_model_requests``) and of costs (``start_time_iso``, ``amount_value``, ``line_item``: "gpt-4.1-nano, input");
- the Claude Console's of tokens (``usage_date_utc``, ``model_version``, ``usage_input_tokens_no_cache``, ...), whose
  kinds of input add up to ours, and of costs (``usage_date_utc``, ``model``, ``token_type``, ``cost_usd``);
- OpenRouter's activity by request (``created_at``, ``model_permaslug``, ``tokens_prompt``, ``cost_total``) and by day
  (``Date``, ``Slug``, ``Prompt Tokens``, ``Usage``, which are dollars).

Cells stand between commas, semicolons, tabs or bars. Where it is semicolons, a comma may be the decimal sign and a
point part thousands, as in spreadsheets of such languages; elsewhere commas part thousands.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

from router_core.errors import ConfigError
from router_core.registry import did_you_mean
from router_core.types import NANO

TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning")
"""The figures that are tokens. As in the ledger, cached ones are part of the input, reasoning is part of the output."""

FIGURES = ("requests", *TOKENS, "cost")
"""What a row may tell."""

_ROLES = ("day", "model", *FIGURES)

_KNOWN: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "day": (
        ("usage_date_utc",),
        ("start_time_iso",),
        ("start_time",),
        ("created_at",),
        ("date",),
        ("day",),
        ("usage_date",),
        ("timestamp",),
    ),
    "model": (("model_version",), ("model_permaslug",), ("model",), ("slug",), ("line_item",), ("model_id",)),
    "requests": (("num_model_requests",), ("requests",), ("n_requests",)),
    "input": (
        (
            "usage_input_tokens_no_cache",
            "usage_input_tokens_cache_write",
            "usage_input_tokens_cache_write_5m",
            "usage_input_tokens_cache_write_1h",
            "usage_input_tokens_cache_read",
        ),
        ("uncached_input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"),
        ("input_tokens",),
        ("prompt_tokens",),
        ("tokens_prompt",),
        ("n_context_tokens_total",),
    ),
    "cache_read": (
        ("usage_input_tokens_cache_read",),
        ("cache_read_input_tokens",),
        ("input_cached_tokens",),
        ("tokens_cached",),
        ("cached_tokens",),
    ),
    "cache_write": (
        ("usage_input_tokens_cache_write_5m", "usage_input_tokens_cache_write_1h"),
        ("usage_input_tokens_cache_write",),
        ("cache_creation_input_tokens",),
    ),
    "output": (
        ("usage_output_tokens",),
        ("output_tokens",),
        ("completion_tokens",),
        ("tokens_completion",),
        ("n_generated_tokens_total",),
    ),
    "reasoning": (("reasoning_tokens",), ("tokens_reasoning",)),
    "cost": (
        ("cost_usd",),
        ("cost_total",),
        ("total_cost",),
        ("amount_value",),
        ("cost",),
        ("amount_usd",),
        ("amount",),
        ("usage",),
    ),
}
"""The columns of each role: the first of these that the file has; those that stand together add up."""

_CURRENCIES = ("amount_currency", "currency")
_PROVIDERS = (
    ("usage_date_utc", "anthropic"),
    ("num_model_requests", "openai"),
    ("amount_value", "openai"),
    ("model_permaslug", "openrouter"),
    ("byok_usage", "openrouter"),
)
"""Columns that tell whose file it is."""

_NUMBER = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)?(?:\.\d*)?(?:[eE][+-]?\d{1,3})?")
_GAP = re.compile(r"(?<=\d)[\s'’](?=\d{3})")  # noqa: RUF001 - Swiss thousands
_LARGEST = 15
"""Digits of a whole figure; more are a mistake."""


@dataclass(slots=True)
class Sums:
    """What was used: tokens and requests by role, and US dollars."""

    counts: dict[str, int] = field(default_factory=dict)
    cost: Decimal = Decimal(0)

    def add(self, role: str, amount: int | Decimal) -> None:
        """Add so much of a role."""
        if role == "cost":
            self.cost += amount
        else:
            self.counts[role] = self.counts.get(role, 0) + int(amount)

    def of(self, role: str) -> int:
        """So many tokens or requests; of "cost" nano-dollars, rounded half-even."""
        if role == "cost":
            return int((self.cost * NANO).to_integral_value(ROUND_HALF_EVEN))
        return self.counts.get(role, 0)


class Bill(NamedTuple):
    """What a file says: sums by day and model (None where it tells none), which figures it tells, whose file it seems
    to be (None: anybody's), and how many rows were read."""

    cells: dict[tuple[date, str | None], Sums]
    figures: tuple[str, ...]
    provider: str | None
    rows: int


def read_bill(path: Path, columns: str | None = None) -> Bill:
    """Read a file, row by row. ``columns`` names columns by role: "model=Modell,day=Tag,input=A+B,cost=", where ``+``
    adds up and nothing leaves a role out; what it does not name is known by its usual names.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong: names line, column, value and remedy.
    """
    try:
        with path.open("rb") as raw:
            wide = raw.read(2) in {b"\xff\xfe", b"\xfe\xff"}
        with path.open(encoding="utf-16" if wide else "utf-8-sig", newline="") as file:
            return _Reading(path, file, columns).bill()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeError:
        raise ConfigError(f"{path}: is not text in UTF-8; save it as CSV in UTF-8") from None


class _Reading:
    """One pass through a file."""

    def __init__(self, path: Path, file: TextIO, columns: str | None) -> None:
        self._path = path
        header, self._before, delimiter = _header(path, file)
        self._header = header
        self._names = [_plain(name) for name in header]
        self._comma = delimiter == ";"
        self._rows = csv.reader(file, delimiter=delimiter, strict=True)
        self._roles = self._mapped(columns)
        self._figures = tuple(role for role in FIGURES if role in self._roles)
        if "day" not in self._roles or not self._figures:
            missing = "day" if "day" not in self._roles else "figure (input, output or cost)"
            raise ConfigError(
                f"{path}: no column is known as the {missing}; it has {', '.join(map(repr, header))}; name it with "
                "--columns, as in --columns day=Day,model=Model,input=Input,output=Output,cost=Cost"
            )
        self._line_items = self._names[self._roles["model"][0]] == "line_item" if "model" in self._roles else False
        self._currency = next((self._names.index(name) for name in _CURRENCIES if name in self._names), None)

    def bill(self) -> Bill:
        """All rows, summed up."""
        cells: dict[tuple[date, str | None], Sums] = {}
        count = 0
        for row in self._each():
            told = {role: [row[at] for at in self._roles[role] if row[at].strip()] for role in self._figures}
            if not any(told.values()):
                continue  # a day without usage
            count += 1
            sums = cells.setdefault((self._day(row), self._model(row)), Sums())
            for role in self._figures:
                for at in self._roles[role]:
                    sums.add(role, self._amount(row, at, whole=role != "cost"))
        provider = next((whose for name, whose in _PROVIDERS if name in self._names), None)
        return Bill(cells, self._figures, provider, count)

    def _each(self) -> Iterator[list[str]]:
        width = len(self._header)
        try:
            for row in self._rows:
                if not any(cell.strip() for cell in row):
                    continue
                if any(cell.strip() for cell in row[width:]):
                    self._fail(f"it has {len(row)} cells, the header {width}", "put cells with a delimiter in quotes")
                yield row[:width] + [""] * (width - len(row))
        except csv.Error as error:
            self._fail(f"it is no row of CSV ({error})", "look for a quote that is not closed")

    def _mapped(self, columns: str | None) -> dict[str, tuple[int, ...]]:
        given = _given(columns)
        roles: dict[str, tuple[int, ...]] = {}
        for role, known in _KNOWN.items():
            if role in given:
                if given[role]:
                    roles[role] = tuple(self._index(name) for name in given[role])
                continue
            for names in known:
                if names[0] in self._names:
                    roles[role] = tuple(self._names.index(name) for name in names if name in self._names)
                    break
        return roles

    def _index(self, name: str) -> int:
        plain = _plain(name)
        if plain not in self._names:
            raise ConfigError(
                f"--columns: {self._path} has no column {name!r}{did_you_mean(plain, self._names)}; it has "
                f"{', '.join(map(repr, self._header))}"
            )
        return self._names.index(plain)

    def _day(self, row: Sequence[str]) -> date:
        at = self._roles["day"][0]
        day = _day(row[at].strip())
        return self._wrong(row, at, "is no day", "write it as 2026-01-31") if day is None else day

    def _model(self, row: Sequence[str]) -> str | None:
        if "model" not in self._roles:
            return None
        name = row[self._roles["model"][0]].strip()
        # OpenAI's line items are of models and kinds: "gpt-4.1-nano-2025-04-14, input".
        return (name.partition(", ")[0] if self._line_items else name) or None

    def _amount(self, row: Sequence[str], at: int, *, whole: bool) -> int | Decimal:
        if not row[at].strip():
            return 0
        amount = self._number(row, at, whole=whole)
        if whole and (amount < 0 or amount != amount.to_integral_value()):
            return self._wrong(row, at, "is no count of tokens or requests", "write a whole number, as 1234")
        if not whole and self._currency is not None:
            currency = row[self._currency].strip()
            if currency.lower() not in {"", "usd"}:
                return self._wrong(row, self._currency, "is not the currency of the ledger", "export it in usd")
        return int(amount) if whole else amount

    def _number(self, row: Sequence[str], at: int, *, whole: bool) -> Decimal:
        plain = _GAP.sub("", row[at].strip().removeprefix("$").strip())
        amount = _read(plain)
        if self._comma:
            other = _read(plain.translate({ord(","): ".", ord("."): ","}))
            # Thousands never begin with a nought; "5.001" dollars may be five, or five thousand and one.
            small = plain.lstrip("+-").startswith("0.")
            if not (whole or small or "," in plain) and None not in {amount, other} and amount != other:
                self._wrong(row, at, f"may be {amount} or {other}", "save the file with commas between its cells")
            amount = amount if other is None or small else other
        if amount is None or amount.adjusted() >= _LARGEST:
            self._wrong(row, at, "is no number", "write it as 1234 or 12.34")
        return amount

    def _wrong(self, row: Sequence[str], at: int, what: str, remedy: str) -> NoReturn:
        value = row[at] if len(row[at]) <= 60 else f"{row[at][:60]}..."  # noqa: PLR2004 - what a line of a screen holds
        self._fail(f"column {self._header[at]!r}: {value!r} {what}", remedy)

    def _fail(self, what: str, remedy: str) -> NoReturn:
        raise ConfigError(f"{self._path}: line {self._before + self._rows.line_num}: {what}; {remedy}")


def _header(path: Path, file: TextIO) -> tuple[list[str], int, str]:
    """The names of the columns, the lines up to them, and what stands between cells."""
    delimiters = ",;\t|"
    for number, line in enumerate(file, 1):
        text = line.strip("\r\n")
        if number == 1 and text.lower().startswith("sep=") and len(text) == len("sep=") + 1:
            delimiters = text[-1]  # spreadsheets write such a line
        elif text.strip(" ,;\t|"):
            delimiter = max(delimiters, key=lambda each: _score(_split(text, each)))
            return _split(text, delimiter), number, delimiter
    raise ConfigError(f"{path}: is empty; give the CSV of a provider, with its line of names")


_NAMES = frozenset(name for known in _KNOWN.values() for names in known for name in names)


def _score(names: Sequence[str]) -> tuple[int, int]:
    return sum(_plain(name) in _NAMES for name in names), len(names)


def _split(line: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]


def _plain(name: str) -> str:
    """A name of a column without case and signs: "Usage Date (UTC)" is usage_date_utc."""
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_")


def _given(columns: str | None) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    for part in (columns or "").split(","):
        role, equals, names = part.partition("=")
        if not part.strip():
            continue
        if not equals or role.strip() not in _ROLES:
            raise ConfigError(
                f"--columns: {part.strip()!r} names no role{did_you_mean(role.strip(), _ROLES)}; write ROLE=COLUMN, "
                f"with the roles {', '.join(_ROLES)}"
            )
        given[role.strip()] = [name.strip() for name in names.split("+") if name.strip()]
    return given


_YEARS = range(2000, 2200)
_DAY = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_MOMENT = re.compile(r"\d{9,10}(?:\.\d+)?")


def _day(text: str) -> date | None:
    """The day (UTC) of a date, of a date with a time (UTC unless it says otherwise), or of unix seconds."""
    readings: tuple[Callable[[], date | None], ...] = (
        lambda: date(*map(int, found.groups())) if (found := _DAY.fullmatch(text)) else None,
        lambda: datetime.fromtimestamp(float(text), UTC).date() if _MOMENT.fullmatch(text) else None,
        lambda: _utc(datetime.fromisoformat(text)).date() if _DAY.match(text) else None,
    )
    for read in readings:
        try:
            day = read()
        except (ValueError, OverflowError):
            continue
        if day is not None and day.year in _YEARS:
            return day
    return None


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment


def _read(plain: str) -> Decimal | None:
    """A number with a point as its decimal sign and commas between thousands, if at all."""
    if not _NUMBER.fullmatch(plain) or not any(char.isdigit() for char in plain):
        return None
    return Decimal(plain.replace(",", ""))
