"""What tokens cost: the one price path of the project.

A price given by the user wins. Otherwise genai-prices is asked: dated, tiered, with cached, audio and reasoning tokens.
A model that neither knows has no price: its cost is ``None``, never 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import TYPE_CHECKING, cast

from router_core.types import NANO, REGISTRY_PRICE, Cost, Model, Price, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_USUAL_TIERS = frozenset({"default", "auto", "standard", "on_demand"})
"""The words of OpenAI, Anthropic and Groq for calls that cost what the list says."""

_FACTORS = {
    # As of November 2026: what on-demand calls cost (console.groq.com/docs/flex-processing); inference in the US only,
    # every kind of token (platform.claude.com/docs/en/manage-claude/data-residency).
    ("groq", "flex"): Decimal(1),
    ("anthropic", "us"): Decimal("1.1"),
}
"""What is published of a provider's tiers and does not stand in the price list: their price over the usual one."""

_AUDIO_APART = frozenset({"openai", "azure"})
"""Who never sells audio at the price of text, so that a list without a price for it does not know."""

_PER_TOKEN = Decimal(NANO) / 1_000_000
"""Nano-dollars per token for a price of one US dollar per million tokens."""


@dataclass(frozen=True, slots=True)
class Quote:
    """The headline price of a model, in US dollars per million tokens, and the version of the list it stands in."""

    input: Decimal
    output: Decimal
    version: str


