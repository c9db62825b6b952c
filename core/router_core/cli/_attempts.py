"""What the rows of attempts say: which model was called, and what it used."""

from __future__ import annotations

from router_core.registry import Registry
from router_core.stores import Row
from router_core.stores.rows import KINDS
from router_core.types import Model, Usage


class Catalog:
    """The models of attempts, with the own prices of a registry."""

    def __init__(self, registry: Registry | None) -> None:
        self._by_name = {} if registry is None else registry.by_name
        models = () if registry is None else registry.models
        self._by_id = {(model.provider, model.id): model for model in reversed(models)}

    def model_of(self, request: Row, attempt: Row) -> Model | None:
        """The model that an attempt called, None if nobody knows its id.

        The decision of its request knows it, else the registry under the same name and provider, else the provider
        told it with the answer. A model that the registry means has the registry's price, whatever its name is now.
        """
        name, provider = attempt["model"], attempt["provider"]
        now = self._by_name.get(name)
        model_id = id_called(request, attempt)
        if model_id is None and now is not None and now.provider == provider:
            return now
        model_id = model_id or attempt["model_id"]
        if model_id is None:
            return None
        if now is not None and (now.provider, now.id) == (provider, model_id):
            return now
        return self._by_id.get((provider, model_id)) or Model(name=name, id=model_id, provider=provider, endpoint="")

    def has(self, model: Model) -> bool:
        """Whether the registry means this model."""
        return self._by_id.get((model.provider, model.id)) is not None


def id_called(request: Row, attempt: Row) -> str | None:
    """What the provider calls the model, as the decision of the request knows it."""
    candidates = (request["decision"] or {}).get("candidates", ())
    return next((each["id"] for each in candidates if each["model"] == attempt["model"]), None)


def usage_of(attempt: Row) -> Usage | None:
    """The tokens of an attempt, None if nothing is known of them."""
    if attempt["input_tokens"] is None:
        return None
    return Usage(**{kind: attempt[kind] for kind in KINDS}, estimated=bool(attempt["estimated"]))
