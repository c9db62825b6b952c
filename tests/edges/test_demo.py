"""The demo: what it shows comes from receipts, its files are whole and need nothing else, and it fails politely."""

from __future__ import annotations

import io
import json
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from router_core import Model, Router
from router_core.demo import run_demo
from router_core.demo.chart import SIZE
from router_core.demo.findings import findings, headline
from router_core.demo.offline import play_offline
from router_core.demo.script import MODELS, load_prompts
from router_core.demo.tally import RANDOM, ROUTED, Report
from router_core.errors import RouterError
from router_core.testing import Broken, ScriptedHost, scripted_model
from router_core.types import FailureKind

MATPLOTLIB = ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg")


@dataclass
class Ran:
    code: int
    said: str
    out: Path

    @property
    def figures(self) -> dict[str, Any]:
        return json.loads((self.out / "demo.json").read_text("utf-8"))

    @property
    def page(self) -> str:
        return (self.out / "demo.html").read_text("utf-8")


def run(out: Path, *, live: bool = False, config: Path | None = None, width: int = 100) -> Ran:
    console = Console(file=io.StringIO(), width=width)
    code = run_demo(live=live, out=out, config=config, console=console)
    return Ran(code, console.file.getvalue(), out)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("demo") / "new" / "folder")


@pytest.fixture(scope="module")
def report() -> Report:
    return play_offline(load_prompts(), lambda: None)


