from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.errors import ConfigError
from router_core.learning.answers import FEATURES, answer_features, token_logprobs
from router_core.learning.examples import read_examples
from router_core.learning.finals import final_answer

QUESTION = "Ann has 16 eggs. She eats 3 and bakes with 4. She sells the rest for $2 each. How much does she earn?"
GOOD = "She has 16 - 3 - 4 = 9 eggs left.\nShe earns 9 * $2 = $18.\n#### 18"


@pytest.mark.parametrize(
    ("text", "final"),
    [
        (GOOD, "18"),
        ("The answer is (C).", "(C)"),
        (r"so it is \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        ("**Answer:** 42 dollars", "42 dollars"),
        ('{"reasoning": "the answer is 3", "answer": "1,800"}', "1,800"),
        ('{"answer": 18}', "18"),
        ("The answer is 3. No: the final answer is **7**.", "7"),
        ("La respuesta es 12.", "12"),
        ("I have no answer", None),
        ("", None),
    ],
)
def test_an_answer_is_taken_by_what_it_calls_its_answer(text, final):
    assert final_answer(text) == final


def test_a_good_answer_shows_none_of_the_faults():
    seen = answer_features(QUESTION, GOOD)
    assert seen["final_is_last_result"] == seen["final_marked"] == seen["numbers_used"] == 1
    assert seen["wrong_equation"] == seen["results_unused"] == seen["numbers_from_nowhere"] == 0


@pytest.mark.parametrize(
    ("answer", "feature", "value"),
    [
        (GOOD.replace("= 9 eggs", "= 8 eggs"), "wrong_equation", 1),
        (GOOD.replace("#### 18", "#### 20"), "final_is_last_result", 0),
        (GOOD.replace("#### 18", "#### 17.5"), "final_whole", 0),
        (GOOD.replace("\n#### 18", ""), "final_marked", 0),
        ("16 - 3 = 13 and 2 * 2 = 4.\n#### 4", "results_unused", 0.5),
        ("16 - 977 = -961.\n#### 961", "results_negative", 1),
        ("I don't know.", "refuses", 1),
        ("I'm sorry, but I can't help with that.", "refuses", 1),
        ("No idea", "final_missing", 1),
        ("Wait, that is not right: it is 5.", "corrections", 1),
    ],
)
def test_each_fault_shows(answer, feature, value):
    assert answer_features(QUESTION, answer)[feature] == value


def test_how_the_call_ended_and_how_sure_it_was_count():
    seen = answer_features(QUESTION, GOOD, finish_reason="length", logprobs=(-0.5, -1.5))
    assert (seen["cut_off"], seen["logprob_known"], seen["logprob_mean"], seen["logprob_least"]) == (1, 1, -1, -1.5)
    assert answer_features(QUESTION, GOOD)["logprob_known"] == 0


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_texts_have_finite_features_in_the_order_of_their_names(question, answer):
    seen = answer_features(question, answer)
    assert tuple(seen) == FEATURES
    assert all(abs(value) < 1e6 for value in seen.values())


def test_log_probabilities_are_found_where_each_sdk_leaves_them():
    told = [SimpleNamespace(token="a", logprob=-0.1), SimpleNamespace(token="b", logprob=-2)]
    openai = SimpleNamespace(choices=[SimpleNamespace(logprobs=SimpleNamespace(content=told))])
    langchain = SimpleNamespace(response_metadata={"logprobs": {"content": [{"token": "a", "logprob": -0.1}]}})
    assert token_logprobs(openai) == (-0.1, -2)
    assert token_logprobs(langchain) == (-0.1,)


@pytest.mark.parametrize(
    "native",
    [
        None,
        "text",
        {},
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"content": [{"logprob": "?"}, {"logprob": float("-inf")}]}}]},
        SimpleNamespace(response_metadata={}),
    ],
)
def test_an_answer_without_log_probabilities_has_none(native):
    assert token_logprobs(native) == ()


def test_log_probabilities_are_read_from_a_file(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"prompt": "Q", "outcomes": {"m": {"quality": 1, "answer": "A", "logprobs": [-0.1, 0]}}}')
    assert read_examples(path)[0].outcomes["m"].logprobs == (-0.1, 0.0)
    path.write_text('{"prompt": "Q", "outcomes": {"m": {"quality": 1, "logprobs": [0.5]}}}')
    with pytest.raises(ConfigError, match=r"outcomes.m.logprobs: \[0.5\] is no list of log-probabilities"):
        read_examples(path)
