"""A budget that asks, within LangGraph: the graph stops before any model is called, and goes on as it is answered."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest

pytest.importorskip("langgraph", reason="langgraph is not installed; run: uv sync --group langchain")

from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.runnables.config import set_config_context
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command

from langchain_router import ChatRouter, RouterMiddleware, get_router_callback
from router_core import Budget, Ledger, Registry
from router_core.errors import BudgetExceeded
from router_core.policies import StaticPolicy
from router_core.stores import Store, open_store
from router_core.testing import scripted_model
from tests.langchain.scripted import GOOD, IDK, Scripted, knows

ASK = "What is the capital of France?"
STATE: Any = {"messages": [("user", ASK)]}
THREAD: Any = {"configurable": {"thread_id": "t1"}}


class Scene(NamedTuple):
    """A router whose budget is spent from the first, and asks."""

    llm: ChatRouter
    models: Sequence[Scripted]
    store: Store
    options: dict[str, Any]

    def rows(self) -> list[tuple[str, int]]:
        """Each receipt, oldest first: its outcome and its attempts."""
        rows = sorted(self.store.entries(), key=lambda row: row["at_us"])
        return [(row["outcome"], len(row["attempts"])) for row in rows]

    def held(self) -> int:
        return sum(each.held for each in self.store.standings())

    def spent(self) -> int:
        return sum(each.spent for each in self.store.standings())

    def served(self) -> list[int]:
        return [len(model.served) for model in self.models]


def scene(ask: Any = None, **about: Any) -> Scene:
    models = [Scripted(model_id="weak", says=IDK), Scripted(model_id="strong", says=GOOD)]
    registry = Registry.of(
        [
            scripted_model("weak", input_usd="1", output_usd="2"),
            scripted_model("strong", input_usd="10", output_usd="20"),
        ]
    )
    store = open_store("memory://")
    budget = Budget(name="daily", limit_usd="0.000001", per="day", **{"on_exceeded": "ask", **about})
    options = {
        "registry": registry,
        "ledger": Ledger(store, budgets=[budget], ask=ask),
        "verifiers": [knows],
        "policy": StaticPolicy(),
    }
    return Scene(ChatRouter(models=models, max_tokens=50, **options), models, store, options)


def node(made: Scene) -> Any:
    """A graph of one node that asks the router."""

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [made.llm.invoke(state["messages"])]}

    async def aask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await made.llm.ainvoke(state["messages"])]}

    return graph(RunnableLambda(ask, aask))


def streaming(made: Scene) -> Any:
    """A graph of one node that streams the router's answer."""

    def ask(state: MessagesState) -> dict[str, Any]:
        chunks = list(made.llm.stream(state["messages"]))
        return {"messages": [chunks[0] + chunks[1:]]}

    async def aask(state: MessagesState) -> dict[str, Any]:
        chunks = [chunk async for chunk in made.llm.astream(state["messages"])]
        return {"messages": [chunks[0] + chunks[1:]]}

    return graph(RunnableLambda(ask, aask))


def graph(ask: Any, *, keeps: bool = True) -> Any:
    built = StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    return built.compile(checkpointer=InMemorySaver() if keeps else None)


def nested(made: Scene) -> Any:
    """A graph whose node is another graph."""
    inner = graph(lambda state: {"messages": [made.llm.invoke(state["messages"])]}, keeps=False)
    return graph(inner)


def agent(made: Scene) -> Any:
    """An agent whose retries and fallbacks leave the interrupt alone."""
    middleware = [ModelRetryMiddleware(), ModelFallbackMiddleware(Scripted(model_id="other", says="No."))]
    return create_agent(made.llm, middleware=middleware, checkpointer=InMemorySaver())


def middleware(made: Scene) -> Any:
    """An agent with a model of its own and the router below it."""
    weak, strong = made.models
    below = RouterMiddleware([weak], max_tokens=50, **made.options)
    return create_agent(strong, middleware=[below], checkpointer=InMemorySaver())


Run = Callable[[Any, Any], Awaitable[Any]]


async def sync(app: Any, given: Any) -> Any:
    return app.invoke(given, THREAD)


async def asynchronous(app: Any, given: Any) -> Any:
    return await app.ainvoke(given, THREAD)


APPS = [node, streaming, nested, agent, middleware]
RUNS = [sync, asynchronous]
everywhere = pytest.mark.parametrize("app_of", APPS, ids=lambda each: each.__name__)
both = pytest.mark.parametrize("run", RUNS, ids=lambda each: each.__name__)