class PriceBook:
    """Prices of models. ``now`` tells the time (aware, UTC) at which dated prices are looked up.

    Lookups are remembered per model; the object is safe to share between threads.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._published: dict[tuple[str, str], ModelInfo | None] = {}
        # By identity: price lists live as long as the snapshot that this book has looked into.
        self._flats: dict[int, Price | None] = {}

    def quote(self, model: Model) -> Quote | None:
        """The headline price, or None if it is unknown. For tiered prices it is the first tier's."""
        if model.price is not None:
            return Quote(model.price.input, model.price.output, REGISTRY_PRICE)
        found = self._find(model)
        if found is None:
            return None
        price = found.get_prices(self._now())
        return Quote(_base(price.input_mtok), _base(price.output_mtok), _published_version())

    def context_window(self, model: Model) -> int | None:
        """Tokens that the model can hold: as the registry says, else as the price list does, else None."""
        if model.context_window is not None or model.price is not None:
            return model.context_window
        found = self._find(model)
        return None if found is None else found.context_window

    def text_cost(self, model: Model, input_tokens: int, output_tokens: int) -> int | None:
        """Nano-dollars of that many plain tokens, or None if the price is unknown."""
        if model.price is not None:
            return _plain(model.price, input_tokens, output_tokens)
        cost = self.cost(model, Usage(input_tokens=input_tokens, output_tokens=output_tokens))
        return None if cost is None else cost.nano

    def cost(self, model: Model, usage: Usage, service_tier: str | None = None) -> Cost | None:
        """What these tokens of this model cost, rounded half-even to a nano-dollar.

        ``service_tier`` is the word of ``Reply.service_tier``. None if the price is unknown, also that of a tier which
        is not the usual one, or if the parts of the usage contradict each other (more cached than input tokens): then
        nobody can tell what will be billed. The user's own price holds for every tier.
        """
        return self._cost_at(None, model, usage, service_tier)

    def _cost_at(self, moment: datetime | None, model: Model, usage: Usage, service_tier: str | None) -> Cost | None:
        """The cost at a moment, None for now."""
        if _contradicts_itself(usage):
            return None
        if model.price is not None:
            return Cost(_flat(model.price, usage), REGISTRY_PRICE)
        found = self._find(model)
        if found is None:
            return None
        moment = moment or self._now()
        try:
            if service_tier is None or service_tier in _USUAL_TIERS:
                return Cost(self._by_list(found, usage, model.provider, moment), _published_version())
            nano = self._in_tier(found, usage, model.provider, service_tier, moment)
            return None if nano is None else Cost(nano, _published_version())
        except ValueError:  # parts that genai-prices cannot tell apart, such as cached tokens of which some are audio
            return None

    def worst_cost(
        self, model: Model, usage: Usage, service_tier: str | None = None, *, audio: bool = False
    ) -> int | None:
        """Nano-dollars that a call costs at most, None if that is unknown. Of ``usage`` its two totals count.

        Whatever of the input is written to a cache, for however long; also if all of it is ``audio``; whether it is
        served in the usual tier or in the one that was asked for; and where prices follow the hour, at any of the day.
        """
        given = usage.input_tokens
        ways = [Usage(input_tokens=given, output_tokens=usage.output_tokens)]
        short, long = self._priced_writes(model)
        if short:
            ways.append(replace(ways[0], cache_write_tokens=given))
        if long:
            ways.append(replace(ways[0], cache_write_tokens=given, cache_write_1h_tokens=given))
        if audio:
            ways.append(replace(ways[0], input_audio_tokens=given))
        moments, tiers = self._moments(model), {None, service_tier}
        costs = [self._cost_at(at, model, way, tier) for way in ways for tier in tiers for at in moments]
        known = [cost.nano for cost in costs if cost is not None]
        return max(known) if len(known) == len(costs) else None

    def _priced_writes(self, model: Model) -> tuple[bool, bool]:
        """Whether what is written to a cache has a price of its own, and whether what is kept there for an hour has."""
        if model.price is not None:
            return model.price.cache_write is not None, model.price.cache_write_1h is not None
        found = self._find(model)
        if found is None:
            return False, False
        listed = found.get_prices(self._now())
        return listed.cache_write_mtok is not None, listed.cache_write_1h_mtok is not None

    def _moments(self, model: Model) -> list[datetime]:
        """Now, and the beginnings of the times of day at which the model has other prices."""
        now = self._now()
        found = None if model.price is not None else self._find(model)
        dated = found.prices if found is not None and isinstance(found.prices, list) else []
        hours = (getattr(each.constraint, "start_time", None) for each in dated)
        return [now, *(datetime.combine(now.astimezone(UTC), hour) for hour in hours if hour is not None)]

    def _in_tier(self, found: ModelInfo, usage: Usage, provider: str, served: str, moment: datetime) -> int | None:
        """The cost by what the list, or else the provider, says of each word."""
        context, factor = {}, Decimal(1)
        # The list tells tiers, batches and fast modes apart by different names of one word, and some by the day.
        variants = [
            variant
            for variant in found.price_variants or ()
            if variant.constraint is None or variant.constraint.active(moment)
        ]
        for word in set(served.split("+")) - _USUAL_TIERS:
            named = {name: word for variant in variants for name, of in variant.when.items() if of == word}
            if not named and (provider, word) not in _FACTORS:
                return None
            context.update(named)
            factor *= _FACTORS.get((provider, word), 1)
        price = found.get_prices(moment, context)
        return _nano(_dollars(price, usage, provider) * factor)

    def _by_list(self, found: ModelInfo, usage: Usage, provider: str, moment: datetime) -> int:
        price = found.get_prices(moment)
        if id(price) not in self._flats:
            self._flats[id(price)] = _as_flat(price)
        flat = self._flats[id(price)]
        if flat is not None and _is_plain(usage):
            return _flat(flat, usage)
        return _nano(_dollars(price, usage, provider))

    def _find(self, model: Model) -> ModelInfo | None:
        key = (model.provider, model.id)
        if key not in self._published:
            self._published[key] = _look_up(*key)
        return self._published[key]


