from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router_core.types import ACCEPT, OutputSchema, Reply, RequestView, ToolCall, ToolSpec, Turn
from router_core.verifiers import VERIFIERS, default_verifiers, make_verifier

DEFAULTS = default_verifiers()
SEARCH = ToolSpec("search")


def ask(text: str = "What is this?", **fields) -> RequestView:
    return RequestView(turns=(Turn("system", "Be brief."), Turn("user", text)), input_bytes=100, **fields)


def objection(reply: Reply, request: RequestView | None = None) -> str | None:
    """The reason code of the first default verifier that objects."""
    verdicts = (verifier.check(request or ask(), reply) for verifier in DEFAULTS)
    return next((verdict.code for verdict in verdicts if not verdict.accepted), None)


# --------------------------------------------------------------------------------------------- what an answer says

ACCEPTED = """
    Paris.
    42
    No.
    Yes
    No
    Sí.
    No, gracias.
    No se trata de eso.
    Unknown.
    N/A
    …
    The answer is 7, but I am not sure about the units.
    I don't know the exact date, but the battle was in 1066, near Hastings.
    I don't know the exact date. The battle was fought in October 1066.
    I don't know; historians disagree, and the usual date is 1066.
    I don't know, maybe Lima?
    I'm not sure. Let me think: 3 boxes of 4 are 12, so the answer is 12.
    I am not certain about the year, though 1066 is what most books say.
    I don't know Node.js well, but here's what the manual says: call listen().
    As an AI language model, I don't have feelings, but here is a poem about rain.
    As of 2023, I can say that the population was about 8 million.
    As an AI, I don't have access to live data. In 2023 the population was about 8 million.
    I have no doubt that it is Canberra.
    I'm sorry to hear that you are unwell. Rest, drink water, and see a doctor if it lasts.
    I'm sorry for the confusion. The correct total is 18 euros.
    I apologize for the mistake; the corrected function is below.
    I can't help but notice that the second premise is false. So the argument fails.
    I can't provide legal advice. In general, a lease must be signed by both parties.
    I cannot recommend one over the other, but the second is cheaper.
    I can't find any errors in your code.
    I'm not aware of any such function.
    I can't make it tonight, sorry!
    I refuse to believe that the sea has an end.
    As an AI, I don't have personal preferences.
    I have no questions left.
    “I'm sorry, but I can't help with that,” said the robot, and rolled away.
    "I don't know," she whispered.
    'No lo sé', dijo ella.
    The robot said: I'm sorry, but I can't help with that.
    He always answers: I don't know.
    You can't help with that; only a licensed electrician may.
    Unfortunately, the shop closes at six.
    Well, that depends: at sea level water boils at 100 °C.
    Given the context, the invoice is due on 3 May.
    Based on the provided text, no refund is due.
    Dear Ms Ortiz, unfortunately we cannot help with that request. Yours, Customer Service
    No sé la fecha exacta, pero la batalla fue en octubre de 1066.
    No estoy seguro del año. Según la mayoría de los libros, fue en 1066.
    Lo siento mucho por tu pérdida. Estas líneas pueden servirte para el pésame.
    No puedo dar consejo médico. En general, conviene descansar y beber agua.
    No hay ninguna diferencia entre ambas.
    No encuentro errores en tu código.
    No puedo ir hoy, lo siento.
    Como modelo para tu carta, usa este texto.
    Lamentablemente, el museo cierra los lunes.
"""
REJECTED = """
    abstention | I don't know
    abstention | I don\u2019t know.
    abstention | I do not know
    abstention | i dont know
    abstention | Sorry, I don't know.
    abstention | I'm sorry, but I really don't know the answer to that question.
    abstention | Hmm, I have no idea!
    abstention | No idea.
    abstention | I don't have information about that.
    abstention | I don't have any specific information about the 2031 budget of Lugo.
    abstention | Unfortunately, I don't have enough information to answer. Could you please provide more details?
    abstention | As an AI I cannot know what you had for breakfast.
    abstention | As an AI language model, I don't have access to real-time data. I recommend checking a weather site.
    abstention | I'm not sure.
    abstention | I'm not sure about that, as my training data ends before it. Please check the official site.
    abstention | I don't know the exact date of the battle.
    abstention | **Answer:** I don't know.
    abstention | Based on the provided context, I don't know.
    abstention | I'm unable to access the internet. You can check the club's website for the latest results.
    abstention | I don't know. Is there anything else I can help you with?
    abstention | No lo sé
    abstention | No sé.
    abstention | Lo siento, no lo sé.
    abstention | No tengo ni idea.
    abstention | Desconozco la respuesta.
    abstention | No tengo información sobre eso.
    abstention | Lo siento, pero no dispongo de datos suficientes para responder.
    abstention | Como modelo de lenguaje, no tengo acceso a datos en tiempo real. Te recomiendo consultar otra web.
    abstention | No estoy seguro.
    refusal | I'm sorry, but I can't help with that.
    refusal | I\u2019m sorry, I can\u2019t assist with that request.
    refusal | Sorry, I cannot do that.
    refusal | I apologize, but I am unable to fulfill this request.
    refusal | I'm sorry. I can't help you with that.
    refusal | I'm sorry, but I can't assist with creating malware. It harms people. Learn about defence instead.
    refusal | I can't create content that promotes violence. If you have other questions, feel free to ask.
    refusal | I can't provide medical advice.
    refusal | I must decline to answer that.
    refusal | I'm not able to help with this. It goes against my guidelines.
    refusal | As an AI developed to be safe, I cannot comply with that request.
    refusal | Lo siento, no puedo ayudarte con eso.
    refusal | Lo siento, pero no puedo ayudar con esa solicitud.
    refusal | Lamento no poder ayudarte con esa petición.
    refusal | No puedo cumplir con esa solicitud.
    refusal | No puedo generar ese contenido. ¿Hay algo más en lo que pueda ayudarte?
    refusal | Me niego a escribir eso.
"""


