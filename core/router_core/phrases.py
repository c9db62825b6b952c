"""The phrases that verifiers look for in answers, as data.

Source: written for this project from everyday use, in English and Spanish; taken from no published list and fitted to
no benchmark.

Notation: phrases are parted by ``;``; ``{a|b|}`` stands for a, for b, or for nothing. Capitals, contractions ("don't"
is "do not"), the shape of apostrophes and the words under ``ASIDES`` do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

Language: TypeAlias = Literal["en", "es"]
Lines: TypeAlias = Mapping[Language, str]


def phrases(lines: Lines) -> list[str]:
    """The phrases of all languages, each alternative written out."""
    written = (phrase for text in lines.values() for phrase in text.split(";") if phrase.strip())
    return list(dict.fromkeys(way for phrase in written for way in _ways(phrase)))


def _ways(phrase: str) -> Iterator[str]:
    innermost = re.search(r"\{([^{}]*)\}", phrase)
    if innermost is None:
        yield " ".join(phrase.split())
        return
    for way in innermost[1].split("|"):
        yield from _ways(f"{phrase[: innermost.start()]}{way}{phrase[innermost.end() :]}")


CONTRACTIONS: Mapping[str, str] = {
    "i'm": "i am",
    "i've": "i have",
    "i'd": "i would",
    "i'll": "i will",
    "it's": "it is",
    "that's": "that is",
    "you're": "you are",
    "can't": "can not",
    "cant": "can not",
    "cannot": "can not",
    "couldn't": "could not",
    "don't": "do not",
    "dont": "do not",
    "didn't": "did not",
    "doesn't": "does not",
    "haven't": "have not",
    "isn't": "is not",
    "won't": "will not",
    "wouldn't": "would not",
    "fulfil": "fulfill",
    "apologise": "apologize",
}
"""One word as others; two spellings of one word are treated alike."""

ASIDES: Lines = {
    "en": """
        actually; really; honestly; frankly; truly; simply; just; currently; presently; unfortunately; sadly;
        regrettably; any; enough; sufficient; specific; further; therefore; also; very; please
    """,
    "es": """
        realmente; sinceramente; simplemente; actualmente; lamentablemente; desafortunadamente; desgraciadamente;
        ninguna; ningún; suficiente; suficientes; específica; específicos; también; mucho; muy; yo
    """,
}
"""Single words that change nothing in what is said and are passed over."""

SAME: Mapping[str, str] = {
    "am not able to": "can not",
    "am unable to": "can not",
    "will not be able to": "can not",
    "am not allowed to": "can not",
    "am not permitted to": "can not",
    "could not possibly": "can not",
    "can not possibly": "can not",
    "must respectfully": "must",
    "lamento no poder": "no puedo",
    "siento no poder": "no puedo",
    "no me es posible": "no puedo",
    "no soy capaz de": "no puedo",
    "no podré": "no puedo",
    "no se me permite": "no puedo",
    "te puedo": "puedo",
}
"""Two ways to say one thing; the left is read as the right."""

OPENERS: Lines = {
    "en": """
        sorry {|about that|for {that|the inconvenience|the confusion}}; i am {|terribly} sorry {|about that};
        i am sorry for {that|the inconvenience|the confusion|any confusion};
        i apologize {|for {that|the inconvenience|the confusion|any confusion}}; {|my} apologies; i am afraid; i regret;
        well; hm; hmm; um; uh; oh; ah; hi; hello; hey; ok; okay; to be {honest|frank};
        in all honesty; right now; at {this time|the moment|present};
        i {understand|appreciate} your {question|request|concern|interest|frustration};
        {thank you|thanks} for {your {question|request|message|interest}|asking|reaching out};
        {|that is a} {good|great|interesting} question; {|final} answer :
    """,
    "es": """
        lo siento; lo lamento; perdón; perdona; perdone; disculpa; disculpe; mis disculpas; {me temo|lamento decir};
        {lamento|siento} {las molestias|la confusión}; pido disculpas {|por {las molestias|la confusión}}; bueno; pues;
        hola; vaya; uf; eh; la verdad {|es}; para ser {sincero|sincera|honesto};
        en este momento; por ahora; entiendo tu {pregunta|solicitud|preocupación};
        gracias por {tu {pregunta|mensaje|consulta|interés}|su {pregunta|mensaje|consulta|interés}|preguntar|contactar};
        {buena|gran} pregunta; respuesta :
    """,
}
"""What an answer may begin with before it says anything."""

JOINTS: Lines = {"en": "and; but; that; so; however", "es": "y; pero; que; así que; sin embargo"}
"""What joins an opener to what it opens."""

SETTINGS: Lines = {
    "en": """
        as an {ai|artificial intelligence|assistant|llm}; as a {|large} language model; as a {text based|virtual};
        {being|i am|since i am|because i am} {an ai|a language model|a large language model}; based on the; given the;
        from the
    """,
    "es": """
        como {|una|un} {ia|inteligencia artificial|modelo|asistente}; {al ser|siendo} {una ia|un modelo|un asistente};
        {basándome|con base} en; según {el|la|los}; de acuerdo con; con la información
    """,
}
"""Openers with an end of their own choosing: what follows them is passed over up to a comma, or to "I" or "no"."""

CLOSERS: Lines = {
    "en": """
        sorry; i am {sorry|afraid}; right now; at {this time|the moment|present|all}; yet; my apologies;
        i apologize {|for {that|the inconvenience}}
    """,
    "es": "lo siento; lo lamento; en este momento; ahora mismo; por ahora; todavía; aún; disculpa; disculpe; me temo",
}
"""What may follow without adding anything."""

CONTRASTS: Lines = {
    "en": "but; however; although; though; yet; nevertheless; still; instead; while; whereas; here is; here are",
    "es": "pero; sin embargo; aunque; no obstante; sino; mientras; en cambio; aquí tienes; a continuación",
}
"""After one of these, more is said than that nothing is known or done."""

REASONS: Lines = {
    "en": "as; since; because; so; given that; or; nor; and i; including; such as; like; especially; which; due to",
    "es": """
        ya que; porque; dado que; puesto que; pues; por lo que; así que; o; ni; y no; incluyendo; como; especialmente;
        debido a
    """,
}
"""How a part after a comma begins that only explains what stands before it."""

ABSTAINS: Mapping[str, Lines] = {
    "whole": {
        "en": """
            {i|} do not know {|that|this|it|yet|the answer}; i do not know {|anything} about {that|this|it};
            i do not know {the answer to|how to answer} {that|this|it|{your|the|that|this} question};
            {i|} dunno; idk; {i have |}no {idea|clue}; i have not {|got} {a|the} {clue|foggiest|faintest|faintest idea};
            i do not have {a clue|an idea|an answer|the answer|{that|this} information}; i have no answer;
            i {do not have|have no} {an |the |}answer {to|for} {that|this|it|{your|the|that|this} question};
            {that|this} is beyond my knowledge; i can not know {that|this}; i can not predict the future
        """,
        "es": """
            {|eso} no {|lo} {sé|se}; no sé {la respuesta|eso|nada|nada de eso|nada sobre eso};
            no sé {cómo|qué} {responder|decir}; no {sé|conozco} la respuesta a {eso|{esa|esta|tu|su} pregunta};
            {|no tengo} ni {|la {menor|más mínima|más remota}} idea; no tengo {|la {menor|más mínima|más remota}} idea;
            no conozco {eso|la respuesta}; lo desconozco; desconozco {eso|la respuesta}; lo ignoro; ignoro la respuesta;
            no tengo {|la|una} respuesta {|{para|a} {eso|{esa|esta|tu|su} pregunta}}; no tengo {esa|dicha} información;
            no {puedo saberlo|lo puedo saber}; no puedo predecir el futuro
        """,
    },
    "opening": {
        "en": """
            i do not know anything about; i know nothing about; i can not know;
            i have no {idea|clue|information|knowledge|way of knowing|way to know};
            i do not have {|a|the} {information|info|data|details|knowledge|idea|clue|way of knowing|way to know}
        """,
        "es": """
            no sé nada {de|sobre|acerca de}; no puedo saber; no tengo {forma|manera|modo} de saber;
            no {tengo|dispongo de|cuento con|poseo} {|la|los|esa} {información|datos|conocimiento|conocimientos|idea}
        """,
    },
    "weak": {
        "en": """
            {i|} do not know; {i am |}{not sure|not certain|unsure|uncertain}; i am not familiar with;
            i do not {recall|remember}; i have {never|not} heard of; i have no access;
            i do not have {|the} {access|ability|context}; i do not have {real time|up to date|live|direct|internet};
            i can not {access|browse|search|look up|verify|confirm|determine|predict|tell|say|recall|remember};
            i could not {determine|verify|confirm}; i {can|could|did} not find {information|info|data|details};
            i was {unable|not able} to {determine|verify|confirm|find {information|info|data|details}}
        """,
        "es": """
            no {|lo} sé; no estoy {seguro|segura|familiarizado|familiarizada}; desconozco; ignoro; no recuerdo;
            no {tengo|dispongo de|cuento con} {|el|la} {acceso|capacidad|contexto};
            no puedo {acceder|navegar|verificar|confirmar|determinar|predecir|consultar|comprobar|decir};
            no {encuentro|encontré|he encontrado|he podido encontrar|pude encontrar} {información|datos}
        """,
    },
}
"""Answers that say that the answer is not known.