@pytest.fixture
def few_deals(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that do not look at the comparison."""
    monkeypatch.setattr("router_core.demo.offline.DEALS", 1)


# -------------------------------------------------------------------------------------------------------------- prompts


def test_prompts_are_many_and_mixed() -> None:
    prompts = load_prompts()

    assert len(prompts) >= 72
    assert len({prompt.id for prompt in prompts}) == len(prompts)
    assert len({prompt.turns for prompt in prompts}) == len(prompts)
    tasks = Counter(prompt.task for prompt in prompts)
    assert len(tasks) == 7
    assert min(tasks.values()) >= 10
    languages = Counter(prompt.language for prompt in prompts)
    assert set(languages) == {"en", "es"}
    assert languages["es"] >= 24
    assert {prompt.difficulty for prompt in prompts} == {"easy", "medium", "hard"}
    assert sum(len(prompt.turns) > 1 for prompt in prompts) >= 3
    assert sum("schema" in prompt.options for prompt in prompts) >= 2
    assert sum("tools" in prompt.options for prompt in prompts) >= 2


def test_prompts_hold_known_fields_only() -> None:
    entries = json.loads(files("router_core.demo").joinpath("prompts.json").read_text("utf-8"))
    required = {"id", "task", "language", "difficulty", "messages", "answers"}
    for entry in entries:
        assert required <= set(entry) <= required | {"schema", "tools", "tool_choice"}, entry["id"]
        assert set(entry["answers"]) == {"small", "medium", "large"}, entry["id"]
        for answer in entry["answers"].values():
            assert set(answer) <= {"text", "tool", "fails", "finish_reason", "fault"}, entry["id"]
            assert ("text" in answer) != ("fails" in answer), entry["id"]


def test_marks_fit_the_sizes_of_the_models() -> None:
    bad = {m.name: [p for p in load_prompts() if p.answers[m.name].fault is not None] for m in MODELS}
    small, medium, large = (bad[model.name] for model in MODELS)

    assert all(model.name.startswith("scripted:") for model in MODELS)
    assert large == []
    assert 0 < len(medium) < len(small)
    hard = sum(prompt.difficulty == "hard" for prompt in small)
    easy = sum(prompt.difficulty == "easy" for prompt in small)
    assert hard > easy > 0


# -------------------------------------------------------------------------------------------------------------- figures


def test_offline_run_succeeds_and_tells_where_its_files_are(ran: Ran) -> None:
    assert ran.code == 0
    for name in ("demo.html", "demo.png", "demo.json"):
        assert (ran.out / name).is_file()
        assert f"wrote {(ran.out / name).resolve()}" in ran.said
    assert sorted(path.name for path in ran.out.iterdir()) == ["demo.html", "demo.json", "demo.png"]


def test_totals_are_the_sums_of_the_receipts(ran: Ran) -> None:
    figures = ran.figures
    receipts = [prompt["receipt"] for prompt in figures["prompts"]]
    attempts = [attempt for receipt in receipts for attempt in receipt["attempts"]]
    totals = figures["totals"]

    assert totals["requests"] == len(receipts) == len(load_prompts())
    assert Decimal(totals["cost_usd"]) == sum(Decimal(receipt["cost_usd"]) for receipt in receipts)
    assert Decimal(totals["cost_usd"]) == sum(Decimal(attempt["cost_usd"]) for attempt in attempts)
    assert totals["input_tokens"] == sum(receipt["input_tokens"] for receipt in receipts)
    assert totals["output_tokens"] == sum(receipt["output_tokens"] for receipt in receipts)
    assert totals["calls"] == len(attempts)
    assert totals["good"] == sum(prompt["good"] for prompt in figures["prompts"])
    answered = Counter(receipt["model"] for receipt in receipts)
    assert {model: sum(ways.values()) for model, ways in totals["ways"].items()} == answered
    rejected = Counter(attempt["code"] for attempt in attempts if attempt["outcome"] == "rejected")
    assert totals["escalations"] == rejected


def test_prompts_escalate_for_several_reasons_and_fall_back(ran: Ran) -> None:
    totals = ran.figures["totals"]

    expected = {"abstention", "empty", "refusal", "schema", "tool_arguments", "tools_missing", "truncation"}
    assert len(expected & set(totals["escalations"])) >= 5
    assert sum(totals["fallbacks"].values()) >= 1
    for code in totals["escalations"]:
        assert code in ran.said


def test_other_ways_are_receipts_too(report: Report) -> None:
    by_label = {row.label: row for row in report.rows}
    strongest, weakest = by_label["always the strongest"].runs[0], by_label["always the weakest"].runs[0]

    assert set(strongest.ways) == {MODELS[-1].name}
    assert set(weakest.ways) == {MODELS[0].name}
    assert report.baseline_nano == strongest.cost_nano
    assert strongest.good == strongest.answered == len(load_prompts())
    # Two prompts fail on the small model, which has nobody to fall back to here: asked twice, never answered.
    assert weakest.answered == weakest.requests - 2
    assert weakest.calls == weakest.requests + 2
    assert by_label[ROUTED].runs == (report.totals,)


def test_random_starts_are_the_routers_own_starts(report: Report) -> None:
    chance = next(row for row in report.rows if row.label == RANDOM)

    # Whatever is rejected on the way, as many requests start with the strongest model in each deal.
    own = Counter(outcome.receipt.attempts[0].model for outcome in report.routed)
    for deal in chance.runs:
        assert deal.ways[MODELS[-1].name]["custom"] == own[MODELS[-1].name]
    assert len({deal.cost_nano for deal in chance.runs}) > 1


def test_demo_says_when_the_choice_is_no_better_than_chance(report: Report) -> None:
    perfect = replace(report.totals, good=report.totals.requests)
    hopeless = replace(report.totals, good=0)

    def said(deal: object) -> str:
        rows = tuple(replace(row, runs=(deal,) * 50) if row.label == RANDOM else row for row in report.rows)
        return " ".join(findings(replace(report, rows=rows)))

    assert "not clearly better than chance" in said(perfect)
    assert "not clearly better than chance" not in said(hopeless)


def test_headline_says_dearer_where_it_is(report: Report) -> None:
    assert "cheaper" in headline(report)
    assert "dearer" in headline(replace(report, baseline_nano=1))


@pytest.mark.usefixtures("few_deals")
@pytest.mark.parametrize("width", [80, 100, 160])
def test_screen_fits_its_width_and_cuts_no_figure(tmp_path: Path, width: int) -> None:
    ran = run(tmp_path, width=width)

    table = ran.said.split("All prompts, routed in other ways")[0].splitlines()
    assert max(len(line.rstrip()) for line in table) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in ran.said
    for prompt in load_prompts():
        assert any(line.strip().startswith(f"{prompt.id} ") for line in table), prompt.id


# ---------------------------------------------------------------------------------------------------------------- files


class Page(HTMLParser):
    """Elements, what they load, and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.loads: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.loads += [value or "" for name, value in attrs if name in {"src", "srcset", "href", "data", "action"}]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_page_is_self_contained(ran: Ran) -> None:
    page = Page(ran.page)

    assert not page.tags.keys() & {"script", "link", "iframe", "object", "embed", "base"}
    assert page.loads
    assert all(load.startswith("data:image/png;base64,") for load in page.loads)
    assert "url(" not in ran.page
    assert "@import" not in ran.page


def test_page_shows_every_prompt_as_text(ran: Ran) -> None:
    page = Page(ran.page)
    text = "".join(page.texts)

    assert page.tags["details"] == len(load_prompts())
    for prompt in load_prompts():
        for _, said in prompt.turns:
            assert said.strip() in text, prompt.id
    assert "<script>alert(1)</script>" in text
    assert "prefers-color-scheme: dark" in ran.page
    assert "not a promise" in text.replace("\n", " ")


def test_page_shows_rejected_drafts_beside_their_reasons(ran: Ran) -> None:
    text = "".join(Page(ran.page).texts)

    assert "I have recorded the delivery of pallet 7731" in text
    assert "scripted:small: tools_missing" in text


def test_chart_is_a_picture_of_the_promised_size(ran: Ran) -> None:
    data = (ran.out / "demo.png").read_bytes()

    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == SIZE
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(data))
    assert len({tuple(pixel) for row in pixels[::10] for pixel in row[::10]}) > 5


