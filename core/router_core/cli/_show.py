"""How values are written for people to read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from router_core.types import Json

if TYPE_CHECKING:
    from rich.table import Table

UNKNOWN = "unknown"


def money(dollars: Decimal | None) -> str:
    """US dollars to the nano-dollar: $0, $0.000012."""
    if dollars is None:
        return UNKNOWN
    return f"${_plain(dollars.quantize(Decimal('1e-9')))}"


def price(dollars: Decimal | None) -> str:
    """US dollars per million tokens, with cents at least: 0.10, 0.025, 2.00."""
    if dollars is None:
        return UNKNOWN
    cents = dollars.quantize(Decimal("0.01"))
    return f"{cents:f}" if cents == dollars else _plain(dollars)


def number(value: float | None, unit: str = "") -> str:
    """A number as short as it can be, or that it is unknown."""
    if value is None:
        return UNKNOWN
    return (f"{value:,}" if isinstance(value, int) else f"{value:.3g}") + unit


def harmless(text: str) -> str:
    """The text with what cannot be printed written out: a name out of a request could command the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def plain_table(*columns: str, numeric: Collection[str] = ()) -> Table:
    """A table with no lines but the head's. Words that are too long are folded, not lost."""
    from rich import box  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415 - slow to import

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=False, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if column in numeric else "left")
    return table


def feature(value: Json) -> str:
    """A feature of a decision as text; parts of it stand in a row."""
    if isinstance(value, Mapping):
        return ", ".join(_part(name, part) for name, part in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(feature, value)) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: UNKNOWN}[value]
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _part(name: str, value: Json) -> str:
    nested = isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)
    return f"{name} ({feature(value)})" if nested else f"{name} {feature(value)}"


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
