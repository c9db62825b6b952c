from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from router_core.errors import ConfigError
from router_core.types import ACCEPT, Reply, RequestView, ToolCall, Turn, Verdict
from router_core.verifiers import VERIFIERS, CallableVerifier, EmptyVerifier, Verifier, as_verifier, make_verifier

LOOKS_UP = Reply(text="", tool_calls=(ToolCall("1", "search", ""),), finish_reason="tool_calls")


def ask(text: str = "What is this?") -> RequestView:
    return RequestView(turns=(Turn("user", text),), input_bytes=100)


def judge(name: str, text: str, prompt: str = "What is this?", **options: object) -> Verdict:
    return make_verifier(name, options).check(ask(prompt), Reply(text=text, finish_reason="stop"))


# ------------------------------------------------------------------------------------------------------ off by default


@pytest.mark.parametrize(
    ("prompt", "words", "accepted"),
    [
        ("Write 500 words about the sea.", 100, False),
        ("Write 500 words about the sea.", 260, True),
        ("Write a 200-word product description.", 40, False),
        ("Write an essay of at least 300 words.", 120, False),
        ("Describe the town in 100-150 words.", 40, False),
        ("Escribe un texto de 300 palabras sobre el mar.", 80, False),
        ("Redacta una carta de como mínimo 200 palabras.", 60, False),
        ("Write no more than 500 words.", 20, True),
        ("Explain it in 100 words or less.", 12, True),
        ("Resume el texto en menos de 200 palabras.", 30, True),
        ("Escribe como máximo 100 palabras.", 10, True),
        ("Summarise these 800 words: lorem ipsum", 60, True),
        ("How long does it take to read 500 words?", 3, True),
        ("Write 500 words. Actually, never mind: what is 2 + 2?", 1, False),
        ("What is the capital of France?", 1, True),
        ("", 1, True),
    ],
)
def test_too_short_in_words(prompt: str, words: int, *, accepted: bool) -> None:
    assert judge("too_short", "word " * words, prompt).accepted is accepted


@pytest.mark.parametrize(
    ("prompt", "answer", "accepted"),
    [
        ("Write at least 3 paragraphs about bees.", "Bees make honey.", False),
        ("Write at least 3 paragraphs about bees.", "Bees.\n\nHoney.\n\nWax.", True),
        ("Give me ten ideas for a name.", "Luna", False),
        ("Give me ten ideas for a name.", "Luna, Sol, Mar, Río, Nube, Flor", True),
        ("Give me 5 bullet points.", "- one\n- two\n- three", True),
        ("Dame una lista de 10 frutas.", "1. Pera\n2. Uva", False),
        ("Dame una lista de 10 frutas.", "\n".join(f"{n}. Fruta" for n in range(1, 11)), True),
        ("Make a list of 8 cities.", "Lugo and Vigo", False),
        ("Explica en cuatro frases qué es una abeja.", "Es un insecto.", False),
        ("Translate the following 3 sentences.", "Hola.", True),
        ("List the top 10 songs.", "I like music.", False),
    ],
)
def test_too_short_in_other_units(prompt: str, answer: str, *, accepted: bool) -> None:
    assert judge("too_short", answer, prompt).accepted is accepted


def test_too_short_tells_both_lengths_and_takes_a_share() -> None:
    verdict = judge("too_short", "word " * 450, "Write 500 words.", share=1)

    assert (verdict.code, verdict.accepted) == ("too_short", False)
    assert "500 words" in verdict.detail
    assert "450" in verdict.detail


def test_too_short_looks_at_both_ends_of_a_long_turn_and_at_the_last_turn_only() -> None:
    text = "Here is my draft. " * 500

    assert not judge("too_short", "Done.", text + "Now write 500 words on it.").accepted
    assert not judge("too_short", "Done.", "Write 500 words on this draft. " + text).accepted
    asked_before = RequestView(turns=(Turn("user", "Write 500 words."), Turn("user", "Shorter!")), input_bytes=9)
    assert make_verifier("too_short", {}).check(asked_before, Reply(text="Bees.")).accepted


def test_short_answer() -> None:
    assert not judge("short_answer", "Paris.").accepted
    assert judge("short_answer", "Paris.", min_words=1).accepted
    assert judge("short_answer", "one two three", min_words=3).accepted
    assert not judge("short_answer", " one two ", min_words=3).accepted


@pytest.mark.parametrize(
    "text",
    ["Maybe 42.", "The answer is, I think, 7.", "I\u2019m not sure, but 7.", "Quizás sea Lima.", "Creo que es Lima."],
)
def test_uncertainty_anywhere(text: str) -> None:
    assert judge("uncertainty", text).code == "uncertainty"


@pytest.mark.parametrize("text", ["The answer is 7.", "Maybelle sings.", "Es Lima.", ""])
def test_no_uncertainty(text: str) -> None:
    assert judge("uncertainty", text).accepted


# -------------------------------------------------------------------------------------------------- the user's own


def test_regex() -> None:
    assert judge("regex", "Order 4711 is on its way.", must_match=r"\b\d{4}\b").accepted
    assert not judge("regex", "It is on its way.", must_match=r"\b\d{4}\b").accepted
    verdict = judge("regex", "Call me at home.", must_match="Call", must_not_match="(?i)HOME")
    assert (verdict.code, verdict.accepted) == ("regex", False)
    assert "(?i)HOME" in verdict.detail