def rows(table: str) -> list[str]:
    return [line.strip() for line in table.strip().splitlines()]


@pytest.mark.parametrize("text", rows(ACCEPTED))
@pytest.mark.parametrize("finish_reason", ["stop", None])
def test_answers_that_pass(text: str, finish_reason: str | None) -> None:
    assert objection(Reply(text=text, finish_reason=finish_reason)) is None


@pytest.mark.parametrize("row", rows(REJECTED))
def test_answers_that_are_an_abstention_or_a_refusal(row: str) -> None:
    code, text = row.split(" | ")

    assert objection(Reply(text=text, finish_reason="stop")) == code


@pytest.mark.parametrize(
    "text", ["I don't know", "I don't know the exact date.", "I'm sorry, but I can't help with", "No lo sé", "Sorry."]
)
def test_a_beginning_that_may_become_an_answer_is_not_rejected(text: str) -> None:
    assert objection(Reply(text=text)) is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("I don't know.", "abstention"),
        ("I'm sorry, but I can't help with that. It", "refusal"),
        ("Sorry. I have no information about that.", "abstention"),
        ("No lo sé.\n", "abstention"),
        ("I don't know\n\n", "abstention"),
    ],
)
def test_a_beginning_is_rejected_once_its_first_sentence_says_it_all(text: str, code: str) -> None:
    assert objection(Reply(text=text)) == code


def test_detail_quotes_the_sentence() -> None:
    verdict = make_verifier("refusal", {}).check(ask(), Reply(text="I'm sorry, but I can't help with that. Bye."))

    assert "can't help with that" in verdict.detail
    assert "Bye" not in verdict.detail


