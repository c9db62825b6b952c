"""The task type of a request, from its words and its shape: no model is asked.

Only the ends of long texts are read, where instructions stand, so that the time does not grow with what they are
about. Source: written for this project from everyday instructions, in English and Spanish; fitted to no benchmark.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import NamedTuple

from router_core.features import is_follow_up
from router_core.terms import parse
from router_core.types import RequestView

HEAD, TAIL = 400, 200
"""Characters at the beginning and at the end of a text that are read: an instruction fits."""


class Task(StrEnum):
    """What a request asks for."""

    SUMMARY = "summary"
    TRANSLATION = "translation"
    SENTIMENT = "sentiment"
    EXTRACTION = "extraction"
    CLASSIFICATION = "classification"
    CODE = "code"
    REASONING = "reasoning"
    QUESTION = "question"
    CREATIVE = "creative"
    REWRITING = "rewriting"
    CHAT = "chat"
    OTHER = "other"


_CUES: Mapping[Task, str] = {
    Task.SUMMARY: """
        summar~y~ies~ize~ise~izing~ising~ized~ised, tldr/tl dr, sum up/recap~s, key points/main points/takeaway~s
        gist of, condense, in a nutshell, abstract of, in one sentence/in two sentences/in three sentences
        what happened here, minutes of the meeting
        resum~e~en~ir~eme~elo~iendo~a, haz un resumen/un resumen, sintetiza~r, puntos clave/puntos principales
        ideas principales, en una frase/en dos frases/en tres frases, acuerdos de esta reunion/acta de la reunion
    """,
    Task.TRANSLATION: """
        translat~e~es~ion~ions~or~ing, how do you say/how do i say, into spanish/into english/into french/into german
        to spanish/to english/to french/to german/to italian/to portuguese
        traduc~e~ir~eme~elo~cion~ciendo/traduzca/traduzcas/traductor~a, como se dice/como se diria
        al ingles/al espanol/al frances/al aleman/al italiano/al portugues
    """,
    Task.SENTIMENT: """
        sentiment~s, positive or negative/positive negative/positive neutral, tone of this review
        is this review positive, happy or angry, how does the customer feel/how does the author feel, emotion~s, mood
        sentimiento~s, positiv~o~a o negativ~o~a, positiv~o~a negativ~o~a, emocion~es, que siente/como se siente
        tono de esta resena, esta contento/esta contenta/esta enfadado/esta enfadada
    """,
    Task.EXTRACTION: """
        extract~s~ing~ion, pull out, list all the/list every, find all the/find every, return the fields/as json
        identify all the, named entities, is mentioned/are mentioned, fill in the fields/given structure, list all … in
        count the … in, from the signature/from this invoice/in this log/from this log
        extrae~r~me/extraiga, saca todos/saca todas/saca los/saca las/saca el/saca la, encuentra todos/encuentra todas
        enumera todos/enumera todas, que nombres aparecen/que fechas aparecen/se mencionan, entidades nombradas
        devuelve los campos/en json, anota est~e~a~os~as, de esta factura/en este registro
    """,
    Task.CLASSIFICATION: """
        classif~y~ies~ication~ying, categori~ze~se~zing~sing/which category/what category, label this/label each
        label the, assign a label/assign one/assign each, spam or not/is this spam, route this ticket, which intent
        which department, one of the following labels/one of these labels/one of the following categories
        clasific~a~ar~acion~ando/clasifique, categoriza~r/que categoria/en que categoria, etiqueta este/etiqueta cada
        asigna una etiqueta/asigna una categoria, es spam, a que departamento, que intencion
    """,
    Task.CODE: """
        python, javascript, typescript, java, golang, rust, c++/cpp, sql, html, css, bash
        regex/regular expression~s, postgresql/mysql, type hints, dockerfile, kubectl
        write … function/implement … function/function that/function to, write … script, write … program
        write … class/write … query, unit test~s, stack trace/traceback, refactor~ing, debug~ging, compile~s error
        typeerror/valueerror/keyerror/nullpointerexception/segfault, source code/this code/code review, git
        time complexity, api endpoint, react component
        escribe … funcion/implementa … funcion/funcion que, escribe … script/escribe … programa/programa que
        escribe … consulta/escribe … clase, pruebas unitarias, depura~r, refactoriza~r, este codigo/el codigo/codigo que
        expresion regular
    """,
    Task.REASONING: """
        how many times/cuantas veces
        solve~s, prove~s/proof, step by step, calculate/compute, how many … if/if … how many, what is the probability
        derive, deduce, logic puzzle/riddle/puzzle, how much … total/how long … take, evaluate the integral/equation
        what is the next number, who is lying/knights and knaves, percent of, more than … how
        each … how many/every … how many/total … how many, per hour/km h/mph, trade off~s, which is cheaper
        resuelve/resolver, demuestra/demostrar, paso a paso, calcula~r, cuantos … si/si … cuantos/si … cuantas
        cual es la probabilidad, deduce/deducir, acertijo/adivinanza, cuanto … total/cuanto … tarda/cuantas … en total
        ecuacion/integral de, siguiente numero, quien miente, por ciento de, cada … cuantos/cada … cuantas, por hora
    """,
    Task.CREATIVE: """
        poem~s/haiku~s/sonnet~s/limerick~s, story/stories, song/lyrics, slogan~s/tagline~s, write … email
        write … letter/write … speech/write … post/write … tweet/write … ad, blog post, brainstorm~ing
        come up with/ideas for/invent, screenplay/dialogue between, product description, imagine, names for my
        draft … email/draft … letter/draft … announcement, joke~s, birthday
        poema~s/soneto~s/verso~s, cuento~s/historia sobre/historia de/relato~s, cancion, eslogan/lema para, redacta~r
        escribe … correo/escribe … carta/escribe … discurso/escribe … publicacion/escribe … tuit, lluvia de ideas
        inventa~r/ideas para, guion/dialogo entre, descripcion del producto, imagina, nombres para mi, chiste~s
    """,
    Task.REWRITING: """
        rewrite~s/rewriting, rephrase/reword/paraphrase, proofread, fix the grammar/correct the grammar
        grammar mistakes/spelling mistakes/correct the spelling/fix the typos, more formal/more polite/less formal
        more concise/more professional/simpler words/plain language, shorten this/make this shorter/make it shorter
        improve this/improve the wording/polish this, edit this, convert … tone/change the tone, active voice
        reescrib~e~ir/reescriba, reformula~r/parafrasea~r, corrige/corregir, faltas de ortografia/errores gramaticales
        mas formal/menos formal/mas cortes/mas profesional/mas conciso, acorta/hazlo mas corto/mas breve
        mejora este/mejora la redaccion/mejora el texto, cambia el tono, lenguaje sencillo/palabras sencillas
    """,
    Task.QUESTION: """
        what is the capital/who was/who is/who wrote/who invented, when did/when was/in which year, where is/where are
        what does … mean/meaning of, what is the difference, explain~s, define/definition of, tell me about
        how does … work/how do … work, why is/why do/why does/why are, which country/which planet/which element
        how tall/how far/how old/how deep, true or false, which of the following
        cual es la capital/quien fue/quien es/quien escribio/quien invento, cuando fue/cuando se, en que ano
        donde esta/donde queda/donde nacio, que significa/significado de, que diferencia/cual es la diferencia
        explica~me~r, define/definicion de, hablame de, como funciona~n, por que, que pais/que planeta
        verdadero o falso
        que es un/que es una/que es el/que es la, cuanto mide/cual de las siguientes/cual de los siguientes
    """,
    Task.CHAT: """
        hi/hello/hey/good morning/good evening/good night, thanks/thank you, how are you/how is it going/whats up
        nice to meet you, bye/goodbye/see you, you are great/well done, i am bored/i feel/i am tired, are you there
        lets chat/talk to me/how was your
        hola/buenos dias/buenas tardes/buenas noches/buenas, gracias, como estas/que tal/como te va, encantado
        adios/hasta luego/hasta manana/nos vemos, eres genial/muy bien hecho
        estoy aburrid~o~a/me siento/estoy cansad~o~a, estas ahi/charlemos
    """,
}

_VALUE: Mapping[Task, float] = {
    Task.SENTIMENT: 1.6,  # "classify the sentiment" is sentiment
    Task.CODE: 1.3,  # "write a function that translates" is code
    Task.QUESTION: 0.6,  # what asks may ask for any of the others
    Task.REASONING: 0.9,
    Task.CHAT: 0.4,  # a greeting before what is asked for; one that is quoted later does not count
}
"""What a cue counts where it is not 1: by judgement."""
_FIRST_WORDS = 6
"""A cue that begins here, where an instruction begins, counts double."""
_CODE_SIGNS = re.compile(
    r"```|==|!=|=>|</|\(\);|\) ?\{|;\n|#include|\n ?(?:def|class|import|from|return) |^(?:def|import) |SELECT\s.*FROM"
)
_OPENERS = frozenset(
    b"what who whom whose when where which why how is are was were do does did can could should will would "
    b"que quien quienes cuando donde cual cuales por como cuanto cuanta cuantos cuantas es son puede puedo".split()
)
_NUMBERS = re.compile(r"\d+")
_MANY_NUMBERS = 3
_CHAT_WORDS = 4
_SEPARATORS = bytes(byte if chr(byte).isalnum() or chr(byte) == "+" else 32 for byte in range(128)) + b" " * 128


class _Cue(NamedTuple):
    """Parts that follow one another, with a space before and after, and what they tell."""

    parts: tuple[bytes, ...]
    task: Task
    label: str


def task_of(request: RequestView) -> Task:
    """The task type of a request: of its last user turn, with what the application tells the model before it.

    A follow-up ("and in French?") goes on with the turn before it. A request for a given shape that says nothing else
    is an extraction.
    """
    told = next((turn.text for turn in request.turns if turn.role == "system"), "")
    asked = request.user_texts
    at = len(asked) - 1
    while at > 0 and is_follow_up(asked[at]):
        at -= 1
    found = task_of_text(asked[at] if asked else "", told)
    if found is Task.OTHER and request.output_schema is not None:
        return Task.EXTRACTION
    return found


def task_of_text(text: str, instruction: str = "") -> Task:
    """The task type of a text that a user wrote; ``instruction`` is what the application says before it."""
    words = _words(text)
    scores: dict[Task, float] = {}
    _count(words, scores)
    if instruction:
        _count(_words(instruction), scores)
    read = text if len(text) <= HEAD + TAIL else text[:HEAD] + text[-TAIL:]
    if _CODE_SIGNS.search(read):
        scores[Task.CODE] = scores.get(Task.CODE, 0.0) + 1.0
    if scores:
        # The first of equals in the order of Task, which is from the narrow to the wide.
        return max(Task, key=lambda task: scores.get(task, 0.0))
    return _by_shape(words, read)


def _by_shape(words: list[bytes], text: str) -> Task:
    """The task of a text without any cue."""
    asks = "?" in text or (bool(words) and words[0] in _OPENERS)
    if asks:
        return Task.REASONING if len(_NUMBERS.findall(text)) >= _MANY_NUMBERS else Task.QUESTION
    return Task.CHAT if 0 < len(words) <= _CHAT_WORDS else Task.OTHER


def _words(text: str) -> list[bytes]:
    """The words at both ends of a text, in small letters, without accents."""
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]} {text[-TAIL:]}"
    if not text.isascii():
        text = unicodedata.normalize("NFD", text)
    return text.encode("ascii", "ignore").lower().replace(b"'", b"").translate(_SEPARATORS).split()


def _spoken(words: Iterable[bytes]) -> bytes:
    return b" %b " % b" ".join(words)


def _count(words: list[bytes], scores: dict[Task, float]) -> None:
    """Add what the cues in these words count; each cue counts once."""
    index = _index()
    spoken = b""
    first = 0
    seen: set[str] = set()
    for word in index.keys() & words:
        if not spoken:
            spoken = _spoken(words)
            first = len(_spoken(words[:_FIRST_WORDS])) - 1
        for cue in index[word]:
            at = -1 if cue.label in seen else _position(cue.parts, spoken)
            if at >= 0 and (at < first or cue.task is not Task.CHAT):
                seen.add(cue.label)
                value = _VALUE.get(cue.task, 1.0) * (2.0 if at < first else 1.0)
                scores[cue.task] = scores.get(cue.task, 0.0) + value


def _position(parts: tuple[bytes, ...], spoken: bytes) -> int:
    """Where the first part begins if all follow one another, else -1."""
    start = position = spoken.find(parts[0])
    for part in parts:
        position = spoken.find(part, position) if position >= 0 else -1
        if position < 0:
            return -1
        position += len(part) - 1
    return start


@cache
def _index() -> Mapping[bytes, tuple[_Cue, ...]]:
    """The cues by their longest word, mostly the rarest."""
    by_word: dict[bytes, list[_Cue]] = {}
    for task, listing in _CUES.items():
        for label, variants in parse(listing):
            for variant in variants:
                parts = [_words(part) for part in variant.split("…")]
                longest = max((word for part in parts for word in part), key=len)
                cue = _Cue(tuple(map(_spoken, parts)), task, f"{task}:{label}")
                by_word.setdefault(longest, []).append(cue)
    return {word: tuple(cues) for word, cues in by_word.items()}
