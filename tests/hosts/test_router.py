"""The whole router over real HTTP: models at two endpoints, routed, checked, climbed and booked."""

from __future__ import annotations

import pytest

from router_core import AllAttemptsFailed, Router, StreamBroken
from router_core.testing import EventLog

YAML = """
version: 1
endpoints:
  cheap: {{base_url: "{weak}/v1", local: true, timeout_s: 10}}
  dear: {{base_url: "{strong}/v1", local: true, timeout_s: 10}}
models:
  - {{name: "cheap:small", price: {{input: 1, output: 2}}}}
  - {{name: "dear:large", price: {{input: 10, output: 20}}}}
aliases: {{best: "dear:large"}}
policy: static
"""


def completion(text):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


def says(text):
    """A script that answers in one piece or as a stream, as it is asked."""

    def script(request):
        if request.body.get("stream"):
            request.begin_stream()
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            request.say(*[word + " " for word in text.split(" ")], usage=usage)
        else:
            request.answer(completion(text))

    return script


@pytest.fixture
def servers(wire, second_wire):
    return wire, second_wire


@pytest.fixture
async def router(servers, tmp_path):
    weak, strong = servers
    path = tmp_path / "router.yaml"
    path.write_text(YAML.format(weak=weak.url, strong=strong.url), encoding="utf-8")
    router = Router.from_config(path, observers=[EventLog()])
    yield router
    router.close()
    await router.aclose()


@pytest.fixture(params=["complete", "acomplete", "stream", "astream"])
def ask(request, router):
    async def ask(prompt, **options):
        how = request.param
        if how == "complete":
            answer = router.complete(prompt, **options)
            return answer, answer.text
        if how == "acomplete":
            answer = await router.acomplete(prompt, **options)
            return answer, answer.text
        if how == "stream":
            with router.stream(prompt, **options) as stream:
                shown = "".join(chunk.text for chunk in stream)
                return stream.answer, shown
        async with router.astream(prompt, **options) as stream:
            shown = "".join([chunk.text async for chunk in stream])
            return stream.answer, shown

    return ask


async def test_a_good_draft_never_reaches_the_dear_server(servers, ask):
    weak, strong = servers
    weak.script = says("Paris is the capital of France.")
    answer, shown = await ask("What is the capital of France?")
    assert shown.strip() == answer.text.strip() == "Paris is the capital of France."
    assert answer.model == "cheap:small"
    assert strong.requests == []


async def test_an_abstention_climbs_and_both_calls_are_paid(servers, ask):
    weak, strong = servers
    weak.script = says("I don't know.")
    strong.script = says("Paris.")
    answer, shown = await ask("What is the capital of France?")
    assert shown.strip() == "Paris."
    assert [attempt.model for attempt in answer.receipt.attempts] == ["cheap:small", "dear:large"]
    first = answer.receipt.attempts[0]
    assert (first.usage.total_tokens, first.usage.estimated) == (15, False)
    assert (first.cost_nano, first.price_version) == (20_000, "registry")


async def test_a_busy_server_is_passed_over(servers, ask):
    weak, strong = servers
    weak.script = lambda request: request.answer({"error": {"message": "slow down"}}, status=429)
    strong.script = says("Paris.")
    answer, shown = await ask("What is the capital of France?")
    assert shown.strip() == "Paris."
    assert answer.receipt.attempts[0].failure.value == "rate_limited"
    assert answer.receipt.attempts[0].cost_nano == 0


async def test_an_alias_forces_its_model(servers, ask):
    weak, strong = servers
    strong.script = says("Paris.")
    answer, _ = await ask("What is the capital of France?", force_model="best")
    assert answer.model == "dear:large"
    assert weak.requests == []


async def test_when_all_servers_are_down_the_error_names_each(servers, ask):
    for server in servers:
        server.script = lambda request: request.reset()
    with pytest.raises(AllAttemptsFailed) as caught:
        await ask("What is the capital of France?")
    assert "cheap:small: connection" in str(caught.value)
    assert "dear:large: connection" in str(caught.value)
    assert caught.value.receipt.usage.input_tokens > 0, "a reset request may have been billed"


async def test_a_stream_that_breaks_while_it_speaks_says_what_was_shown(servers, router):
    def script(request):
        request.begin_stream()
        request.say("The first ", "words", finish=None)
        request.hang_up()

    servers[1].script = script
    shown = []
    with pytest.raises(StreamBroken) as caught:
        shown.extend(chunk.text for chunk in router.stream("Tell me.", force_model="best"))
    assert "".join(shown) == caught.value.text == "The first words"
    assert caught.value.receipt.usage.estimated
