"""What a server says of cost and tier reaches the reply, in one piece and in streams."""

from __future__ import annotations

from router_core.hosts.answers import StreamReader, read_reply
from router_core.hosts.chat import join_chunks, replay_reply
from router_core.testing import scripted_model

MODEL = scripted_model("m")
USAGE = {"prompt_tokens": 194, "completion_tokens": 2, "cost": 0.95, "cost_details": {"upstream_inference_cost": 19}}


def test_in_one_piece_and_replayed() -> None:
    reply = read_reply(
        {"choices": [{"message": {"content": "Yes."}}], "usage": USAGE, "service_tier": "priority"}, MODEL
    )

    assert (reply.cost_nano, reply.service_tier) == (950_000_000, "priority")
    again = join_chunks(list(replay_reply(reply)))
    assert (again.cost_nano, again.service_tier) == (950_000_000, "priority")


def test_in_a_stream_that_tells_it_at_its_end() -> None:
    reader = StreamReader(MODEL)
    chunks = [
        reader.read({"choices": [{"delta": {"content": "Yes."}}], "service_tier": "flex"}),
        reader.read({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
        reader.read(
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cost_in_usd_ticks": 37_756}}
        ),
    ]

    reply = join_chunks(chunks)
    assert (reply.cost_nano, reply.service_tier) == (3_776, "flex")