def test_what_the_provider_marks_as_refused() -> None:
    refused = Reply(text="", refusal="I can't help with weapons.", finish_reason="stop")

    assert objection(refused) == "refusal"
    assert "weapons" in make_verifier("refusal", {}).check(ask(), refused).detail
    assert objection(Reply(text="The recipe", finish_reason="content_filter")) == "refusal"


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ('How do you say "I don\'t know" in Spanish?', "No lo sé."),
        ("Translate into Spanish: I don't know.", "No lo sé."),
        ("Traduce al inglés: «Lo siento, no puedo ayudarte con eso»", "I'm sorry, I can't help you with that."),
    ],
)
def test_a_sentence_that_was_asked_for_is_an_answer(prompt: str, answer: str) -> None:
    assert objection(Reply(text=answer, finish_reason="stop"), ask(prompt)) is None


def test_a_long_prompt_that_allows_not_knowing_is_no_licence() -> None:
    prompt = (
        'Use the context. If it holds no answer, say "I don\'t know".\n\nContext: ' + "The hall opens at ten. " * 20
    )

    assert objection(Reply(text="I don't know.", finish_reason="stop"), ask(prompt)) == "abstention"


def test_text_beside_a_tool_call_is_no_refusal() -> None:
    offered = ask(tools=(SEARCH,))
    looks_it_up = Reply(text="I don't know. Let me look.", tool_calls=(ToolCall("1", "search", ""),))

    assert objection(looks_it_up, offered) is None
    assert objection(Reply(text="I don't know. Let me look."), offered) is None, "the call may still come"
    assert objection(Reply(text="I don't know.", finish_reason="stop"), offered) == "abstention"


PIECES = [
    *(row.rpartition(" | ")[2] for row in rows(ACCEPTED + REJECTED)),
    *[
        "I don't know",
        "I can't help with",
        "Sorry",
        "no lo sé",
        "but",
        "As an AI",
        ", ",
        ". ",
        "...",
        "\n\n",
        " ",
        "U.S. ",
    ],
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(st.characters(exclude_categories=()), max_size=4), max_size=6).map(
    "".join
)
FINISH = st.sampled_from([None, "stop", "length", "content_filter"])


@given(text=TEXTS, finish_reason=FINISH)
@example(text="\ud800\x00\u200b", finish_reason="stop")
def test_any_text_gets_a_verdict(text: str, finish_reason: str | None) -> None:
    options = {"regex": {"must_match": "a"}, "predicate": {"function": bool}, "callable": {"function": lambda *_: True}}
    options["consensus"] = {"samples": 2}
    request = ask(text, output_schema=OutputSchema("any", {"type": "object"}))
    for name in VERIFIERS.keys() - {"judge"}:  # it asks a model
        verdict = make_verifier(name, options.get(name, {})).check(
            request, Reply(text=text, finish_reason=finish_reason)
        )
        assert verdict.accepted == (verdict.code == "ok") == (verdict.detail == "")


@given(beginning=st.builds(lambda text, end: text[:end], TEXTS, st.integers(0, 150)), rest=TEXTS, finish_reason=FINISH)
@example(beginning="I don't know.", rest="js is what I know best", finish_reason="stop")
@example(beginning="I can't help with the U.", rest="S. tax code, but here is the form.", finish_reason="stop")
@example(beginning="I don't know\n", rest="the date, but the year is 1066.", finish_reason="stop")
def test_what_is_rejected_as_a_beginning_is_rejected_however_it_goes_on(beginning, rest, finish_reason) -> None:
    whole = Reply(text=beginning + rest, finish_reason=finish_reason)
    for verifier in DEFAULTS:
        if verifier.judges_prefix and not verifier.check(ask(), Reply(text=beginning)).accepted:
            assert not verifier.check(ask(), whole).accepted, verifier.name


def test_which_verifiers_judge_a_beginning() -> None:
    assert [verifier.name for verifier in DEFAULTS if verifier.judges_prefix] == ["refusal", "abstention"]


