"""What tokens cost: the one price path of the project.

A price given by the user wins. Otherwise genai-prices is asked: dated, tiered, with cached, audio and reasoning tokens.
A model that neither knows has no price: its cost is ``None``, never 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import TYPE_CHECKING

from router_core.types import NANO, REGISTRY_PRICE, Cost, Model, Price, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

_USUAL_TIERS = frozenset({"default", "auto", "standard", "on_demand", "scale"})
"""The words of OpenAI, Anthropic and Groq for calls that cost what the list says."""

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

        None if the price is unknown, also that of a ``service_tier`` which is not the usual one, or if the parts of the
        usage contradict each other (more cached than input tokens): then nobody can tell what will be billed. The
        user's own price holds for every tier.
        """
        try:
            if model.price is not None:
                return Cost(_flat(model.price, usage), REGISTRY_PRICE)
            found = self._find(model)
            if found is None:
                return None
            if service_tier is None or service_tier in _USUAL_TIERS:
                return Cost(self._by_list(found, usage), _published_version())
            nano = self._in_tier(found, usage, service_tier)
            return None if nano is None else Cost(nano, _published_version())
        except ValueError:
            return None

    def _in_tier(self, found: ModelInfo, usage: Usage, tier: str) -> int | None:
        # The list tells tiers, batches and fast modes apart by different names of one word.
        variants = getattr(found, "price_variants", None) or ()
        context = {name: word for variant in variants for name, word in variant.when.items() if word == tier}
        if not context:
            return None
        price = found.get_prices(self._now(), context)
        return _nano(price.calc_price(_published_usage(usage))["total_price"])

    def _by_list(self, found: ModelInfo, usage: Usage) -> int:
        price = found.get_prices(self._now())
        if id(price) not in self._flats:
            self._flats[id(price)] = _as_flat(price)
        flat = self._flats[id(price)]
        if flat is not None and _is_plain(usage):
            return _flat(flat, usage)
        return _nano(price.calc_price(_published_usage(usage))["total_price"])

    def _find(self, model: Model) -> ModelInfo | None:
        key = (model.provider, model.id)
        if key not in self._published:
            self._published[key] = _look_up(*key)
        return self._published[key]


def _look_up(provider: str, model_id: str) -> ModelInfo | None:
    from genai_prices.data_snapshot import get_snapshot

    try:
        _, found = get_snapshot().find_provider_model(model_id, None, provider, None)
    except LookupError:
        return None
    price = found.prices if not isinstance(found.prices, list) else found.prices[0].prices if found.prices else None
    # A list entry without both token prices (an embedding, a transcription) says nothing about chat.
    return found if price is not None and price.input_mtok is not None and price.output_mtok is not None else None


@cache
def _published_version() -> str:
    from genai_prices import __version__

    return f"genai-prices {__version__}"


def _base(price: object) -> Decimal:
    base = getattr(price, "base", price)
    return base if isinstance(base, Decimal) else Decimal(0)


def _is_plain(usage: Usage) -> bool:
    return not (usage.input_audio_tokens or usage.output_audio_tokens or usage.reasoning_tokens)


def _as_flat(price: ModelPrice) -> Price | None:
    """A published price as ours where it is one number per kind of token: spares the general decomposition (30 us)."""
    parts = (price.input_mtok, price.output_mtok, price.cache_read_mtok, price.cache_write_mtok)
    if not all(part is None or isinstance(part, Decimal) for part in parts) or price.requests_kcount is not None:
        return None
    return Price(input=_base(parts[0]), output=_base(parts[1]), cache_read=parts[2], cache_write=parts[3])  # type: ignore[arg-type]


def _flat(price: Price, usage: Usage) -> int:
    cached = usage.cache_read_tokens + usage.cache_write_tokens
    if not cached:
        return _plain(price, usage.input_tokens, usage.output_tokens)
    if cached > usage.input_tokens:
        raise ValueError(f"usage has {cached} cached tokens but only {usage.input_tokens} input tokens")
    dollars = (usage.input_tokens - cached) * price.input + usage.output_tokens * price.output
    dollars += usage.cache_read_tokens * (price.input if price.cache_read is None else price.cache_read)
    dollars += usage.cache_write_tokens * (price.input if price.cache_write is None else price.cache_write)
    return int((dollars * _PER_TOKEN).to_integral_value(ROUND_HALF_EVEN))


def _plain(price: Price, input_tokens: int, output_tokens: int) -> int:
    dollars = input_tokens * price.input + output_tokens * price.output
    return int((dollars * _PER_TOKEN).to_integral_value(ROUND_HALF_EVEN))


def _nano(dollars: Decimal) -> int:
    return int((dollars * NANO).to_integral_value(ROUND_HALF_EVEN))


def _published_usage(usage: Usage) -> object:
    from genai_prices import Usage as Published

    return Published(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
        input_audio_tokens=usage.input_audio_tokens or None,
        output_audio_tokens=usage.output_audio_tokens or None,
        output_reasoning_tokens=usage.reasoning_tokens or None,
    )
