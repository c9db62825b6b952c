r"""Numbers as people and models write them, read exactly: "1,000.50", "$18", "1 1/2", "50 %", ``\frac{3}{4}``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

_LONGEST = 60
"""Characters of a quantity and the words behind it."""
_MOST_DIGITS = 400
"""Digits that an exponent may add: what is beyond is no quantity but an attempt to fill the memory."""

_DIGITS = r"\d{1,3}(?:[, ']\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+,\d+|\d+(?:[.,]\d+)?|\.\d+"
_QUANTITY = re.compile(
    rf"""(?P<sign>[-+]?)\s*(?P<currency>us\$|[$\u20ac\u00a3])?\s*(?P<minus>-?)
    (?:\\[dt]?frac\s*\{{\s*(?P<top>\d+)\s*\}}\s*\{{\s*(?P<bottom>\d+)\s*\}}
      |(?:(?P<whole>\d+)\s+)?(?P<above>\d+)\s*/\s*(?P<below>\d+)
      |(?P<digits>{_DIGITS})(?:(?:e|\s*(?:x|\u00d7|\\times|\\cdot)\s*10\s*\^)\s*\{{?(?P<power>[-+]?\d{{1,4}})\}}?)?)
    (?:\s*(?P<scale>thousand|million|billion|trillion|mil|millones)\b)?(?P<rest>[^\d=<>+*/^()\\]*)""",
    re.IGNORECASE | re.VERBOSE,
)
_BOLD = re.compile(r"(?<![\d)])\*\*|\*\*(?![\d(])|\\(?=[$%])|\\[,;!]")
_WORD = re.compile(r"[^\W\d_]+|[%$\u20ac\u00a3\u00a2]")
_RAISED = re.compile(r"(?<=[\w)])(?=[\u00b2\u00b3\u00b9\u2070-\u207f])")
_FRACTION = re.compile(r"(?<=\d)(?=[\u00bc-\u00be\u2150-\u215e])")
_SPACED = re.compile(r"(?<=\d)[ '](?=\d{3})")
_CONTINENTAL = re.compile(r"\d{1,3}(?:\.\d{3})+,\d+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SCALES: Mapping[str, int] = {
    "thousand": 10**3,
    "mil": 10**3,
    "million": 10**6,
    "millones": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_UNITS: Mapping[str, str] = {
    word: unit
    for unit, words in {
        "$": "$ us$ usd dollar dollars d\u00f3lar d\u00f3lares",
        "\u20ac": "\u20ac eur euro euros",
        "\u00a3": "\u00a3 gbp pound pounds",
        "cent": "cent cents \u00a2",
        "%": "% percent percentage",
        "s": "s sec second seconds segundo segundos",
        "min": "min minute minutes minuto minutos",
        "h": "h hr hrs hour hours hora horas",
        "day": "day days d\u00eda d\u00edas",
        "week": "week weeks semana semanas",
        "month": "month months mes meses",
        "year": "year years a\u00f1o a\u00f1os",
        "mm": "mm millimeter millimeters millimetres",
        "cm": "cm centimeter centimeters centimetres",
        "m": "m meter meters metre metres metro metros",
        "km": "km kilometer kilometers kilometre kilometres",
        "inch": "inch inches",
        "ft": "ft foot feet",
        "mile": "mile miles",
        "g": "g gram grams gramo gramos",
        "kg": "kg kilogram kilograms kilo kilos",
        "lb": "lb lbs",
        "oz": "oz ounce ounces",
        "l": "l liter liters litre litres litro litros",
        "ml": "ml milliliter milliliters",
    }.items()
    for word in words.split()
}


class Quantity(NamedTuple):
    """A number, exactly, its unit of measurement where it has one that is known here, and the words behind it.

    Percent are a unit: 50 % is the number 50.
    """

    number: Fraction
    unit: str | None = None
    words: frozenset[str] = frozenset()

    def is_same(self, other: Quantity) -> bool:
        """Whether the numbers are equal and what stands behind them is no objection: 3 km are not 3 miles, and 3 mice
        are not 3 musketeers, but $3 may be 3, and 3 eggs may be 3 eggs a day."""
        if self.number != other.number:
            return False
        if self.unit and other.unit:
            return self.unit == other.unit
        return not (self.words and other.words) or not self.words.isdisjoint(other.words)


def compatible(text: str) -> str:
    """The text in Unicode's compatibility form (NFKC), in which what is raised, or a fraction, does not run into the
    digits before it: 2\u00b3 is not 23, and 2\u00bd not 21/2."""
    parted = _FRACTION.sub(" ", _RAISED.sub("^", text))
    return unicodedata.normalize("NFKC", parted).replace("\u2212", "-").replace("\u2044", "/")


def read_quantity(text: str) -> Quantity | None:
    """The quantity that a text is, with words behind it ("18 eggs per day"); None if it is none.

    A comma parts thousands where three digits follow it, and is a decimal comma otherwise.
    """
    if len(text) > _LONGEST:
        return None
    plain = _BOLD.sub("", compatible(text))
    found = _QUANTITY.fullmatch(plain.strip(" \t\n*_`~=\u2248").rstrip(".$ "))
    number = None if found is None else _number(found)
    if found is None or number is None:
        return None
    words = _WORD.findall(found["rest"].lower())
    unit = _UNITS.get(found["currency"].lower() if found["currency"] else words[0] if words else "")
    if found["rest"][:1].isalpha() and (unit is None or words[0] == "m"):
        return None  # 18k, 5m and 1st are not 18, 5 and 1
    number *= _SCALES[found["scale"].lower()] if found["scale"] else 1
    negative = (found["sign"] == "-") != (found["minus"] == "-")
    return Quantity(-number if negative else number, unit, frozenset(words))


def _number(found: re.Match[str]) -> Fraction | None:
    above, below = found["top"] or found["above"], found["bottom"] or found["below"]
    if below is not None:
        return Fraction(int(above), int(below)) + int(found["whole"] or 0) if int(below) else None
    digits = _SPACED.sub("", found["digits"])
    if _CONTINENTAL.fullmatch(digits):
        digits = digits.replace(".", "")
    elif _THOUSANDS.fullmatch(digits):
        digits = digits.replace(",", "")
    power = int(found["power"] or 0)
    return Fraction(digits.replace(",", ".")) * Fraction(10) ** power if abs(power) <= _MOST_DIGITS else None
