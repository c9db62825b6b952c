# /// script
# requires-python = ">=3.11"
# dependencies = ["cascadeflow", "langchain-core", "litellm==1.106.2", "router-core"]
#
# [tool.uv.sources]
# router-core = { path = "..", editable = true }
# ///
"""How long a decision takes: uv run benchmarks/decision.py (with peers) or uv run python benchmarks/decision.py.

Prints the median time of each policy's whole decision for prompts of three sizes, beside the rule classifiers of other
routers where they can be imported, and for longer texts the time per kilobyte. Nothing is asserted: a shared machine
decides too much of it. See README.md beside this file.
"""

from __future__ import annotations

import functools
import os
import statistics
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from router_core import Registry, Settings, Usage, features
from router_core.cascade import Rules, cascade
from router_core.constraints import Outlook
from router_core.drive import World, run
from router_core.effects import CallModel
from router_core.hosts.chat import ChatPayload
from router_core.latency import Observations
from router_core.policies import (
    Candidate,
    CheapestPolicy,
    Choice,
    ComplexityPolicy,
    DifficultyPolicy,
    LearnedPolicy,
    Policy,
    RandomPolicy,
    StaticPolicy,
)
from router_core.prices import PriceBook
from router_core.records import Reason
from router_core.tab import Tab
from router_core.testing import scripted_model
from router_core.types import ACCEPT, Model, Reply, RequestView, Turn, Verdict

ROUNDS = 31
BATCH_S = 0.005
"""A measurement is the median of so many rounds. In each round everything is called in turn for about so many seconds,
so that a busy moment of the machine falls on all alike."""

SHORT = "Which of these two train tickets is cheaper if I travel twice?"

MEDIUM = """We run a small online shop, and since last week the checkout page has been slow in the evening. Orders are
written to PostgreSQL by one service, and a second one sends the confirmation e-mail and updates the stock. The logs
show no errors, only long waits. Explain what the most likely cause is, which three measurements would confirm or rule
it out, and what we could change first without any downtime. Please keep the answer short, use plain words, and say
clearly where you are guessing rather than concluding."""

LONG = """You are helping the planning team of a mid-sized city library. Below are the notes of our last meeting,
taken in a hurry, and after them the questions that we would like you to answer.

Notes. The library has one main building in the centre and four branches. The main building opens six days a week, the
branches between three and five. Two of the branches share one team of librarians, who drive between them, and when
one of them falls ill the smaller branch stays closed for the day. Last year it was closed on thirty-one days without
notice. Readers complained, mostly parents who had come with children for the reading hour, and the local newspaper
wrote about it twice. The council has since promised that no branch will close without notice for more than ten days a
year.

Visits went down by about four percent in the main building and up by eleven percent in the branches. Nobody is sure
why. The driver thinks that it is the new bus line, which now stops in front of two of the branches. The caretaker
thinks that people come for the heating and the internet, because the number of loans did not change, while the number
of guests in the wireless network doubled. The treasurer pointed out that visits are counted by a light barrier at the
door, that the barriers in the branches were replaced in spring, and that the new ones may simply count better than
the old ones. We agreed that we do not know, and that somebody should count by hand for a week. This has not happened
yet.

Loans of printed books fell by six percent, loans of audio books fell by twenty, and loans of e-books rose by
nineteen. The licences for e-books are expensive: a popular novel costs us about three times as much as a printed copy
and expires after two years or fifty-two loans, whichever comes first. The budget for new media is fixed. If we go on
like this we will buy a third fewer printed books in three years, and the branches, which hold almost no reference
works, would feel it first. On the other hand, the waiting list for e-books is long, with an average of forty-three
days for new titles.

Opening hours are the other large question. A survey among readers, answered by nine hundred and twelve people, asks
for longer hours on Saturday and for at least one evening a week until nine. The survey was handed out at the desk of
the main building and could also be filled in on our web page. Staff would accept one long evening if it is paid as
the contract says, with a supplement of a quarter. Self-service opening without staff, as two neighbouring cities do
it, would need new doors, cameras and a card reader for each branch, at about forty thousand each, plus a guard who
makes a round at night. Their experience is good in one case and mixed in the other, where the branch was used as a
meeting place by teenagers until the council closed it again.

Finally, the reading hour. It takes place on Wednesday afternoon in the main building and in one branch, with about
fifteen children each time, and it is run by volunteers. Three of the five volunteers will stop in summer because they
move away or go back to work. The school next to the northern branch has offered to send pupils of the upper classes
who would read to the younger children as part of a social project. There are questions of supervision and of
insurance which nobody has looked into.

One more thing was said at the very end, when half of us were already standing: the coffee machine in the main
building brings in more than it costs, about three hundred a month, and the volunteers would like to spend that on
picture books. The treasurer doubts that this is allowed, because the income of the building belongs to the city and
not to the library.

Questions. Write for people who were not at the meeting, in plain words and in full sentences. Begin with a summary of
at most ten lines. Then say for each of the four topics what is known, what is only assumed, and what should be found
out before the council decides in March, and by whom. Where the notes contradict each other or leave something open,
say so instead of smoothing it over. Point out any number that cannot be right or that does not say what it seems to
say. After that suggest the two or three measures that you would put first, with what they would cost as far as the
notes allow an estimate, what they would bring, and what could go wrong. Close with the three questions that you
expect the council to ask, and a short honest answer to each of them. Please do not invent figures that are not in the
notes, and do not name any of the people in your text, as it will be published on our web page."""

