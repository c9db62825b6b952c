"""Which models can serve a request, and the reason of each that cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from router_core.latency import Observations
from router_core.options import Settings
from router_core.prices import PriceBook
from router_core.records import Candidate, Refusal, RefusalCode
from router_core.tokens import expected_input_tokens, input_bound
from router_core.types import JUDGE_TAG, NO_CONSTRAINTS, Capability, Model, RequestView, to_usd

Objection: TypeAlias = "tuple[RefusalCode, str] | None"
_Check: TypeAlias = Callable[[RequestView, Candidate, "Outlook"], Objection]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of the models beyond their entries: prices, and what was observed of them. ``strongest`` is the
    model that savings are measured against."""

    prices: PriceBook
    observations: Observations
    settings: Settings
    strongest: Model | None = None

    def candidate(self, model: Model, request: RequestView, input_tokens: int) -> Candidate:
        """The model with the cost and latency to expect of one answer to that many input tokens."""
        latency_s, output = self.observations.of(model.name)
        output = output or self.settings.expected_output_tokens
        if request.max_tokens is not None and request.max_tokens < output:
            output = request.max_tokens
        if model.max_output_tokens is not None and model.max_output_tokens < output:
            output = model.max_output_tokens
        cost = self.prices.text_cost(model, input_tokens, output)
        return Candidate(model, cost, model.latency_s if latency_s is None else latency_s)


def feasible(request: RequestView, models: Iterable[Model], outlook: Outlook) -> tuple[list[Candidate], list[Refusal]]:
    """The models that the constraints allow, in the order given, and the reasons of the others.

    ``min_quality`` is not looked at here: only the policy can predict quality.
    """
    allowed: list[Candidate] = []
    refusals: list[Refusal] = []
    checks = _checks(request)
    input_tokens = expected_input_tokens(request)
    for model in models:
        if JUDGE_TAG in model.tags:
            refusals.append(Refusal(model.name, RefusalCode.JUDGES_ONLY, f"has the tag {JUDGE_TAG!r}"))
            continue
        candidate = outlook.candidate(model, request, input_tokens)
        objection = None
        for check in checks:
            objection = check(request, candidate, outlook)
            if objection is not None:
                break
        if objection is None:
            allowed.append(candidate)
        else:
            refusals.append(Refusal(model.name, *objection))
    return allowed, refusals


def quality_objection(request: RequestView, quality: float | None) -> Objection:
    """Whether the quality that a policy predicts of a model is below what the request demands."""
    least = request.constraints.min_quality
    if least is None:
        return None
    if quality is None:
        return (
            RefusalCode.QUALITY_UNKNOWN,
            f"min_quality is {least:g} and nothing predicts this model's quality; give it a 'quality' in the registry",
        )
    if quality < least:
        return RefusalCode.MIN_QUALITY, f"predicted {quality:.3f}, min_quality is {least:g}"
    return None


def _checks(request: RequestView) -> tuple[_Check, ...]:
    """The checks that can object to anything in this request: most requests demand nothing special."""
    if request.constraints is NO_CONSTRAINTS and not (request.tools or request.output_schema or request.modalities):
        return (_roomy,)
    return (_named, _capable, _roomy, _affordable, _quick)


def _named(request: RequestView, candidate: Candidate, _outlook: Outlook) -> Objection:
    model = candidate.model
    limits = request.constraints
    if limits.force_model is not None and limits.force_model != model.name:
        return RefusalCode.NOT_FORCED, f"force_model is {limits.force_model!r}"
    if limits.allow is not None and model.name not in limits.allow:
        return RefusalCode.NOT_ALLOWED, f"allow is {sorted(limits.allow)}"
    if model.name in limits.deny:
        return RefusalCode.DENIED, "listed in deny"
    missing = limits.require_tags - model.tags
    if missing:
        return RefusalCode.TAG_MISSING, f"lacks {sorted(missing)}, has {sorted(model.tags)}"
    return None


def _capable(request: RequestView, candidate: Candidate, _outlook: Outlook) -> Objection:
    model = candidate.model
    needed = set(request.modalities)
    if request.tools:
        needed.add(Capability.TOOLS)
    if request.forces_tool:
        needed.add(Capability.TOOL_CHOICE)
    if request.output_schema is not None:
        needed.add(Capability.STRUCTURED_OUTPUT)
    missing = needed - model.capabilities
    if missing:
        return RefusalCode.CAPABILITY, f"cannot do {', '.join(sorted(missing))}"
    return None


def _roomy(request: RequestView, candidate: Candidate, outlook: Outlook) -> Objection:
    model = candidate.model
    most, asked = model.max_output_tokens, request.max_tokens
    if most is not None and asked is not None and asked > most:
        return RefusalCode.MAX_OUTPUT, f"max_tokens is {asked}, the model gives at most {most}"
    window = outlook.prices.context_window(model)
    if window is None:
        return None
    room = window - (outlook.settings.expected_output_tokens if asked is None else asked)
    estimate = input_bound(request, room, model.provider)
    if estimate.tokens > room:
        note = f"; {estimate.note}" if estimate.note else ""
        return (
            RefusalCode.CONTEXT_WINDOW,
            f"up to {estimate.tokens} input tokens by {estimate.method}, room for {max(room, 0)} of {window}{note}",
        )
    return None


def _affordable(request: RequestView, candidate: Candidate, _outlook: Outlook) -> Objection:
    most = request.constraints.max_cost_usd
    if most is None:
        return None
    predicted = to_usd(candidate.cost_nano)
    if predicted is None:
        return (
            RefusalCode.COST_UNKNOWN,
            f"max_cost_usd is {most} and the model has no known price; give it a 'price' in the registry",
        )
    if predicted > most:
        return RefusalCode.MAX_COST, f"predicted ${predicted:f}, max_cost_usd is {most}"
    return None


def _quick(request: RequestView, candidate: Candidate, _outlook: Outlook) -> Objection:
    most = request.constraints.max_latency_s
    # A model never called is let through: nothing speaks against it, and only a call can tell.
    if most is not None and candidate.latency_s is not None and candidate.latency_s > most:
        return RefusalCode.MAX_LATENCY, f"observed {candidate.latency_s:.2f} s, max_latency_s is {most:g}"
    return None
