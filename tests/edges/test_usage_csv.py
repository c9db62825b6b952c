"""What ``reconcile`` reads: the CSV of a provider, and which names are one model."""

from __future__ import annotations

import csv
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.cli._model_names import pair
from router_core.cli._usage_csv import read_bill
from router_core.errors import ConfigError

ROW = "2026-03-01,m,1,2,0.5\n"
HEAD = "date,model,input_tokens,output_tokens,cost\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\n \n,,\n", "is empty"),
        (
            "model,input_tokens\nm,1\n",
            "no column is known as the day; it has 'model', 'input_tokens'; name it with --co",
        ),
        ("date,model\n2026-03-01,m\n", "no column is known as the figure"),
        (HEAD + ROW + "2026-03-01,m,1.5,2,0\n", "line 3: column 'input_tokens': '1.5' is no count"),
        (HEAD + ROW + "\n\n2026-03-01,m,-1,2,0\n", "line 5: column 'input_tokens': '-1' is no count"),
        ("\n\n" + HEAD + "2026-03-01,m,1,x,0\n", "line 4: column 'output_tokens': 'x' is no number; write it as 1234"),
        (HEAD + "2026-03-01,m,1,2,NaN\n", "column 'cost': 'NaN' is no number"),
        (HEAD + "2026-03-01,m,1,2,1e999\n", "column 'cost': '1e999' is no number"),
        (HEAD + "2026-03-01,m,99999999999999999999,2,1\n", "'99999999999999999999' is no number"),
        (HEAD + '2026-03-01,m,"1,23",2,1\n', "column 'input_tokens': '1,23' is no number"),
        (HEAD.replace(",", ";") + "2026-03-01;m;1;2;5.001\n", "column 'cost': '5.001' may be 5.001 or 5001; save the"),
        (HEAD + "2026-13-01,m,1,2,0\n", "line 2: column 'date': '2026-13-01' is no day; write it as 2026-01-31"),
        (HEAD + "01/02/2026,m,1,2,0\n", "'01/02/2026' is no day"),
        (HEAD + "9999-12-31,m,1,2,0\n", "'9999-12-31' is no day"),
        (HEAD + "Total,,1,2,0\n", "line 2: column 'date': 'Total' is no day"),
        (HEAD + "2026-03-01,m,1,2,0,5\n", "line 2: it has 6 cells, the header 5"),
        (HEAD + '2026-03-01,"m,1,2,0\n' + ROW, "it is no row of CSV"),
        (HEAD + f"2026-03-01,m,{'9' * 100}x,2,0\n", f"'{'9' * 60}...' is no number"),
        (HEAD.replace("cost", "cost,currency") + "2026-03-01,m,1,2,3,EUR\n", "'EUR' is not the currency of the ledger"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line_and_column(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "usage.csv"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_bill(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("written", "cost"),
    [
        ("0.050", "0.05"),
        ("0,050", "0.05"),
        ("-0.050", "-0.05"),
        ("1.234,5", "1234.5"),
        ("1,234.5", "1234.5"),
        ("5.01", "5.01"),
    ],
)
def test_between_semicolons_a_comma_or_a_point_may_be_the_decimal_sign(tmp_path: Path, written: str, cost: str) -> None:
    path = tmp_path / "usage.csv"
    path.write_text(f"date;model;input_tokens;cost\n2026-03-01;m;1.000;{written}\n")
    [sums] = read_bill(path).cells.values()
    assert (sums.of("input"), sums.cost) == (1000, Decimal(cost))


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda name: name.strip()
)
ROWS = st.lists(
    st.tuples(
        st.dates(date(2020, 1, 1), date(2030, 12, 31)),
        NAMES,
        st.integers(0, 10**12),
        st.integers(0, 10**12),
        st.decimals("-1000", "1000000", places=10),
    ),
    min_size=1,
    max_size=8,
)


def european(amount: Decimal | int) -> str:
    return f"{amount:,f}".translate({ord(","): ".", ord("."): ","}) if isinstance(amount, Decimal) else f"{amount}"


WAYS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "plain": (",", lambda amount: f"{amount:f}" if isinstance(amount, Decimal) else f"{amount}"),
    "thousands": (",", lambda amount: f"{amount:,f}" if isinstance(amount, Decimal) else f"{amount:,}"),
    "dollars": ("\t", lambda amount: f"$ {amount:f}" if isinstance(amount, Decimal) else f" {amount}.0 "),
    "european": (";", european),
}


