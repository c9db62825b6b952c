"""What is seen in a text, in English, Spanish and other scripts; and how the turns of a conversation add up."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.features import FOLLOW_UP_WORDS, Features, is_follow_up, scan, score_conversation
from router_core.terms import OPENERS, REFERENCES, TERMS, parse

ANY_TEXT = st.text(st.characters(codec=None), max_size=300)  # every code point: NUL, lone surrogates, marks
WORDS = st.lists(
    st.sampled_from(
        [
            "why",
            "first",
            "then",
            "step",
            "by",
            "API,",
            "base de datos",
            "¿por qué?",
            "Paris.",
            "código",
            "日本語",
            "def f",
        ]
    ),
    max_size=30,
).map(" ".join)


# ------------------------------------------------------------------------------------------- words and sentences
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" \n\t ", 0),
        ("?!", 0),
        ("word " * 31, 31),
        ("What's the capital of France, and isn't it big?", 9),
        ("what\u2019s the capital", 3),
        ("¿Qué hora es? — ¡Las tres!", 5),
        ("“Hola”, «dijo»", 2),
        ("one\u00a0two\u2028three", 3),
        ("c++ and c#", 3),
        ("Столица Франции", 2),
        ("日本の首都はどこですか", 6),
        ("서울은 어디입니까", 2),
    ],
)
def test_words_are_counted_in_any_script(text: str, words: int) -> None:
    assert scan(text).words == words


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("...", 0),
        ("No full stop", 1),
        ("One.", 1),
        ("One. Two", 2),
        ("One! Two? Three.\nFour…", 4),
        ("Pi is 3.14 and e is 2.72.", 1),
        ("Uno. ¿Dos? ¡Tres!", 3),
        ("首都は東京です。大きいですか\uff1f", 2),
    ],
)
def test_sentences_are_counted(text: str, sentences: int) -> None:
    assert scan(text).sentences == sentences


def test_questions_are_counted() -> None:
    assert scan("Who? When? 本当\uff1f").questions == 3


# --------------------------------------------------------------------------------------------------------- terms
@pytest.mark.parametrize(
    ("text", "category", "label"),
    [
        ("Why is the sky blue?", "reasoning", "why"),
        ("ANALYSING the results", "reasoning", "analyze"),
        ("Weigh the trade-offs.", "reasoning", "trade off"),
        ("¿Por qué el cielo es azul?", "reasoning", "por qué"),
        ("por que el cielo es azul", "reasoning", "por qué"),
        ("Explícame esto", "reasoning", "explica"),
        ("prove the theorem", "technical", "theorem"),
        ("its time complexity", "technical", "time complexity"),
        ("dos bases de datos", "technical", "base de datos"),
        ("an API-gateway for this", "system_design", "api gateway"),
        ("arquitectura de microservicios", "system_design", "microservicio"),
        ("balanceo de carga", "system_design", "balanceador de carga"),
        ("port this to C++.", "code", "c++"),
        ("un programa que ordene", "code", "programa que"),
        ("in depth, please", "difficulty", "detailed"),
        ("una respuesta detallada", "difficulty", "detallado"),
        ("Think step-by-step.", "multi_step", "step by step"),
        ("First wash it, dry it, then iron it.", "multi_step", "first … then"),
        ("Resuélvelo paso a paso", "multi_step", "paso a paso"),
        ("Primero lava y después seca", "multi_step", "primero … luego"),
    ],
)
def test_a_term_is_found(text: str, category: str, label: str) -> None:
    assert label in scan(text).terms[category]


@pytest.mark.parametrize(
    "text",
    [
        "The apiary and the whyever",  # parts of words
        "then we ate, and first we washed",  # the parts in the wrong order
        "by step, step by",
        "step by steps",
    ],
)
def test_what_only_resembles_a_term_is_not_found(text: str) -> None:
    assert scan(text).terms == {}


def test_a_term_counts_once_however_often_and_in_whichever_form_it_occurs() -> None:
    features = scan("Compare this. Comparing, compared, COMPARISON: compare!")
    assert features.terms == {"reasoning": ["compare"]}
    assert features.count("reasoning", "technical") == 1


def test_accents_may_be_composed_decomposed_or_missing() -> None:
    text = "Explica por qué la regresión y la ecuación: código y después análisis"
    composed, decomposed = (scan(unicodedata.normalize(form, text)) for form in ("NFC", "NFD"))
    bare = scan("Explica por que la regresion y la ecuacion: codigo y despues analisis")
    assert composed == decomposed == bare
    assert set(composed.terms) == {"reasoning", "technical", "code"}


@pytest.mark.parametrize(
    "text",
    [
        "```\nx\n```",
        "Fix this: if (a == b) { return c; }",
        "Why does\ndef area(r): fail",
        "SELECT name FROM users",
        "<b>bold</b>",
        "Write a small function that doubles a number",
        "Escribe una función que sume dos números",
        "¿Qué hace este código?",
    ],
)
def test_code_is_recognised(text: str) -> None:
    assert scan(text).code


@pytest.mark.parametrize(
    "text",
    ["Goods (imported from China); a select few.", "¿Cuál es la función del hígado?", "2 + 2 = 4", "Select a dress."],
)
def test_prose_is_not_code(text: str) -> None:
    assert not scan(text).code


def test_every_listed_way_to_write_a_term_is_found() -> None:
    for category, listings in TERMS.items():
        for listing in listings.values():
            for _, variants in parse(listing):
                for variant in variants:
                    assert category in scan(variant.replace("…", " x ")).terms, variant


def test_no_way_to_write_a_term_is_listed_twice_in_a_list() -> None:
    for listings in (*TERMS.values(), OPENERS, REFERENCES):
        for listing in listings.values():
            ways = Counter(variant for _, variants in parse(listing) for variant in variants)
            assert [way for way, times in ways.items() if times > 1] == []


# ---------------------------------------------------------------------------------------------------- properties
@given(ANY_TEXT)
def test_any_text_is_scanned_and_the_features_are_json(text: str) -> None:
    features = scan(text)
    assert json.loads(json.dumps(features._asdict())) == features._asdict()
    assert is_follow_up(text) in {True, False}


@given(ANY_TEXT | WORDS, ANY_TEXT | WORDS)
def test_more_text_never_counts_for_less(text: str, more: str) -> None:
    alone, longer = scan(text), scan(f"{text}\n{more}")
    assert longer.words >= alone.words
    assert longer.sentences >= alone.sentences
    assert longer.questions >= alone.questions
    assert longer.code >= alone.code
    for category, labels in alone.terms.items():
        assert set(labels) <= set(longer.terms[category])


@given(ANY_TEXT | WORDS)
def test_a_text_said_twice_counts_for_no_less(text: str) -> None:
    alone, twice = scan(text), scan(text + text)
    assert twice.words >= alone.words
    assert twice.sentences >= alone.sentences
    assert twice.questions == 2 * alone.questions


def test_a_megabyte_without_a_space_is_no_trouble() -> None:
    assert scan("a" * 1_000_000).words == 1
    assert scan("\u0301\u0323" * 500_000).words == 1  # marks that normalising would take quadratic time to sort


# --------------------------------------------------------------------------------------------------- follow-ups
@pytest.mark.parametrize(
    "text",
    [
        "and in French?",
        "And what about the second one?",
        "why?",
        "go on",
        "Can you make that a bit shorter?",
        "in French, please",
        "¿y en francés?",
        "¿Por qué?",
        "Y si fuera más corto",
        "¿Puedes traducir eso al inglés?",
        "",
    ],
)
def test_a_short_turn_that_leans_on_the_last_is_a_follow_up(text: str) -> None:
    assert is_follow_up(text)


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "¿Cuál es la capital de Francia?",
        "Write a poem on autumn leaves.",
        "And " + "word " * FOLLOW_UP_WORDS,
        "Android phones cost how much?",  # begins with the letters of "and"
        "why" * 1000,
    ],
)
def test_a_question_that_stands_alone_is_none(text: str) -> None:
    assert not is_follow_up(text)


# ------------------------------------------------------------------------------------------------ conversations
def _length(features: Features) -> float:
    return float(features.words)


HARD = "one two three four five six seven eight nine ten"
NEW = "What is the capital of France?"  # six words


def test_a_single_turn_has_its_own_score() -> None:
    scored = score_conversation([NEW], _length, carry=0.7)
    assert (scored.score, scored.last, scored.earlier) == (6.0, 6.0, 0.0)
    assert (scored.turn, scored.turns, scored.follow_up) == (1, 1, False)


def test_a_follow_up_keeps_the_highest_score_of_its_conversation() -> None:
    scored = score_conversation([NEW, HARD, NEW, "and in French?"], _length, carry=0.7)
    assert (scored.score, scored.turn, scored.turns) == (10.0, 2, 4)
    assert scored.follow_up
    assert scored.features == scan(HARD)


def test_a_new_question_keeps_a_share_of_it() -> None:
    scored = score_conversation([HARD, NEW], _length, carry=0.7)
    assert (scored.score, scored.last, scored.earlier, scored.turn) == (7.0, 6.0, 10.0, 1)
    assert not scored.follow_up


def test_a_harder_new_question_has_its_own_score() -> None:
    scored = score_conversation([HARD, NEW], _length, carry=0.5)
    assert (scored.score, scored.turn, scored.features) == (6.0, 2, scan(NEW))


def test_a_follow_up_may_itself_be_the_hardest() -> None:
    assert score_conversation(["Hi", "And what about the second one?"], _length, carry=0.7).turn == 2


def test_without_user_turns_there_is_nothing_to_score() -> None:
    scored = score_conversation([], _length, carry=0.7)
    assert (scored.score, scored.turn, scored.turns) == (0.0, 0, 0)


@given(st.lists(WORDS, max_size=5), WORDS, st.floats(0, 1))
def test_a_conversation_scores_at_least_its_last_turn_and_at_most_its_hardest(
    earlier: list[str], last: str, carry: float
) -> None:
    scored = score_conversation([*earlier, last], _length, carry)
    scores = [_length(scan(text)) for text in (*earlier, last)]
    assert scores[-1] <= scored.score <= max(scores)


def test_each_turn_of_a_long_conversation_is_scanned_once() -> None:
    calls = 0

    def counted(features: Features) -> float:
        nonlocal calls
        calls += 1
        return float(features.words)

    assert score_conversation([NEW] * 1000, counted, carry=0.7).turns == 1000
    assert calls == 1000