def _look_up(provider: str, model_id: str) -> ModelInfo | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        seller, found = get_snapshot().find_provider_model(model_id, None, provider, None)
    except LookupError:
        return None
    price = found.prices if not isinstance(found.prices, list) else found.prices[0].prices if found.prices else None
    # A list entry without both token prices (an embedding, a transcription) says nothing about chat.
    if price is None or price.input_mtok is None or price.output_mtok is None:
        return None
    # Who sells a model of another maker sells it in tiers of his own.
    return found if any(found is sold for sold in seller.models) else replace(found, price_variants=None)


@cache
def _published_version() -> str:
    from genai_prices import __version__

    return f"genai-prices {__version__}"


def _base(price: object) -> Decimal:
    base = getattr(price, "base", price)
    return base if isinstance(base, Decimal) else Decimal(0)


def _is_plain(usage: Usage) -> bool:
    return not (usage.input_audio_tokens or usage.output_audio_tokens or usage.reasoning_tokens)


def _contradicts_itself(usage: Usage) -> bool:
    """Whether a part is more than its whole, so that nobody can tell what will be billed."""
    return (
        usage.cache_read_tokens + usage.cache_write_tokens > usage.input_tokens
        or usage.cache_write_1h_tokens > usage.cache_write_tokens
        or usage.input_audio_tokens > usage.input_tokens
        or usage.reasoning_tokens > usage.output_tokens
        or usage.output_audio_tokens > usage.output_tokens
    )


def _as_flat(price: ModelPrice) -> Price | None:
    """A published price as ours where it is one number per kind of token: spares the general decomposition (30 us)."""
    told = (price.input_mtok, price.output_mtok, price.cache_read_mtok, price.cache_write_mtok)
    parts = (*told, price.cache_write_1h_mtok)
    if not all(part is None or isinstance(part, Decimal) for part in parts) or price.requests_kcount is not None:
        return None
    return Price(
        input=_base(parts[0]),
        output=_base(parts[1]),
        cache_read=cast("Decimal | None", parts[2]),
        cache_write=cast("Decimal | None", parts[3]),
        cache_write_1h=cast("Decimal | None", parts[4]),
    )


def _flat(price: Price, usage: Usage) -> int:
    read, written, for_an_hour = usage.cache_read_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens
    if not (read or written):
        return _plain(price, usage.input_tokens, usage.output_tokens)
    write = price.input if price.cache_write is None else price.cache_write
    dollars = (usage.input_tokens - read - written) * price.input + usage.output_tokens * price.output
    dollars += read * (price.input if price.cache_read is None else price.cache_read)
    dollars += (written - for_an_hour) * write
    dollars += for_an_hour * (write if price.cache_write_1h is None else price.cache_write_1h)
    return int((dollars * _PER_TOKEN).to_integral_value(ROUND_HALF_EVEN))


def _plain(price: Price, input_tokens: int, output_tokens: int) -> int:
    dollars = input_tokens * price.input + output_tokens * price.output
    return int((dollars * _PER_TOKEN).to_integral_value(ROUND_HALF_EVEN))


def _nano(dollars: Decimal) -> int:
    return int((dollars * NANO).to_integral_value(ROUND_HALF_EVEN))


def _dollars(price: ModelPrice, usage: Usage, provider: str) -> Decimal:
    """What genai-prices makes of the usage; ``ValueError`` if the list cannot tell."""
    unpriced = (usage.input_audio_tokens and price.input_audio_mtok is None) or (
        usage.output_audio_tokens and price.output_audio_mtok is None
    )
    if unpriced and provider in _AUDIO_APART:
        raise ValueError("usage has audio tokens, and the list no price for them")
    return price.calc_price(_published_usage(usage))["total_price"]


def _published_usage(usage: Usage) -> object:
    from genai_prices import Usage as Published

    return Published(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        cache_write_1h_tokens=usage.cache_write_1h_tokens or None,
        input_audio_tokens=usage.input_audio_tokens or None,
        output_audio_tokens=usage.output_audio_tokens or None,
        output_reasoning_tokens=usage.reasoning_tokens or None,
    )
