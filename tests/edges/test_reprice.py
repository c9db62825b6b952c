"""``llm-router reprice``: new costs beside the old ones, exactly, and only where they can be known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from router_core.cli._attempts import usage_of
from router_core.cli._pricelist import PriceList
from router_core.cli.reprice import Asked, Kept, _computed
from router_core.registry import Registry
from router_core.stores import Store, open_store
from router_core.types import CACHE_PRICE, PROVIDER_PRICE, REGISTRY_PRICE, SCRIPTED_PRICE, Model, Price, Usage
from tests.edges.bookings import DAY, attempt, entry
from tests.edges.pricelists import provider, snapshot

Run = Callable[..., Result]

URL = "sqlite:///router.db"


@pytest.fixture
def store(here: Path) -> Iterator[Store]:
    store = open_store(URL)
    yield store
    store.close()


@pytest.fixture
def prices(here: Path) -> Path:
    """big costs 2 + 8 dollars a million tokens, from April on 1 + 4."""
    dated = [
        {"prices": {"input_mtok": 2, "output_mtok": 8}},
        {"prices": {"input_mtok": 1, "output_mtok": 4}, "constraint": {"start_date": "2026-04-01"}},
    ]
    return snapshot(here / "prices.json", provider("openai", models=[("big", dated)]))


def told(run: Run, *args: str) -> dict[str, Any]:
    result = run("reprice", "--json", *args)
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_costs_are_computed_anew_by_the_prices_of_the_time_of_each_request(
    store: Store, prices: Path, run: Run
) -> None:
    store.record(entry("r1", attempt("small"), ids={"small": "big"}))
    store.record(entry("r2", attempt("small", cost_nano=None), ids={"small": "big"}, at=DAY + 60 * 86_400))
    before = list(store.entries())

    outcome = told(run, "--snapshot", str(prices))

    version = next(iter(outcome["prices"]))
    assert version.startswith("prices.json ")
    assert outcome["as_of"] == "request"
    assert outcome["models"] == [
        {
            "model": "small",
            "provider": "openai",
            "attempts": 2,
            "repriced": 2,
            "old_usd": "1",
            "old_unknown": 1,
            "new_usd": "15",
            "new_unknown": 0,
            "difference_usd": "14",
            "changed": 1,
            "became_known": 1,
            "became_unknown": 0,
        }
    ]
    assert outcome["saved"] is None
    assert list(store.entries()) == before


@pytest.mark.parametrize(("as_of", "new"), [("2026-03-31", "10"), ("2026-04-01", "5"), ("now", "5"), ("request", "10")])
def test_prices_of_another_time_can_be_asked_for(store: Store, prices: Path, run: Run, as_of: str, new: str) -> None:
    store.record(entry("r1", attempt("small"), ids={"small": "big"}))

    outcome = told(run, "--snapshot", str(prices), "--as-of", as_of, "--save")

    assert (outcome["total"]["new_usd"], outcome["saved"]) == (new, 1)
    [row] = store.entries()
    [(version, nano)] = row["attempts"][0]["repriced"].items()
    assert nano == int(new) * 1_000_000_000
    assert (" as of 20" in version) is (as_of != "request")


def test_saved_costs_stand_beside_what_was_booked(store: Store, prices: Path, run: Run) -> None:
    store.record(entry("r1", attempt("small"), attempt("gone", cost_nano=7), ids={"small": "big", "gone": "gone"}))

    assert told(run, "--snapshot", str(prices), "--save")["saved"] == 2
    assert told(run, "--snapshot", str(prices), "--save")["saved"] == 2  # the same again, in its place

    [row] = store.entries()
    assert [each["cost_nano"] for each in row["attempts"]] == [1_000_000_000, 7]
    assert [list(each["repriced"].values()) for each in row["attempts"]] == [[10_000_000_000], [None]]
    assert store.verify() == []


def test_what_would_be_saved_unchanged_is_not(here: Path, store: Store, run: Run) -> None:
    (here / "router.yaml").write_text("models: [{name: small, endpoint: openai, id: x, price: {input: 1, output: 2}}]")
    booked = attempt("small", cost_nano=3_000_000_000, price_version=REGISTRY_PRICE)
    store.record(entry("r1", booked, booked._replace(cost_nano=4), ids={"small": "x"}))

    outcome = told(run, "--save")

    assert (outcome["total"]["repriced"], outcome["total"]["changed"], outcome["saved"]) == (2, 1, 1)
    [row] = store.entries()
    assert [each["repriced"] for each in row["attempts"]] == [{}, {REGISTRY_PRICE: 3_000_000_000}]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"price_version": PROVIDER_PRICE}, "provider"),
        ({"price_version": CACHE_PRICE, "cost_nano": 0}, "cache"),
        ({"price_version": SCRIPTED_PRICE, "cost_nano": 0}, "scripted"),
        ({"usage": None, "cost_nano": None, "price_version": None}, "tokens_unknown"),
        ({"usage": Usage(), "cost_nano": 0, "price_version": None}, "no_tokens"),
        ({"model": "stranger"}, "model_unknown"),
        ({"price_version": REGISTRY_PRICE}, "own_price_gone"),
    ],
)
def test_what_cannot_or_must_not_be_computed_keeps_its_cost(
    store: Store, prices: Path, run: Run, fields: dict[str, Any], why: str
) -> None:
    kept = attempt(**{"model": "small", **fields})
    store.record(entry("r1", kept, ids={"small": "big"}))

    outcome = told(run, "--snapshot", str(prices), "--save")

    total = outcome["total"]
    assert outcome["kept"] == {why: 1}
    assert (total["attempts"], total["repriced"], outcome["saved"]) == (1, 0, 0)
    assert (total["old_usd"], total["old_unknown"]) == (total["new_usd"], total["new_unknown"])
    assert total["difference_usd"] == "0"


def test_the_registry_s_own_price_wins_over_the_published_one(here: Path, store: Store, prices: Path, run: Run) -> None:
    (here / "router.yaml").write_text(
        "models: [{name: renamed, endpoint: openai, id: big, price: {input: 3, output: 4}}, openai:big]"
    )
    # The decision knows the id: the model is found again under another name.
    store.record(entry("r1", attempt("small"), ids={"small": "big"}))
    # No decision: the registry knows the name.
    store.record(entry("r2", attempt("renamed")))
    # Another provider's model of the same name is another model.
    store.record(entry("r3", attempt("renamed", provider="groq")))

    outcome = told(run, "--snapshot", str(prices))

    assert outcome["prices"] == {REGISTRY_PRICE: 2}
    assert outcome["total"]["new_usd"] == "15"  # 7 + 7, and 1 that is kept
    assert outcome["kept"] == {"model_unknown": 1}


def test_a_name_that_means_another_model_now_has_the_price_of_the_old_one(
    here: Path, store: Store, prices: Path, run: Run
) -> None:
    (here / "router.yaml").write_text(
        "models: [{name: small, endpoint: openai, id: new, price: {input: 9, output: 9}}]"
    )
    store.record(entry("r1", attempt("small"), ids={"small": "big"}))

    assert told(run, "--snapshot", str(prices))["total"]["new_usd"] == "10"


def test_the_model_that_answered_is_asked_last(store: Store, prices: Path, run: Run) -> None:
    store.record(entry("r1", attempt("small", model_id="big")))
    store.record(entry("r2", attempt("small", model_id="other"), ids={"small": "big"}))

    assert told(run, "--snapshot", str(prices))["total"]["new_usd"] == "20"


def test_a_registry_file_can_be_the_snapshot(here: Path, store: Store, run: Run) -> None:
    (here / "router.yaml").write_text("models: [{name: small, endpoint: openai, id: x, price: {input: 1, output: 2}}]")
    (here / "old.yaml").write_text("models: [{name: small, endpoint: openai, id: x, price: {input: 5, output: 6}}]")
    store.record(entry("r1", attempt("small", price_version=REGISTRY_PRICE), ids={"small": "x"}))

    assert told(run)["total"]["new_usd"] == "3"
    outcome = told(run, "--snapshot", "old.yaml")
    assert outcome["total"]["new_usd"] == "11"
    assert next(iter(outcome["prices"])).startswith("old.yaml ")


def test_only_the_requests_of_a_time_are_computed(store: Store, prices: Path, run: Run) -> None:
    for name, at in (("r1", DAY - 1), ("r2", DAY), ("r3", DAY + 1)):
        store.record(entry(name, attempt(), ids={"small": "big"}, at=at))

    def counted(*args: str) -> int:
        return int(told(run, "--snapshot", str(prices), *args)["total"]["attempts"])

    assert counted("--since", "2026-03-04T12:00:00") == 2
    assert counted("--until", "2026-03-04T12:00:00") == 1
    assert counted("--since", "2026-03-05") == 0


def test_many_are_saved_while_they_are_read(store: Store, prices: Path, run: Run) -> None:
    for number in range(700):
        store.record(entry(f"r{number}", attempt(), attempt(), ids={"small": "big"}, at=DAY + number))

    assert told(run, "--snapshot", str(prices), "--save")["saved"] == 1_400
    assert all(each["repriced"] for row in store.entries() for each in row["attempts"])


def test_people_read_the_same(store: Store, prices: Path, run: Run) -> None:
    store.record(entry("r1", attempt("[b]small"), attempt("gone"), ids={"[b]small": "big", "gone": "gone"}))
    store.record(entry("r2", attempt("small", price_version=PROVIDER_PRICE), ids={"small": "big"}))

    shown = run("reprice", "--snapshot", str(prices), "--save").stdout

    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert rows["[b]small"] == ["1", "$1.00", "$10.00", "+$9.00"]
    assert rows["gone"] == ["1", "$1.00", "$0", "+", "1", "unknown", "-$1.00"]
    assert rows["total"] == ["3", "$3.00", "$11.00", "+", "1", "unknown", "+$8.00"]
    assert "1 had a cost and have none now" in shown
    assert "1 keep their cost: the provider reported what they cost." in shown
    assert "2 new costs are saved beside the old ones." in shown


def test_nothing_to_compute_is_said(store: Store, run: Run) -> None:
    assert "No model was called" in run("reprice").stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "names no provider"),
        ('[{"id": "openai"}]', "is no list of genai-prices"),
        ("[1]", "is no list of genai-prices"),
        ("models: []", "models"),
        ('{"models": 1}', "models"),
    ],
)
def test_a_file_that_is_no_price_list_is_refused(
    here: Path, store: Store, refused: Callable[..., str], content: str, says: str
) -> None:
    (here / "wrong.json").write_text(content)
    assert says in refused("reprice", "--snapshot", "wrong.json")


def test_a_file_and_a_ledger_must_be_there(here: Path, refused: Callable[..., str]) -> None:
    assert "there is no router.db" in refused("reprice")
    open_store(URL).close()
    assert "--snapshot: nowhere.json cannot be read" in refused("reprice", "--snapshot", "nowhere.json")
    assert "--as-of: 'soon' is no moment" in refused("reprice", "--as-of", "soon")


COSTS = st.one_of(st.none(), st.integers(0, 10**15))
TOKENS = st.integers(0, 10**9)
PRICES = st.decimals("0", "1000", places=6)


@given(
    booked=st.lists(st.tuples(st.sampled_from("abc"), COSTS, TOKENS, TOKENS), max_size=8),
    price=st.tuples(PRICES, PRICES),
)
def test_the_sums_are_those_of_the_attempts(
    booked: list[tuple[str, int | None, int, int]], price: tuple[Decimal, Decimal]
) -> None:
    own = Price(input=price[0], output=price[1])
    registry = Registry(
        tuple(Model(name=name, id=name, provider="openai", endpoint="openai", price=own) for name in "ab")
    )
    store = open_store("memory://")
    for number, (name, cost, tokens_in, tokens_out) in enumerate(booked):
        usage = Usage(input_tokens=tokens_in, output_tokens=tokens_out)
        store.record(entry(f"r{number}", attempt(name, usage=usage, cost_nano=cost)))
    asked = Asked(None, None, datetime(2026, 11, 25, tzinfo=UTC), None, None)

    outcome = _computed(store, PriceList("list", REGISTRY_PRICE, registry), asked, save=True)

    new = 0
    for name, cost, *tokens in booked:
        exact = (tokens[0] * price[0] + tokens[1] * price[1]) * 1000
        new += round(exact) if name != "c" and any(tokens) else cost or 0
    total = outcome.total
    assert total.old_nano == sum(cost or 0 for _, cost, *_ in booked)
    assert total.new_nano == new
    assert total.new_nano == sum(line.new_nano for line in outcome.models.values())
    assert total.new_unknown == total.old_unknown - total.became_known + total.became_unknown
    assert sum(outcome.kept.values()) + total.repriced == total.attempts == len(booked)
    assert set(outcome.kept) <= {Kept.NO_MODEL, Kept.UNUSED}
    saved = [each["repriced"] for row in store.entries() for each in row["attempts"] if each["repriced"]]
    assert len(saved) == outcome.saved == total.repriced


def test_tokens_of_every_kind_are_computed() -> None:
    usage = Usage(
        input_tokens=10,
        output_tokens=9,
        cache_read_tokens=4,
        cache_write_tokens=3,
        reasoning_tokens=2,
        input_audio_tokens=1,
        output_audio_tokens=1,
        estimated=True,
    )
    store = open_store("memory://")
    store.record(entry("r1", attempt(usage=usage)))
    [row] = store.entries()
    assert usage_of(row["attempts"][0]) == usage
