"""What the policies that score the text choose, how a conversation counts, and how the choice is explained."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_core.policies import Candidate, Choice, ComplexityPolicy, DifficultyPolicy, Policy
from router_core.records import Reason
from router_core.types import Model, RequestView, Turn

NAMES = ["nano", "mini", "mid", "big", "huge", "giant"]


def candidates(count: int = 3) -> list[Candidate]:
    """Weakest first, with priors 0.5, 0.6, ..."""
    return [
        Candidate(model=Model(name=name, id=name, provider="test", endpoint="test", quality=0.5 + tier / 10))
        for tier, name in enumerate(NAMES[:count])
    ]


def asking(*texts: str) -> RequestView:
    """A conversation in which the assistant answers each turn of the user's but the last with something hard."""
    turns = [Turn("system", HARD)]
    for text in texts:
        turns += [Turn("user", text), Turn("assistant", HARD)]
    return RequestView(turns=tuple(turns[:-1]), input_bytes=0)


def decided(policy: Policy, *texts: str, count: int = 3) -> Choice:
    choice = policy.decide(asking(*texts), candidates(count))
    assert isinstance(choice, Choice)
    return choice


EASY = "What is the capital of France?"
HARD = (
    "Design a scalable architecture for our booking service. First analyse the trade-offs, then prove step by step why "
    "the algorithm is optimal. Which database and which protocol do you choose? What about edge cases?"
)
DURO = (
    "Diseña una arquitectura escalable para nuestras reservas. Primero analiza las ventajas y desventajas, luego "
    "demuestra paso a paso por qué el algoritmo es óptimo. ¿Qué base de datos y qué protocolo eliges? ¿Y los casos "
    "límite?"
)


# ---------------------------------------------------------------------------------------------------- difficulty
@pytest.mark.parametrize(
    ("text", "length", "keywords", "structure"),
    [
        ("word " * 25, 0.25, 0, 0),
        ("word " * 200, 1, 0, 0),
        ("Why?", 0.01, 0.25, 0),
        ("Why the theorem, the algorithm, the database, the api, the design?", 0.11, 1, 0),
        ("¿Por qué? El teorema", 0.04, 0.5, 0),
        ("Step by step.", 0.03, 0, 0.25),
        ("Who? Where", 0.02, 0, 0),
        ("Who? Where?", 0.02, 0, 0.25),
        ("One. Two. Three. Four.", 0.04, 0, 0.25),
        ("```x``` paso a paso. Uno. ¿Dos? ¿Tres?", 0.07, 0, 1),
    ],
)
def test_difficulty_is_the_weighted_sum_of_its_parts(
    text: str, length: float, keywords: float, structure: float
) -> None:
    choice = decided(DifficultyPolicy(), text)
    assert choice.features["parts"] == {"length": length, "keywords": keywords, "structure": structure}
    assert choice.score == pytest.approx(0.4 * length + 0.4 * keywords + 0.2 * structure)


@pytest.mark.parametrize(
    ("text", "reason", "start"),
    [
        (EASY, Reason.EASY, "nano"),
        ("¿Cuál es la capital de Francia?", Reason.EASY, "nano"),
        ("Explain how photosynthesis works.", Reason.MEDIUM, "mini"),
        ("Explica cómo funciona la fotosíntesis.", Reason.MEDIUM, "mini"),
        (HARD, Reason.HARD, "mid"),
        (DURO, Reason.HARD, "mid"),
    ],
)
def test_difficulty_takes_the_tier_of_its_level(text: str, reason: Reason, start: str) -> None:
    choice = decided(DifficultyPolicy(), text)
    assert (choice.reason, choice.start) == (reason, start)


def test_the_thresholds_of_difficulty_are_inclusive_and_can_be_set() -> None:
    text = "word " * 50  # 0.4 * 0.5
    assert decided(DifficultyPolicy(), text).reason is Reason.MEDIUM
    assert decided(DifficultyPolicy(medium=0.21), text).reason is Reason.EASY
    assert decided(DifficultyPolicy(medium=0.1, hard=0.2), text).reason is Reason.HARD


# ---------------------------------------------------------------------------------------------------- complexity
@pytest.mark.parametrize(
    ("text", "part", "points"),
    [
        ("word " * 30, "length", 0),
        ("word " * 31, "length", 1),
        ("palabra " * 100, "length", 1),
        ("palabra " * 101, "length", 2),
        ("Say it in Python", "code", 2),
        ("Revisa este código", "code", 2),
        ("Tell me why", "reasoning", 1),
        ("Why? Explain", "reasoning", 1),
        ("Why? Explain and compare", "reasoning", 2),
        ("¿Por qué?", "reasoning", 1),
        ("Explica por qué y compara", "reasoning", 2),
        ("an algorithm", "technical", 0),
        ("an algorithm, a database", "technical", 1),
        ("algorithm, database, protocol, firewall", "technical", 1),
        ("algorithm, database, protocol, firewall, theorem", "technical", 2),
        ("un algoritmo y un teorema", "technical", 1),
        ("algoritmo, teorema, protocolo, derivada, matriz", "technical", 2),
        ("sharding", "system_design", 2),
        ("sharding, failover", "system_design", 2),
        ("sharding, failover, a load balancer", "system_design", 3),
        ("microservicios", "system_design", 2),
        ("microservicios, balanceo de carga y alta disponibilidad", "system_design", 3),
        ("First boil it, then cool it", "multi_step", 1),
        ("Paso a paso", "multi_step", 1),
        ("One. Two. Three.", "sentences", 0),
        ("One. Two. Three. Four.", "sentences", 1),
        ("Uno. ¿Dos? ¡Tres! Cuatro", "sentences", 1),
    ],
)
def test_points_are_given_as_the_table_says(text: str, part: str, points: int) -> None:
    choice = decided(ComplexityPolicy(), text)
    parts = dict(choice.features["parts"])
    assert parts[part] == points
    assert choice.score == sum(parts.values())