PROMPTS = {"12 words": SHORT, "90 words": MEDIUM, "1,000 tokens": LONG}
ENGINE_TARGET_US = 20
TARGETS_US = {"12 words": 30, "90 words": 100, "1,000 tokens": 300}
SIZES = {"10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000}

Decide = Callable[[str], object]


class Row(NamedTuple):
    """A line of a table: a name and the microseconds for each text."""

    name: str
    times_us: Sequence[float]


def measured(deciders: Mapping[str, Decide], texts: Mapping[str, str]) -> list[Row]:
    """A row for each classifier: the median time of its call with each text."""
    timers = {
        (name, size): timeit.Timer(functools.partial(decide, text))
        for name, decide in deciders.items()
        for size, text in texts.items()
    }
    calls = {}
    for key, timer in timers.items():
        timer.timeit(1)  # the first call fills caches
        calls[key] = max(1, int(BATCH_S / timer.timeit(1)))
    times: dict[tuple[str, str], list[float]] = {key: [] for key in timers}
    for _ in range(ROUNDS):
        for key, timer in timers.items():
            times[key].append(timer.timeit(calls[key]) / calls[key] * 1e6)
    return [Row(name, [statistics.median(times[name, size]) for size in texts]) for name in deciders]


# ---------------------------------------------------------------------------------------------------------- ours
def ours() -> dict[str, Decide]:
    """The decisions of our policies between three models, from the request to the explained choice."""
    candidates = [
        Candidate(model=Model(name=name, id=name, provider="none", endpoint="none", quality=quality), cost_nano=cost)
        for name, quality, cost in (("weak", 0.6, 1_000), ("middle", 0.7, 4_000), ("strong", 0.85, 30_000))
    ]

    def decision(policy: Policy) -> Decide:
        return lambda text: policy.decide(RequestView(turns=(Turn("user", text),), input_bytes=0), candidates)

    policies: tuple[Policy, ...] = (
        DifficultyPolicy(),
        ComplexityPolicy(),
        LearnedPolicy(),
        StaticPolicy(),
        CheapestPolicy(),
        RandomPolicy(),
    )
    return {policy.name: decision(policy) for policy in policies}


class _Canned:
    """A host that has its replies ready: what is measured beside it is the router's own."""

    def __init__(self, replies: Mapping[str, Reply]) -> None:
        self._replies = replies

    def call(self, effect: CallModel, _payload: ChatPayload) -> Reply:
        return self._replies[effect.model.name]


class _Ready:
    """A policy that has chosen already."""

    name = "ready"
    choice = Choice(start="weak", reason=Reason.STATIC)

    def decide(self, _request: RequestView, _candidates: Sequence[Candidate]) -> Choice:
        return self.choice


class _NotWeak:
    """A verifier that needs no time."""

    name = "not_weak"
    judges_prefix = False
    rejected = Verdict(accepted=False, code="weak")

    def check(self, _request: RequestView, reply: Reply) -> Verdict:
        return self.rejected if reply.text == "weak" else ACCEPT


def engine_and_driver() -> dict[str, Decide]:
    """Whole requests with two models, but for the policy's reading of the text: constraints, cascade, driver, receipt.

    The policy, the verifier and the host answer at once. The draft of the weak model is accepted, or rejected so that
    the strong one is asked too.
    """
    models = [scripted_model("weak", input_usd="0.1", output_usd="0.4"), scripted_model("strong", input_usd="2")]
    usage = Usage(input_tokens=20, output_tokens=10)

    def request(weak: str) -> Decide:
        host: Any = _Canned({"weak": Reply(text=weak, usage=usage), "strong": Reply(text="strong", usage=usage)})
        outlook = Outlook(PriceBook(lambda: datetime.now(UTC)), Observations(), Settings())
        rules = Rules(Registry.of(models), _Ready(), (_NotWeak(),), outlook)
        world = World(host, ChatPayload(messages=()), time.perf_counter)

        view = RequestView(turns=(Turn("user", SHORT),), input_bytes=len(SHORT))

        def whole(_text: str) -> object:
            tab = Tab(view, outlook)
            return run(cascade(rules, tab), tab, world)

        return whole

    return {
        "engine and driver, draft accepted": request("fine"),
        "engine and driver, draft rejected": request("weak"),
    }


# --------------------------------------------------------------------------------------------------------- peers
def peers() -> dict[str, Decide]:
    """The rule classifiers of other routers that can be imported here."""
    # Otherwise litellm, which cascadeflow imports too, fetches its price list from the network.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    found: dict[str, Decide] = {}
    for load in (_litellm, _cascadeflow_langchain, _cascadeflow_quality):
        try:
            name, decide = load()
        except ImportError as error:
            print(f"left out, cannot be imported: {load.__name__[1:]} ({error})")
        else:
            found[name] = decide
    return found


def _litellm() -> tuple[str, Decide]:
    from litellm import Router  # noqa: PLC0415
    from litellm.router_strategy.complexity_router.complexity_router import ComplexityRouter  # noqa: PLC0415

    router = Router(model_list=[])
    return "litellm ComplexityRouter.classify", ComplexityRouter("auto", router).classify


def _cascadeflow_langchain() -> tuple[str, Decide]:
    from cascadeflow.integrations.langchain.complexity import ComplexityDetector  # noqa: PLC0415

    return "cascadeflow langchain ComplexityDetector", ComplexityDetector().detect


def _cascadeflow_quality() -> tuple[str, Decide]:
    from cascadeflow.quality.complexity import ComplexityDetector  # noqa: PLC0415

    return "cascadeflow quality ComplexityDetector", ComplexityDetector().detect


# -------------------------------------------------------------------------------------------------------- tables
def print_decisions(rows: Sequence[Row]) -> None:
    """Microseconds for each prompt, and how many times the first row's they are."""
    base = rows[0].times_us
    print(f"\n{'median us':42}" + "".join(f"{name:>20}" for name in PROMPTS))
    for row in rows:
        cells = (f"{time:,.1f} ({time / first:,.1f}x)" for time, first in zip(row.times_us, base, strict=True))
        print(f"{row.name:42}" + "".join(f"{cell:>20}" for cell in cells))
    print(f"{'target for ours, at most':42}" + "".join(f"{target:>20}" for target in TARGETS_US.values()))


def print_linearity(rows: Sequence[Row]) -> None:
    """Microseconds per kilobyte, which stay the same where time is linear."""
    print(f"\n{'median us per KB':42}" + "".join(f"{name:>20}" for name in SIZES))
    for row in rows:
        cells = (time / size * 1000 for time, size in zip(row.times_us, SIZES.values(), strict=True))
        print(f"{row.name:42}" + "".join(f"{cell:>20.2f}" for cell in cells))


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    features.scan("")
    print(f"first scan of the process (makes the index of terms): {(time.perf_counter() - began) * 1000:.1f} ms")
    policies = ours()
    others = peers()
    print_decisions(measured(policies | others, PROMPTS))
    long_texts = {name: (LONG * (size // len(LONG) + 1))[:size] for name, size in SIZES.items()}
    print_linearity(measured({name: policies[name] for name in ("difficulty", "complexity", "learned")}, long_texts))
    print(f"\n{'median us, two models':42}")
    for row in measured(engine_and_driver(), {"12 words": SHORT}):
        print(f"{row.name:42}{row.times_us[0]:>20,.1f}")
    print(f"{'target, at most':42}{ENGINE_TARGET_US:>20}")


if __name__ == "__main__":
    main()