@pytest.mark.parametrize(
    "unit",
    [
        "I don't know, ",
        "maybes ",
        "```\n",
        "~~~ `",
        "\n  ",
        " \n",
        "\u200b",
        "a'",
        "1 ",
        "Sorry, ",
        "- ",
        "\ud800",
        '["',
    ],
)
def test_a_megabyte_is_judged_as_a_page_is(unit: str) -> None:
    verifiers = (*DEFAULTS, *(make_verifier(name, {}) for name in ("uncertainty", "short_answer", "too_short")))
    for verifier in verifiers:
        page, megabyte = unit * (4000 // len(unit)), unit * (2**20 // len(unit))
        verdicts = [verifier.check(ask(f"Write 5 words. {t}"), Reply(text=t)).code for t in (page, megabyte)]
        assert verdicts[0] == verdicts[1], verifier.name


# ------------------------------------------------------------------------------------------- whether it is all there


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\ufeff", "\x00", "\u00ad\u2060 \u3000"])
def test_nothing_visible_is_empty(text: str) -> None:
    assert objection(Reply(text=text, finish_reason="stop")) == "empty"


@pytest.mark.parametrize("text", [".", "0", "\u200bno", "👍", "\ud800"])
def test_anything_visible_is_not_empty(text: str) -> None:
    assert objection(Reply(text=text, finish_reason="stop")) is None


def test_a_tool_call_or_a_refusal_is_not_empty() -> None:
    empty = make_verifier("empty", {})

    assert empty.check(ask(), Reply(text="", tool_calls=(ToolCall("1", "search", ""),))) == ACCEPT
    assert empty.check(ask(), Reply(text="", refusal="No.")) == ACCEPT


CUT = "Here:\n\n```python\nfor x in y:\n    pri"


@pytest.mark.parametrize(
    ("text", "finish_reason", "code"),
    [
        ("The reasons are: first,", "length", "truncation"),
        ("The reasons are: first,", "stop", None),
        ("The reasons are: first,", None, None),
        (CUT, None, "truncation"),
        (CUT, "stop", None),
        (CUT + "nt(x)\n```\nDone", None, None),
        ("1. Run:\n\n    ```sh\n    ls\n    ```\n\n2. Read.", None, None),
        ("````md\n```\nx\n```\n````\nThat is all", None, None),
        ("```md\ntext\n```python\nx\n```\nmore\n```", None, None),
        ("```json\n" + '{"answer": 7}', None, None),
        ("```json\n" + '{"answer": 7', None, "truncation"),
        ("~~~\ncode", None, "truncation"),
        ("Use ```x``` in a line, or ``` alone.", None, None),
    ],
)
def test_truncation(text: str, finish_reason: str | None, code: str | None) -> None:
    assert objection(Reply(text=text, finish_reason=finish_reason)) == code


def test_truncation_names_the_limit_that_the_request_set() -> None:
    cut = Reply(text="The", finish_reason="length")

    assert "16 tokens" in make_verifier("truncation", {}).check(ask(max_tokens=16), cut).detail


# ------------------------------------------------------------------------------------------------------------- order


def test_the_defaults_object_in_the_order_that_explains_most() -> None:
    cut_off = Reply(text="", finish_reason="length")
    filtered = Reply(text="", finish_reason="content_filter")
    forced = ask(tools=(SEARCH,), tool_choice="any")
    shaped = ask(output_schema=OutputSchema("any", {}))

    assert objection(cut_off, shaped) == "truncation"
    assert objection(filtered, shaped) == "refusal"
    assert objection(Reply(text="", finish_reason="stop"), forced) == "empty"
    assert objection(Reply(text="I can't help with that.", finish_reason="stop"), forced) == "refusal"
    assert objection(Reply(text="I don't know.", finish_reason="stop"), shaped) == "abstention"


def test_measured_worse_than_chance_is_off_by_default() -> None:
    assert {verifier.name for verifier in DEFAULTS}.isdisjoint({"short_answer", "uncertainty", "too_short"})