@pytest.mark.parametrize(
    ("text", "reason", "start"),
    [
        (EASY, Reason.SIMPLE, "nano"),
        ("Explain how rain forms.", Reason.SIMPLE, "nano"),
        ("Prove it step by step.", Reason.MODERATE, "mini"),
        ("Demuéstralo paso a paso.", Reason.MODERATE, "mini"),
        (HARD, Reason.COMPLEX, "mid"),
        (DURO, Reason.COMPLEX, "mid"),
    ],
)
def test_complexity_takes_the_tier_of_its_level(text: str, reason: Reason, start: str) -> None:
    choice = decided(ComplexityPolicy(), text)
    assert (choice.reason, choice.start) == (reason, start)


def test_the_thresholds_of_complexity_can_be_set() -> None:
    text = "Prove it step by step."  # two points
    assert decided(ComplexityPolicy(medium=3), text).reason is Reason.SIMPLE
    assert decided(ComplexityPolicy(medium=1, complex=2), text).reason is Reason.COMPLEX


# --------------------------------------------------------------------------------------- what both have in common
SCORING = [DifficultyPolicy(), ComplexityPolicy()]


@pytest.mark.parametrize("policy", SCORING, ids=lambda policy: policy.name)
@pytest.mark.parametrize(
    ("count", "starts"),
    [
        (1, ["nano"] * 3),
        (2, ["nano", "nano", "mini"]),
        (3, ["nano", "mini", "mid"]),
        (4, ["nano", "mini", "big"]),
        (5, ["nano", "mid", "huge"]),
        (6, ["nano", "mid", "giant"]),
    ],
)
def test_levels_map_to_the_weakest_the_middle_and_the_strongest(policy: Policy, count: int, starts: list[str]) -> None:
    texts = [EASY, "Prove the theorem step by step.", HARD]
    assert [decided(policy, text, count=count).start for text in texts] == starts


@pytest.mark.parametrize("policy", SCORING, ids=lambda policy: policy.name)
@pytest.mark.parametrize("follow_up", ["and in French?", "¿y en francés?", "why?", "Make it shorter."])
def test_a_follow_up_keeps_what_its_conversation_earned(policy: Policy, follow_up: str) -> None:
    choice = decided(policy, EASY, HARD, follow_up)
    assert (choice.start, choice.reason) == ("mid", Reason.CONVERSATION)
    assert choice.score == decided(policy, HARD).score
    assert choice.features["follow_up"] is True
    assert choice.features["deciding_turn"] == 2
    assert choice.features["parts"] == decided(policy, HARD).features["parts"]
    assert decided(policy, follow_up).start == "nano"


@pytest.mark.parametrize("policy", SCORING, ids=lambda policy: policy.name)
def test_a_follow_up_in_an_easy_conversation_stays_easy(policy: Policy) -> None:
    choice = decided(policy, EASY, "and of Spain?")
    assert (choice.start, choice.reason) == ("nano", decided(policy, EASY).reason)


@pytest.mark.parametrize("make", [DifficultyPolicy, ComplexityPolicy])
def test_a_new_question_keeps_a_share_that_can_be_set(make: type[Any]) -> None:
    earned = decided(make(), HARD).score
    assert earned is not None
    assert decided(make(), HARD, EASY).score == pytest.approx(0.7 * earned)
    assert decided(make(carry=0.0), HARD, EASY).score == decided(make(), EASY).score
    assert decided(make(carry=1), HARD, EASY).score == earned


@pytest.mark.parametrize("policy", SCORING, ids=lambda policy: policy.name)
def test_only_the_user_scores(policy: Policy) -> None:
    turns = (Turn("system", HARD), Turn("assistant", HARD), Turn("tool", HARD))
    choice = policy.decide(RequestView(turns=turns, input_bytes=0), candidates())
    assert isinstance(choice, Choice)
    assert (choice.start, choice.score, choice.features["turns"]) == ("nano", 0.0, 0)


@pytest.mark.parametrize("policy", SCORING, ids=lambda policy: policy.name)
def test_quality_is_expected_to_fall_with_difficulty(policy: Policy) -> None:
    easy, hard = (decided(policy, text).quality for text in (EASY, HARD))
    assert list(easy) == list(hard) == ["nano", "mini", "mid"]
    assert all(easy[name] > hard[name] for name in easy)


@pytest.mark.parametrize("policy", SCORING, ids=lambda policy: policy.name)
@given(texts=st.lists(st.text(st.characters(codec=None)) | st.sampled_from([EASY, HARD, DURO]), max_size=4))
def test_any_conversation_gets_an_explained_choice(policy: DifficultyPolicy, texts: list[str]) -> None:
    request = RequestView(turns=tuple(Turn("user", text) for text in texts), input_bytes=0)
    choice = policy.decide(request, candidates())
    assert choice.start in NAMES[:3]
    assert choice.score is not None
    assert 0 <= choice.score <= policy.highest
    assert all(0 <= quality <= 1 for quality in choice.quality.values())
    assert json.loads(json.dumps(choice.features)) == choice.features
    assert choice == policy.decide(request, candidates())


@pytest.mark.parametrize("policy", SCORING, ids=lambda policy: policy.name)
@given(text=st.sampled_from([EASY, HARD, DURO]) | st.text(), more=st.text())
def test_more_text_never_scores_lower(policy: DifficultyPolicy, text: str, more: str) -> None:
    alone, longer = (decided(policy, said).score for said in (text, f"{text}\n{more}"))
    assert alone is not None
    assert longer is not None
    assert longer >= alone
