"""The demo without a network: the shipped prompts, three scripted models, and the ways to route that are compared."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from router_core.demo.play import play
from router_core.demo.script import MODELS, Prompt, Script
from router_core.demo.tally import CLIMB, RANDOM, ROUTED, STRONGEST, WEAKEST, Outcome, Report, Row, Totals
from router_core.policies import CallablePolicy, CheapestPolicy
from router_core.policies.base import Policy
from router_core.router import Router
from router_core.testing import ScriptedHost

DEALS = 50
"""Runs with a random start: enough for a mean that does not hang on one seed, and done in a moment."""


def offline_steps(prompts: Sequence[Prompt]) -> int:
    """How often ``advance`` will be called by ``play_offline``."""
    return len(prompts) * (4 + DEALS)


def play_offline(prompts: Sequence[Prompt], advance: Callable[[], None]) -> Report:
    """Run the prompts with the default policy, and in the other ways for comparison."""
    host = ScriptedHost(Script(prompts))

    def run(policy: Policy | None = None, force_model: str | None = None) -> Totals:
        return Totals.of(play(Router(MODELS, policy=policy, host=host), prompts, advance, force_model=force_model))

    router = Router(MODELS, host=host)
    routed = play(router, prompts, advance)
    totals = Totals.of(routed)
    strongest = run(force_model=MODELS[-1].name)
    rows = (
        Row(STRONGEST, "The strongest model answers everything, nothing else is asked", (strongest,)),
        Row(ROUTED, f"The policy “{router.policy.name}” starts, the verifiers decide whether to climb", (totals,)),
        Row(
            RANDOM,
            f"The router's own starts, dealt out by chance; the same verifiers; mean of {DEALS} deals",
            tuple(run(_deal(routed, seed)) for seed in range(DEALS)),
        ),
        Row(CLIMB, "The cheapest model starts, the same verifiers decide whether to climb", (run(CheapestPolicy()),)),
        Row(
            WEAKEST,
            "The weakest model answers everything, nothing else is asked",
            (run(force_model=MODELS[0].name),),
        ),
    )
    return Report(
        live=False,
        models=MODELS,
        policy=router.policy.name,
        verifiers=tuple(verifier.name for verifier in router.verifiers),
        routed=routed,
        totals=totals,
        rows=rows,
        baseline_nano=strongest.cost_nano,
        seconds=median(outcome.receipt.latency_s for outcome in routed),
    )


def _deal(routed: Sequence[Outcome], seed: int) -> Policy:
    """The starts of a run in random order: what the router's choice would be worth if it knew nothing of the prompts.

    As many requests start with each model as in the run, so that the comparison is of the choice and not of the share.
    """
    starts = [outcome.receipt.attempts[0].model for outcome in routed]
    random.Random(seed).shuffle(starts)  # noqa: S311 - reproducible, not secret
    dealt: Mapping[str | None, str] = dict(zip((outcome.receipt.call_site for outcome in routed), starts, strict=True))
    return CallablePolicy(lambda request, _candidates: dealt[request.call_site])