``whole``: such a sentence is nothing else, and as the first sentence it decides. ``opening``: what stands behind it is
what is not known; as the first sentence it decides as well. ``weak``: the same, but an answer may well follow, so it
decides only where a finished answer holds nothing else.

What may be the answer itself is not among them: "I can't find any errors", "I have no preferences"."""

REFUSES: Mapping[str, Lines] = {
    "whole": {
        "en": """
            i {can|will} not {answer|help|assist|comply}; i can not {help|assist} you;
            i {can|will} not {do|answer|discuss|support|provide|write|create|generate} {that|this|it};
            i {can|will} not answer {that|this|your|the} question; i {must|have to} {decline|refuse};
            i would rather not {|answer|answer that|say|do that}
        """,
        "es": """
            no puedo {hacerlo|hacer eso|hacer esto}; no puedo {ayudar|ayudarte|ayudarle|ayudaros|asistirte};
            no puedo {responder|contestar} {|{|a} {eso|{esa|esta|tu|su} pregunta}};
            no {voy a|pienso} {hacerlo|hacer eso|responder}; {debo|tengo que} negarme; prefiero no {responder|hacerlo}
        """,
    },
    "opening": {
        "en": """
            i {can|will} not {help|assist} {|you} {with|in}; i {can|will} not {comply with|participate in|engage in};
            i {can|will} not {fulfill|complete|process|accommodate} {that|this|your|the|such};
            i {|must|have to} {decline|refuse} to {answer|help|assist|provide|write|create|generate|discuss|engage};
            i {am not|do not feel} comfortable {with|helping|assisting|providing|creating|writing|answering|discussing}
        """,
        "es": """
            no puedo {ayudar|ayudarte|ayudarle|ayudaros|asistir|asistirte|asistirle} {con|en};
            no puedo {cumplir|atender|satisfacer|completar|procesar} {|con|a} {esa|esta|tu|su|dicha|ese|este};
            no puedo {participar en|colaborar con}; {debo|tengo que} {rechazar|declinar} {esa|esta|tu|su};
            {me niego a|debo negarme a|tengo que negarme a} {responder|ayudar|escribir|generar|crear|proporcionar|hacer}
        """,
    },
    "weak": {
        "en": """
            i {can|will} not {provide|create|generate|write|produce|discuss|answer|respond to|translate|advise on};
            i {can|will} not {promote|condone|encourage|facilitate|assist|recommend|give {advice|instructions}};
            i am {programmed|designed} not to; it {is not|would not be} appropriate for me
        """,
        "es": """
            no puedo {proporcionar|proporcionarte|proporcionarle|facilitar|brindar|crear|generar|producir|emitir};
            no puedo {escribir|redactar|traducir|responder a|discutir|promover|fomentar|recomendar|dar consejo};
            no {es|sería} apropiado que
        """,
    },
}
"""Answers that decline; the kinds are those of ``ABSTAINS``."""

COURTESIES: Lines = {
    "en": """
        {consult|check|contact|provide|refer to|visit|rephrase|share|clarify|specify|seek|reach out|try asking};
        i {|would} {recommend|suggest|advise|encourage} {|that} you {|to} {check|consult|contact|visit|search|refer};
        i {|would} {recommend|suggest|advise} {checking|consulting|contacting|visiting|searching|referring|seeking};
        you {can|may|could|might|should} {|want to|need to|wish to} {check|consult|contact|visit|refer|search|ask|seek};
        if you {have other|have more|have questions|have another|need help|need assistance|need more|would like};
        if you {provide|can provide|could provide|share|give me|let me know|tell me}; feel free; let me know;
        {can|could|would} you {provide|clarify|specify|share|give|tell|rephrase|elaborate|let};
        is there {anything|something} else; what else can i; how {can|may} i {help|assist}; can i help you;
        for {more|the most|up to date|accurate|current|detailed|reliable} information; for the latest;
        my {training|knowledge|last update|guidelines|programming}; i was trained; i hope; i aim to; thank you;
        i {am|would be} happy to; i am {here to|designed|programmed|an ai|a language};
        {it|this|that|doing so|this request|that request|your request} {goes|is} against;
        {it|this|that|doing so|this request|that request|your request} {violates|is illegal|is unethical|is harmful}
    """,
    "es": """
        {consulta|consulte|verifica|verifique|contacta|contacte|visita|visite|revisa|revise|proporciona|acude};
        {|te|le|os} {recomiendo|sugiero|aconsejo}; no dudes en; no dude en; espero;
        {puedes|puede|podrías|podría|deberías} {consultar|verificar|contactar|visitar|revisar|buscar|acudir};
        {puedes|puede|podrías|podría} {darme|aclarar|aclararme|decirme|proporcionarme|especificar|reformular};
        si {tienes|tiene|necesitas|necesita|me das|me da|me proporcionas|quieres que|deseas|me indicas};
        hay {algo más|algo en lo|alguna otra}; {en qué|cómo|con qué} {puedo|más puedo}; puedo ayudarte con;
        estoy {aquí para|diseñado|programado}; para {más|obtener más} información; fui {entrenado|diseñado};
        mi {entrenamiento|conocimiento}; mis {datos|conocimientos}; {es|sería} ilegal;
        {esto|eso|esa solicitud|tu solicitud} {va contra|va en contra|viola|infringe|es ilegal}
    """,
}
"""Sentences beside an abstention or a refusal that do not answer anything: referrals, offers, reasons."""

HEDGES: Lines = {
    "en": """
        {i'm|i am} not {sure|certain|entirely sure|completely sure}; i {don't|do not} know;
        {i'm|i am} {unsure|uncertain}; not sure; i {think|believe|guess|suppose|assume}; maybe; perhaps; possibly;
        probably; might be; may be; could be; it seems; it {depends|appears};
        it is {possible|likely|unclear|hard to say}; hard to say; as far as i know; to my knowledge;
        if i {recall|remember} correctly; i could be wrong; i may be wrong; i might be wrong; unclear;
        {can't|cannot|can not} be {sure|certain}; {don't|do not} have {enough|sufficient} information
    """,
    "es": """
        no estoy {seguro|segura|del todo seguro|del todo segura}; no {|lo} sé; creo que; pienso que; supongo que;
        imagino que; tal vez; quizá; quizás; posiblemente; probablemente; podría ser; puede que; puede ser; a lo mejor;
        parece que; es {posible|probable} que; depende; no está claro; es difícil {decir|saber}; hasta donde sé;
        que yo sepa; si {mal no recuerdo|no recuerdo mal}; podría equivocarme; puedo estar {equivocado|equivocada};
        no tengo suficiente información
    """,
}
"""Words of doubt, wherever they stand."""