@pytest.mark.usefixtures("few_deals")
def test_without_matplotlib_it_says_so_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in MATPLOTLIB:
        monkeypatch.setitem(sys.modules, name, None)

    ran = run(tmp_path)

    assert ran.code == 0
    assert "pip install 'router-core[charts]'" in ran.said
    assert not (tmp_path / "demo.png").exists()
    page = Page(ran.page)
    assert "img" not in page.tags
    assert "always the strongest" in "".join(page.texts)


@pytest.mark.parametrize("under", ["", "folder"])
def test_out_that_is_no_folder_is_refused_before_anything_runs(tmp_path: Path, under: str) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("mine")

    ran = run(blocked / under)

    assert ran.code == 2
    assert "error: out:" in ran.said
    assert "--out" in ran.said
    assert "routed" not in ran.said
    assert blocked.read_text() == "mine"


@pytest.mark.usefixtures("few_deals")
def test_file_that_cannot_be_replaced_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "demo.html" / "something").mkdir(parents=True)

    ran = run(tmp_path)

    assert ran.code == 2
    assert "demo.html cannot be written" in ran.said
    assert [path.name for path in tmp_path.iterdir()] == ["demo.html"]


@pytest.mark.usefixtures("few_deals")
def test_config_without_live_is_said_to_be_unused(tmp_path: Path) -> None:
    ran = run(tmp_path, config=Path("router.yaml"))

    assert ran.code == 0
    assert "router.yaml is not read" in ran.said


# ----------------------------------------------------------------------------------------------------------------- live


def live(
    monkeypatch: pytest.MonkeyPatch, out: Path, host: ScriptedHost, models: Sequence[Model], *, typed: str | None
) -> Ran:
    def read() -> str:
        if typed is None:
            raise EOFError
        return typed

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr("router_core.demo.run.find_router", lambda *_: Router(models, host=host))
    return run(out, live=True)


def test_live_sends_as_many_prompts_as_the_user_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = ScriptedHost(lambda _effect, _payload: "An answer of a live model.")
    models = [scripted_model("near", input_usd="0.1", output_usd="0.4"), scripted_model("far", input_usd="2")]

    ran = live(monkeypatch, tmp_path, host, models, typed="4")

    assert ran.code == 0
    assert ran.figures["totals"]["requests"] == 4
    assert len({prompt["id"].split("-")[0] for prompt in ran.figures["prompts"]}) > 1
    assert {prompt["good"] for prompt in ran.figures["prompts"]} == {None}
    assert "estimate" in ran.said
    assert "scripted" not in ran.said
    assert "An answer of a live model." in ran.page
    assert (tmp_path / "demo.png").is_file()


def test_live_with_nobody_to_ask_sends_few_and_knows_no_cost_without_a_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = ScriptedHost(lambda _effect, _payload: "Yes.")

    ran = live(monkeypatch, tmp_path, host, [replace(scripted_model("only"), price=None)], typed=None)

    assert ran.code == 0
    assert ran.figures["totals"]["requests"] == 10
    assert ran.figures["totals"]["cost_usd"] is None
    assert "unknown" in ran.said


def test_live_without_any_answer_fails_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = ScriptedHost(lambda _effect, _payload: Broken(FailureKind.AUTH))

    ran = live(monkeypatch, tmp_path, host, [scripted_model("only")], typed="2")

    assert ran.code == 1
    assert "2 requests got no answer" in ran.said
    assert "only: auth" in ran.said
    assert "verifiers rejected" not in ran.said
    assert "no answer" in ran.page


def test_live_with_nothing_found_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")  # nobody listens there

    ran = run(tmp_path, live=True)

    assert ran.code == 2
    assert "OPENAI_API_KEY" in ran.said
    assert "--config" in ran.said
    assert list(tmp_path.iterdir()) == []


def test_live_reads_the_registry_file(tmp_path: Path) -> None:
    missing = tmp_path / "router.yaml"

    ran = run(tmp_path / "out", live=True, config=missing)

    assert ran.code == 2
    assert "router.yaml" in ran.said.replace("\n", "")


def test_error_before_a_request_begins_is_not_swallowed(report: Report) -> None:
    # A prompt that the router refuses is our mistake, not an outcome of the demo.
    broken = replace(report.routed[0].prompt, messages="")
    with pytest.raises(RouterError, match="prompt is empty"):
        play_offline([broken], lambda: None)
