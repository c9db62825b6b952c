"""The router's own face: what it takes, what it hands out, and how it refuses what it cannot use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from router_core import (
    ConfigError,
    Constraints,
    InvalidRequest,
    Model,
    NoFeasibleModel,
    Price,
    Registry,
    Router,
    RouterError,
    Verdict,
)
from router_core.effects import CallModel
from router_core.events import Event
from router_core.hosts.chat import ChatPayload
from router_core.policies import StaticPolicy
from router_core.testing import EventLog, FakeClock, ScriptedHost, forbid_model_calls, scripted_model
from router_core.types import Reply, ToolCall

WEAK = scripted_model("weak", input_usd="1", output_usd="2", quality=0.6, context_window=8_000)
STRONG = scripted_model("strong", input_usd="10", output_usd="20", quality=0.9, context_window=128_000)


def router(said: Any = "Paris.", **options: Any) -> Router:
    host = said if isinstance(said, ScriptedHost) else ScriptedHost(lambda _effect, _payload: said)
    return Router([WEAK, STRONG], host=host, **options)


class TestWhatIsHandedOut:
    def test_an_answer_tells_its_model_cost_and_receipt(self) -> None:
        answer = router().complete("What is the capital of France?")
        assert (answer.text, answer.model, answer.verified) == ("Paris.", "weak", True)
        assert isinstance(answer.cost_usd, Decimal)
        assert answer.receipt.decision is not None
        assert answer.receipt.decision.policy == "difficulty"

    def test_a_summary_is_json_and_holds_no_text(self) -> None:
        import json

        answer = router("the secret answer").complete("the secret question", session="s", tags=["t"])
        summary = json.dumps(answer.receipt.summary())
        assert "secret" not in summary
        assert json.loads(summary)["attempts"][0]["model"] == "weak"

    def test_explain_calls_no_model_and_agrees_with_complete(self) -> None:
        host = ScriptedHost(lambda _effect, _payload: "Paris.")
        one = router(host)
        decision = one.explain("What is the capital of France?", max_cost_usd=1)
        assert host.calls == []
        assert decision.start == one.complete("What is the capital of France?", max_cost_usd=1).model
        assert [prediction.model for prediction in decision.predictions] == ["weak", "strong"]

    def test_a_forced_model_is_the_only_one(self) -> None:
        answer = router().complete("hi", force_model="strong")
        assert answer.model == "strong"
        assert answer.receipt.decision is not None
        assert answer.receipt.decision.reason.value == "forced_model"

    def test_latency_is_measured_with_the_given_clock(self) -> None:
        clock = FakeClock()

        def slow(_effect: CallModel, _payload: ChatPayload) -> str:
            clock.advance(2.5)
            return "Paris."

        timed = router(ScriptedHost(slow))
        timed.clock = clock
        answer = timed.complete("hi")
        assert answer.receipt.attempts[0].latency_s == 2.5
        assert answer.receipt.latency_s == 2.5

    def test_constraints_of_the_router_hold_unless_the_call_says_otherwise(self) -> None:
        one = router(constraints=Constraints(force_model="strong"))
        assert one.complete("hi").model == "strong"
        assert one.complete("hi", force_model="weak").model == "weak"

    def test_constraints_of_the_router_may_name_aliases(self) -> None:
        registry = Registry((WEAK, STRONG), aliases={"best": "strong"})
        host = ScriptedHost(lambda _effect, _payload: "Paris.")
        for constraints in (Constraints(force_model="best"), Constraints(allow=frozenset({"best"}))):
            assert Router(registry, host=host, constraints=constraints).complete("hi").model == "strong"
        assert (
            Router(registry, host=host, constraints=Constraints(deny=frozenset({"best"}))).complete("hi").model
            == "weak"
        )
        with pytest.raises(ConfigError, match="did you mean 'best'"):
            Router(registry, host=host, constraints=Constraints(force_model="bets"))


class City(BaseModel):
    name: str
    country: str


class TestStructuredOutput:
    SCHEMA: ClassVar = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }

    def test_the_parsed_value_is_handed_out(self) -> None:
        assert router('{"name": "Paris"}').complete("Which city?", schema=self.SCHEMA).parsed == {"name": "Paris"}

    def test_a_class_is_built(self) -> None:
        answer = router('{"name": "Paris", "country": "France"}').complete("Which city?", schema=City)
        assert answer.parsed == City(name="Paris", country="France")

    def test_what_does_not_fit_climbs(self) -> None:
        host = ScriptedHost.saying({"weak": "Paris", "strong": '{"name": "Paris"}'})
        answer = router(host, policy=StaticPolicy()).complete("Which city?", schema=self.SCHEMA)
        assert (answer.model, answer.parsed) == ("strong", {"name": "Paris"})
        first = answer.receipt.attempts[0].verdict
        assert first is not None
        assert first.code == "schema"

    def test_what_never_fits_is_served_unverified_and_not_parsed(self) -> None:
        answer = router("Paris").complete("Which city?", schema=self.SCHEMA)
        assert (answer.verified, answer.parsed) == (False, None)


class TestTools:
    TOOL: ClassVar = {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }

    def test_calls_are_handed_out(self) -> None:
        call = ToolCall("c1", "weather", '{"city": "Paris"}')
        answer = router(Reply(text="", tool_calls=(call,), finish_reason="tool_calls")).complete(
            "Weather in Paris?", tools=[self.TOOL]
        )
        assert answer.tool_calls == (call,)
        assert answer.verified

    @pytest.mark.parametrize(
        ("draft", "code"),
        [
            (Reply(text="It is sunny.", finish_reason="stop"), "tools_missing"),
            (Reply(text="", tool_calls=(ToolCall("c", "weather", '{"town": 1}'),)), "tool_arguments"),
            (Reply(text="", tool_calls=(ToolCall("c", "wether", '{"city": "Paris"}'),)), "unknown_tool"),
        ],
    )
    def test_a_bad_call_climbs(self, draft: Reply, code: str) -> None:
        good = Reply(text="", tool_calls=(ToolCall("c", "weather", '{"city": "Paris"}'),), finish_reason="tool_calls")
        host = ScriptedHost.saying({"weak": draft, "strong": good})
        answer = router(host, policy=StaticPolicy()).complete("Weather?", tools=[self.TOOL], tool_choice="any")
        assert answer.model == "strong"
        first = answer.receipt.attempts[0].verdict
        assert first is not None
        assert first.code == code


class TestBadInput:
    @pytest.mark.parametrize(
        ("messages", "says"),
        [
            ([], "messages"),
            ("", "messages"),
            ([{"role": "user", "content": "a \ud83d b"}], "surrogate"),
            ("a \x00 b", "NUL"),
            ([{"role": "wizard", "content": "hi"}], "wizard"),
            (42, "42"),
        ],
    )
    def test_messages_that_cannot_be_sent_are_refused_before_any_call(self, messages: Any, says: str) -> None:
        host = ScriptedHost(lambda _effect, _payload: "Paris.")
        with pytest.raises(InvalidRequest, match=says):
            router(host).complete(messages)
        assert host.calls == []

    @pytest.mark.parametrize(
        "options",
        [
            {"max_cost_usd": -1},
            {"max_cost_usd": "free"},
            {"max_latency_s": float("nan")},
            {"min_quality": 2},
            {"max_attempts": 0},
            {"max_tokens": 0},
            {"force_model": "strongest"},
            {"max_cost": 1},
            {"stream_mode": "loud"},
        ],
    )
    def test_options_are_refused_by_name(self, options: dict[str, Any]) -> None:
        (name,) = options
        with pytest.raises(InvalidRequest, match=name):
            router().complete("hi", **options)
        with pytest.raises(InvalidRequest, match=name):
            router().stream("hi", **options)

    def test_ten_megabytes_fit_no_window_and_each_model_says_so(self) -> None:
        with pytest.raises(NoFeasibleModel) as caught:
            router().complete("word " * 2_000_000)
        assert [refusal.code.value for refusal in caught.value.refusals] == ["context_window"] * 2
        assert len(str(caught.value)) < 1_000, "the text of the request is not in the error"
        assert caught.value.receipt is not None

    def test_an_endpoint_that_the_registry_lacks_is_named(self) -> None:
        from dataclasses import replace

        with pytest.raises(RouterError, match="nowhere"):
            Router([replace(WEAK, endpoint="nowhere")]).complete("hi")

    @pytest.mark.parametrize("models", [[], [WEAK, WEAK], ["gpt-4.1"], None])
    def test_models_that_make_no_registry_are_refused(self, models: Any) -> None:
        with pytest.raises(ConfigError, match="models"):
            Router(models)


class TestOneModel:
    def test_it_routes_trivially(self) -> None:
        only = Router([WEAK], host=ScriptedHost(lambda _effect, _payload: "Paris."))
        decision = only.explain("Design a distributed database, step by step.")
        assert (decision.ladder, decision.reason.value) == (("weak",), "only_feasible_model")


class TestObservers:
    async def test_an_async_observer_is_told_in_async_calls_only(self) -> None:
        told: list[Event] = []

        async def observer(event: Event) -> None:
            await asyncio.sleep(0)
            told.append(event)

        one = router(observers=[observer])
        await one.acomplete("hi")
        assert [type(event).__name__ for event in told] == ["Decided", "Called", "Accepted"]
        with pytest.raises(RouterError, match="observer"):
            one.complete("hi")

    def test_what_a_request_cost_before_it_failed_is_on_the_error(self) -> None:
        log = EventLog()
        one = router(ConnectionError("down"), observers=[log])
        with pytest.raises(RouterError) as caught:
            one.complete("hi")
        assert caught.value.receipt == log.receipts[0]


def test_the_fuse_stops_calls_that_leave_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "made-up")
    one = Router(["openai:gpt-4.1-nano"])
    with forbid_model_calls(), pytest.raises(RouterError, match="forbid_model_calls"):
        one.complete("hi")


def test_no_key_is_in_any_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-made-up-key")
    one = Router(Registry.of(["openai:gpt-4.1-nano"]))
    for thing in (one, one.registry, one.registry.models[0], vars(one)):
        assert "sk-made-up-key" not in repr(thing)


def test_a_check_that_is_a_function_is_a_verifier() -> None:
    host = ScriptedHost.saying({"weak": "no", "strong": "yes"})
    answer = router(
        host, policy=StaticPolicy(), verifiers=[lambda _request, reply: Verdict(reply.text == "yes")]
    ).complete("hi")
    assert answer.model == "strong"


def test_a_model_of_ones_own_needs_no_yaml() -> None:
    own = Model(name="mine", id="m", provider="p", endpoint="e", price=Price(input=Decimal(1), output=Decimal(1)))
    answer = Router([own], host=ScriptedHost(lambda _effect, _payload: "hello")).complete("hi")
    assert answer.cost_usd is not None
    assert answer.cost_usd > 0


def test_the_latest_receipts_are_kept_without_a_ledger(router_of: Callable[..., Router]) -> None:
    router = router_of(ScriptedHost.saying({"weak": "good"}))
    made = [router.complete("What is it?").receipt for _ in range(3)]

    router.explain("What is it?")
    assert router.receipts == tuple(made)

    for _ in range(1_000):
        router.complete("What is it?")
    assert len(router.receipts) == 1_000
    assert made[-1] not in router.receipts