@both
@everywhere
async def test_the_graph_stops_before_any_model_is_called(app_of: Any, run: Run) -> None:
    made = scene()

    stopped = await run(app_of(made), STATE)

    (interrupt,) = stopped["__interrupt__"]
    asked = json.loads(json.dumps(interrupt.value))
    (purse,) = asked["purses"]
    assert (asked["type"], purse["budget"], purse["unit"]) == ("router.budget", "daily", "usd")
    assert (purse["limit"], purse["spent"], purse["held"]) == ("0.000001", "0", "0")
    assert float(purse["needed"]) > float(purse["limit"])
    assert purse["resets"].startswith("20")
    assert purse["resets"] in asked["message"]
    assert (made.rows(), made.held(), made.served()) == ([("cancelled", 0)], 0, [0, 0])


@both
@everywhere
async def test_yes_goes_on_beyond_the_limit(app_of: Any, run: Run) -> None:
    made = scene()
    app = app_of(made)
    await run(app, STATE)

    ended = await run(app, Command(resume=True))

    assert ended["messages"][-1].text == GOOD
    assert "__interrupt__" not in ended
    assert (made.rows(), made.held(), made.served()) == ([("cancelled", 0), ("answered", 2)], 0, [1, 1])
    assert made.spent() == sum(row["cost_nano"] for row in made.store.entries()) > 1_000


@both
@everywhere
@pytest.mark.parametrize("answer", [False, "no", {"go": "on"}], ids=str)
async def test_all_but_yes_refuses(app_of: Any, run: Run, answer: Any) -> None:
    made = scene()
    app = app_of(made)
    await run(app, STATE)

    if app_of is agent:
        # Its fallback answers, as for every error but the interrupt itself.
        assert (await run(app, Command(resume=answer)))["messages"][-1].text == "No."
    else:
        with pytest.raises(BudgetExceeded, match="daily"):
            await run(app, Command(resume=answer))

    assert {outcome for outcome, _ in made.rows()[1:]} == {"refused"}
    assert (made.spent(), made.held(), made.served()) == (0, 0, [0, 0])


@both
async def test_what_fits_by_now_is_not_asked_for_again(run: Run) -> None:
    made = scene()
    app = node(made)
    await run(app, STATE)
    made.store.save_budget("daily", {"limit_usd": "1", "per": "day", "on_exceeded": "ask"})

    ended = await run(app, Command(resume=False))

    assert ended["messages"][-1].text == GOOD


async def test_the_functional_way_is_asked_too() -> None:
    made = scene()

    @task
    async def ask(text: str) -> str:
        return (await made.llm.ainvoke(text)).text

    @entrypoint(checkpointer=InMemorySaver())
    async def app(text: str) -> str:
        return await ask(text)

    stopped = await asynchronous(app, ASK)
    ended = await asynchronous(app, Command(resume=True))

    assert stopped["__interrupt__"][0].value["type"] == "router.budget"
    assert ended == GOOD


@both
async def test_a_graph_without_a_checkpointer_cannot_go_on_and_is_refused(run: Run) -> None:
    made = scene()

    with pytest.raises(BudgetExceeded):
        await run(graph(lambda state: {"messages": [made.llm.invoke(state["messages"])]}, keeps=False), STATE)

    assert made.rows() == [("refused", 0)]


async def test_outside_a_graph_a_budget_that_asks_refuses() -> None:
    made = scene()

    with pytest.raises(BudgetExceeded):
        made.llm.invoke(ASK)
    with pytest.raises(BudgetExceeded):
        await made.llm.ainvoke(ASK)

    assert made.rows() == [("refused", 0)] * 2


@both
@pytest.mark.parametrize("allows", [True, False])
async def test_the_ledgers_own_answer_comes_first(run: Run, *, allows: bool) -> None:
    made = scene(ask=lambda _: allows)

    if allows:
        assert (await run(node(made), STATE))["messages"][-1].text == GOOD
    else:
        with pytest.raises(BudgetExceeded):
            await run(node(made), STATE)


@both
async def test_a_budget_that_stops_asks_nobody(run: Run) -> None:
    made = scene(on_exceeded="stop")

    with pytest.raises(BudgetExceeded):
        await run(node(made), STATE)


async def test_the_config_knows_the_graph_where_the_context_does_not() -> None:
    made = scene()

    def ask(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        with set_config_context({}) as empty:
            return {"messages": [empty.run(made.llm.invoke, state["messages"], config)]}

    app = graph(ask)

    assert "__interrupt__" in app.invoke(STATE, THREAD)
    assert app.invoke(Command(resume=True), THREAD)["messages"][-1].text == GOOD


@both
async def test_a_handler_books_the_pause_as_a_cancelled_request(run: Run) -> None:
    made = scene()
    app = node(made)

    with get_router_callback() as routed:
        await run(app, STATE)
        paused = (routed.calls[0].receipt.outcome, routed.total.attempts, routed.budgets)
        await run(app, Command(resume=True))

    assert paused == ("cancelled", 0, ())
    assert (routed.total.requests, routed.total.answered, routed.total.attempts) == (2, 1, 2)
