"""What the user asked, told apart from the documents that a prompt packs around it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain", reason="langchain is not installed; run: uv sync --group langchain")

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

from langchain_router import ChatRouter, get_router_callback
from router_core import InvalidRequest
from router_core.types import Turn
from tests.langchain.saying import Scripted

ASKED = "What is the capital of France?"
DOCUMENT = """\
Prove that the following algorithm terminates, and analyse its amortized complexity step by step:
```python
def f(graph: dict[str, list[str]]) -> list[str]:
    return sorted(graph, key=lambda node: (len(graph[node]), node))
```
Derive the recurrence, compare the trade-offs of both data structures, and explain why the invariant holds.
"""
PROMPT = ChatPromptTemplate.from_messages(
    [("system", "Answer from the documents."), ("human", "Documents:\n{context}\n\nQuestion: {question}\nAnswer:")]
)
GIVEN = {"question": ASKED, "context": DOCUMENT * 3}
TOLD = {"configurable": {"question": ASKED}}


def llm(**options: Any) -> tuple[ChatRouter, list[Scripted]]:
    models = [Scripted(model_name="weak"), Scripted(model_name="strong")]
    return ChatRouter(models=models, **options), models


def start_of(run: Any) -> str:
    """The model that a call started with."""
    with get_router_callback() as routed:
        run()
    return routed.calls[0].receipt.decision.start


class Spy:
    """A verifier that keeps what rules see."""

    name = "spy"
    judges_prefix = False

    def __init__(self) -> None:
        self.turns: tuple[Turn, ...] = ()

    def check(self, request: Any, reply: Any) -> Any:
        from router_core.types import ACCEPT

        self.turns = request.turns
        return ACCEPT


def test_the_documents_of_a_prompt_are_judged_as_asked_unless_the_question_is_told_apart() -> None:
    router, _ = llm()
    chain = PROMPT | router | StrOutputParser()

    assert start_of(lambda: router.invoke(ASKED)) == "scripted:weak"
    assert start_of(lambda: chain.invoke(GIVEN)) == "scripted:strong"
    assert start_of(lambda: chain.invoke(GIVEN, TOLD)) == "scripted:weak"


WAYS: dict[str, Any] = {
    "config": lambda router: (PROMPT | router).invoke(GIVEN, TOLD),
    "bound": lambda router: (PROMPT | router.bind(question=ASKED)).invoke(GIVEN),
    "argument": lambda router: router.invoke(PROMPT.invoke(GIVEN), question=ASKED),
    "stream": lambda router: list((PROMPT | router).stream(GIVEN, TOLD)),
    "batch": lambda router: (PROMPT | router).batch([GIVEN], TOLD),
    "a chain that retrieves": lambda router: (
        {"question": RunnablePassthrough(), "context": lambda _: DOCUMENT * 3} | PROMPT | router
    ).invoke(ASKED, TOLD),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_model_is_sent_the_whole_prompt_and_rules_see_who_said_what(way: Any) -> None:
    spy = Spy()
    router, (weak, _) = llm(verifiers=[spy])

    way(router)

    (asked,) = weak.asked
    assert [message.text for message in asked["messages"]] == [each.text for each in PROMPT.invoke(GIVEN).messages]
    assert "question" not in asked
    assert [turn.role for turn in spy.turns] == ["system", "system", "system", "user"]
    assert [turn.text for turn in spy.turns if turn.role == "user"] == [ASKED]
    assert spy.turns[1].text == f"Documents:\n{DOCUMENT * 3}\n\nQuestion: "


async def test_an_agent_hands_it_on() -> None:
    spy = Spy()
    router, _ = llm(verifiers=[spy])
    agent = create_agent(router)

    state: Any = {"messages": [HumanMessage(f"{DOCUMENT}\n{ASKED}")]}
    await agent.ainvoke(state, TOLD)

    assert [turn.text for turn in spy.turns if turn.role == "user"] == [ASKED]


def test_only_what_the_user_said_is_looked_at_the_last_turn_first() -> None:
    spy = Spy()
    router, _ = llm(verifiers=[spy])
    said = [
        HumanMessage(f"1. {ASKED}"),
        AIMessage(f"You ask: {ASKED}"),
        HumanMessage(f"2. {ASKED}"),
        SystemMessage(f"Mind: {ASKED}"),
    ]

    router.invoke(said, question=ASKED)

    assert spy.turns == (
        Turn("user", f"1. {ASKED}"),
        Turn("assistant", f"You ask: {ASKED}"),
        Turn("system", "2. "),
        Turn("user", ASKED),
        Turn("system", f"Mind: {ASKED}"),
    )


def test_of_a_prompt_that_holds_it_twice_the_end_is_the_question() -> None:
    spy = Spy()
    router, _ = llm(verifiers=[spy])

    router.invoke(f"A document that asks {ASKED} too.\n\nQuestion: {ASKED}", question=ASKED)

    assert spy.turns == (Turn("system", f"A document that asks {ASKED} too.\n\nQuestion: "), Turn("user", ASKED))


def test_a_question_that_nobody_asked_changes_nothing() -> None:
    spy = Spy()
    router, _ = llm(verifiers=[spy])

    router.invoke(DOCUMENT, question=ASKED)

    assert spy.turns == (Turn("user", DOCUMENT),)


@pytest.mark.parametrize("given", [" ", "", 3, [ASKED]], ids=repr)
def test_what_is_no_question_is_refused(given: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"question: .* is no text; give what the user asked"):
        llm()[0].invoke(ASKED, {"configurable": {"question": given}})