@given(rows=ROWS, way=st.sampled_from(sorted(WAYS)))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[Any], way: str) -> None:
    delimiter, written = WAYS[way]
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["Date", "Model", "Input Tokens", "Output Tokens", "Cost"])
        writer.writerows([day, name, *map(written, figures)] for day, name, *figures in rows)

    bill = read_bill(path)

    assert bill.rows == len(rows)
    assert set(bill.cells) == {(day, name.strip()) for day, name, *_ in rows}
    for (day, name), sums in bill.cells.items():
        own = [row for row in rows if (row[0], row[1].strip()) == (day, name)]
        assert sums.of("input") == sum(row[2] for row in own)
        assert sums.of("output") == sum(row[3] for row in own)
        assert sums.cost == sum(row[4] for row in own)


@given(content=st.text(max_size=200))
def test_no_file_makes_more_than_a_message(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    for text in (content, HEAD + content):
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with suppress(ConfigError):
            read_bill(path)


@given(
    bill=st.sets(st.sampled_from(["gpt-4o", "GPT-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-05-13", "gpt-4o-mini"])),
    ledger=st.sets(st.sampled_from(["gpt-4o", "gpt-4O", "gpt-4o-2024-08-06", "gpt-4o-2024-11-20", "gpt-4o-mini"])),
)
def test_each_name_is_in_one_pair(bill: set[str], ledger: set[str]) -> None:
    pairs = pair(bill, ledger)

    assert sorted(name for each in pairs for name in each.bill) == sorted(bill)
    assert sorted(name for each in pairs for name in each.ledger) == sorted(ledger)
    for each in pairs:
        assert not ({"gpt-4o-mini"} & {*each.bill, *each.ledger} and len({*each.bill, *each.ledger}) > 1)
        folded = {name.casefold() for name in (*each.bill, *each.ledger)}
        assert each.exact == (bool(each.bill) and bool(each.ledger) and len(folded) == 1)


@pytest.mark.parametrize(
    ("bill", "ledger", "pairs"),
    [
        # What is alike, and what both tell apart.
        ({"a-2024-05-13", "a-2024-08-06"}, {"a-2024-08-06"}, [("a-2024-05-13", ""), ("a-2024-08-06",) * 2]),
        # The ledger only has an alias: it may be any of the snapshots.
        ({"a-2024-05-13", "a-2024-08-06"}, {"a"}, [("a-2024-05-13 a-2024-08-06", "a")]),
        ({"a-2024-08-06"}, {"a", "a-2024-08-06"}, [("a-2024-08-06", "a a-2024-08-06")]),
        ({"a-2024-08-06"}, {"a-2024-05-13"}, [("a-2024-08-06", "a-2024-05-13")]),
        ({"a-2024-08-06"}, {"a-2024-08-06", "a-2024-05-13"}, [("", "a-2024-05-13"), ("a-2024-08-06",) * 2]),
        ({"openai/a:free"}, {"a@20240806"}, [("openai/a:free", "a@20240806")]),
        ({"llama-3.3-70b"}, {"llama-3-70b"}, [("", "llama-3-70b"), ("llama-3.3-70b", "")]),
        (
            {"Claude 3.5 Sonnet 2024-10-22"},
            {"claude-3-5-sonnet-latest"},
            [("Claude 3.5 Sonnet 2024-10-22", "claude-3-5-sonnet-latest")],
        ),
    ],
)
def test_which_names_are_one_model(bill: set[str], ledger: set[str], pairs: list[tuple[str, str]]) -> None:
    found = [(" ".join(each.bill), " ".join(each.ledger)) for each in pair(bill, ledger)]
    assert sorted(found) == sorted(pairs)