def test_rules_about_text_let_tool_calls_pass() -> None:
    for name, options in {
        "regex": {"must_match": "x"},
        "predicate": {"function": bool},
        "short_answer": {},
        "too_short": {},
    }.items():
        assert make_verifier(name, options).check(ask("Write 500 words."), LOOKS_UP).accepted, name


def polite(text: str) -> bool:
    return "please" in text


def test_predicate() -> None:
    assert judge("predicate", "Wait, please.", function=polite).accepted
    verdict = judge("predicate", "Wait.", function=polite)
    assert (verdict.code, verdict.accepted) == ("predicate", False)
    assert "polite" in verdict.detail


def test_a_function_becomes_a_verifier_under_its_own_name() -> None:
    def cites(request: RequestView, reply: Reply) -> bool:
        return "[1]" in reply.text

    verifier = as_verifier(cites)

    assert (verifier.name, verifier.judges_prefix) == ("cites", False)
    assert verifier.check(ask(), Reply(text="So it is [1].")) == ACCEPT
    assert verifier.check(ask(), Reply(text="So it is.")).code == "cites"


def test_a_functions_own_verdict_is_kept() -> None:
    verdict = Verdict(accepted=False, code="too_rude", detail="mind your tongue")

    assert CallableVerifier(lambda request, reply: verdict, name="manners").check(ask(), Reply(text="x")) is verdict


async def test_an_async_function_gives_an_awaitable_verdict() -> None:
    async def cites(request: RequestView, reply: Reply) -> bool:
        return "[1]" in reply.text

    pending = as_verifier(cites).check(ask(), Reply(text="So it is."))

    assert inspect.isawaitable(pending)
    assert (await pending).code == "cites"


def test_a_function_that_forgets_to_answer_is_told_so() -> None:
    with pytest.raises(ConfigError, match=r"'forgetful'.*None.*Verdict, True or False"):
        CallableVerifier(lambda request, reply: None, name="forgetful").check(ask(), Reply(text="x"))


def test_a_verifier_passes_through() -> None:
    class Own:
        name = "own"
        judges_prefix = True

        def check(self, request: RequestView, reply: Reply) -> Verdict:
            return ACCEPT

    own = Own()

    assert as_verifier(own) is own
    assert all(isinstance(make_verifier(name, {}), Verifier) for name in ("empty", "schema", "too_short"))


@pytest.mark.parametrize(
    ("thing", "told"),
    [(EmptyVerifier, "EmptyVerifier()"), ("empty", "make_verifier('empty', {})"), (7, "7"), (None, "None")],
)
def test_what_is_no_verifier(thing: object, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        as_verifier(thing)


# ------------------------------------------------------------------------------------------------------------ by name


def test_every_verifier_is_called_as_it_calls_itself() -> None:
    options = {
        "regex": {"must_match": "x"},
        "predicate": {"function": bool},
        "callable": {"function": ask, "name": "callable"},
        "consensus": {"samples": 2},
        "judge": {"model": "judge"},
    }

    assert {name: make_verifier(name, options.get(name, {})).name for name in VERIFIERS} == {
        name: name for name in VERIFIERS
    }


def test_functions_by_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house_checks.py").write_text(
        "def polite(text): return 'please' in text\ndef cites(request, reply): return '[1]' in reply.text\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert not judge("predicate", "Wait.", function="house_checks:polite").accepted
    assert judge("callable", "So it is.", function="house_checks:cites").code == "cites"
    with pytest.raises(ConfigError, match=r"has no 'polit' \(did you mean 'polite'\?\)"):
        make_verifier("predicate", {"function": "house_checks:polit"})


async def polite_later(text: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("refusl", {}, "verifiers: 'refusl' is no verifier (did you mean 'refusal'?); there are abstention, callable"),
        ("empty", {"min_words": 1}, "verifiers.empty.min_words: no such option; it has none"),
        (
            "short_answer",
            {"min_word": 1},
            "verifiers.short_answer.min_word: no such option (did you mean 'min_words'?)",
        ),
        ("short_answer", {"min_words": 0}, "verifiers.short_answer.min_words: 0 is not"),
        ("short_answer", {"min_words": True}, "verifiers.short_answer.min_words: True is not"),
        ("short_answer", {"min_words": "5"}, "verifiers.short_answer.min_words: '5' is not"),
        ("too_short", {"share": 1.5}, "verifiers.too_short.share: 1.5 is not"),
        ("too_short", {"share": float("nan")}, "verifiers.too_short.share: nan is not"),
        ("regex", {}, "verifiers.regex: no pattern is given; set must_match or must_not_match"),
        ("regex", {"must_match": "("}, "verifiers.regex.must_match: '(' is not a regular expression"),
        ("regex", {"must_not_match": 7}, "verifiers.regex.must_not_match: 7 is not text"),
        ("predicate", {}, "verifiers.predicate.function: missing"),
        ("predicate", {"function": 7}, "verifiers.predicate.function: 7 is not a function"),
        ("predicate", {"function": polite_later}, "polite_later is async; use the verifier 'callable'"),
        ("callable", {"function": "nocolon"}, "verifiers.callable.function: 'nocolon' is not of the form"),
        (
            "callable",
            {"function": "no.such.module:f"},
            "verifiers.callable.function: 'no.such.module' cannot be imported",
        ),
        ("callable", {"function": "math:pi"}, "verifiers.callable.function: 3.14"),
        ("callable", {"function": ask, "name": ""}, "verifiers.callable.name: '' is not a name"),
    ],
)
def test_bad_options_are_named_with_their_remedy(name: str, options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        make_verifier(name, options)
