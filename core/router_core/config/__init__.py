"""The registry file ``router.yaml``: the one place where models, endpoints, prices and rules are written down.

``load`` reads it into what a router is made of. The file holds no keys: an endpoint names the environment variable
that does, and a value that looks like a key is refused without being shown. Variables such as ``${NAME}`` are not
filled in.
"""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from router_core.budget import Budget
from router_core.config.shape import ConstraintsEntry, EndpointEntry, File, LedgerEntry, ModelEntry, PartEntry
from router_core.config.source import Loc, Source
from router_core.errors import ConfigError
from router_core.events import BudgetReached
from router_core.ledger import Ledger
from router_core.observers.webhook import Webhook
from router_core.options import Settings
from router_core.policies import make_policy
from router_core.policies.base import Policy
from router_core.registry import KNOWN_ENDPOINTS, LOCAL, Endpoint, Registry, did_you_mean, model_from_string
from router_core.types import JUDGE_TAG, Constraints, Model, Price
from router_core.verifiers import default_verifiers, make_verifier
from router_core.verifiers.base import Verifier

__all__ = ["Config", "json_schema", "load"]

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from router_core.config.auditing import AuditPlan

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Config:
    """What a registry file says: all that a router is made of, but for its host."""

    registry: Registry
    policy: Policy
    verifiers: tuple[Verifier, ...]
    constraints: Constraints
    settings: Settings
    ledger: Ledger | None = None
    webhook_env: str | None = None
    audits: AuditPlan | None = None


def load(path: str | os.PathLike[str]) -> Config:
    """Read a registry file.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong. The message names the file, and for each
            error the line, the path of the field, the value and the remedy; values that look like keys are not shown.
    """
    source = Source(Path(path))
    file = _checked(source)
    endpoints = {**KNOWN_ENDPOINTS, **_endpoints(file, source)}
    models = _models(file, endpoints, source)
    tiers = [entry.name for entry in file.models if JUDGE_TAG not in entry.tags]
    policies = _parts({("policy",): file.policy}, partial(make_policy, tiers=tiers), source)
    listed: dict[Loc, PartEntry] = {("verifiers", i): entry for i, entry in enumerate(file.verifiers or ())}
    verifiers = _parts(listed, make_verifier, source)
    source.check()
    registry = _registry(models, endpoints, file.aliases, source)
    constraints = _constraints(file.constraints, registry, source)
    ledger = _ledger(file, source)
    audits = None if ledger is None else _audits(file, policies[0], registry, constraints, ledger, source)
    source.check()
    return Config(
        registry=registry,
        policy=policies[0],
        verifiers=default_verifiers() if file.verifiers is None else tuple(verifiers),
        constraints=constraints,
        settings=Settings(**file.settings.model_dump()),
        ledger=ledger,
        webhook_env=file.ledger.webhook_env if file.ledger is not None else None,
        audits=audits,
    )


def _ledger(file: File, source: Source) -> Ledger | None:
    if file.ledger is None and not file.budgets and file.auditor is None:
        return None
    budgets = []
    for position, entry in enumerate(file.budgets):
        with source.at("budgets", position):
            budgets.append(Budget(**entry.model_dump()))
    given = (file.ledger or LedgerEntry()).model_dump()
    webhook = given.pop("webhook_env")
    if webhook is not None:
        with source.at("ledger", "webhook_env"):
            given["alert"] = _alert(webhook)
    made: list[Ledger] = []
    with source.at("budgets"):
        made.append(Ledger(**given, budgets=budgets))
    return made[0] if made else None


def _audits(
    file: File, policy: Policy, registry: Registry, constraints: Constraints, ledger: Ledger, source: Source
) -> AuditPlan | None:
    if file.auditor is None:
        return None
    from router_core.config.auditing import AuditPlan  # noqa: PLC0415 - loads the strategy memory

    plans: list[AuditPlan] = []
    with source.at("auditor", "model"):
        registry.find(file.auditor.model)
        with source.at("auditor"):
            plans.append(AuditPlan.of(file.auditor, policy, registry, constraints, ledger))
    return plans[0] if plans else None


def _alert(variable: str) -> Callable[[BudgetReached], object]:
    """What posts thresholds to the URL that an environment variable holds. Without it, commands must work all the same:
    that nothing is posted is said when something should be."""
    if os.environ.get(variable, "").strip():
        return Webhook.from_env(variable)
    return lambda event: log.error("not posted, for the environment variable %s is not set: %s", variable, event)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a registry file, for editors and for tests."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **File.model_json_schema()}


def _checked(source: Source) -> File:
    try:
        return File.model_validate(source.data)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    # Outside the handler, so that no traceback shows pydantic's error, which quotes the file.
    for item in errors:
        source.invalid(item)
    raise source.error()


def _endpoints(file: File, source: Source) -> dict[str, Endpoint]:
    endpoints: dict[str, Endpoint] = {}
    for name, entry in file.endpoints.items():
        with source.at("endpoints", name):
            endpoints[name] = _endpoint(name, entry)
    return endpoints


def _endpoint(name: str, entry: EndpointEntry) -> Endpoint:
    given = entry.model_dump(exclude_unset=True)
    # An explicit null takes a known endpoint's key variable away; elsewhere it says nothing.
    given = {field: value for field, value in given.items() if value is not None or field == "api_key_env"}
    if "base_url" in given:
        given.setdefault("local", _is_loopback(given["base_url"]))
    if known := KNOWN_ENDPOINTS.get(name):
        return replace(known, **given)
    if "base_url" not in given:
        raise ConfigError(
            f"base_url is missing; the router knows no endpoint {name!r}{did_you_mean(name, KNOWN_ENDPOINTS)}"
        )
    return Endpoint(**{"name": name, "provider": name, **given})


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _models(file: File, endpoints: Mapping[str, Endpoint], source: Source) -> list[Model]:
    models: list[Model] = []
    for i, entry in enumerate(file.models):
        with source.at("models", i):
            models.append(_model(entry, endpoints))
    return models


def _model(entry: ModelEntry, endpoints: Mapping[str, Endpoint]) -> Model:
    prefix, colon, rest = entry.name.partition(":")
    reached = f"{entry.endpoint or prefix}:{entry.id or (rest if colon else entry.name)}"
    model = model_from_string(reached if colon or entry.endpoint else entry.name, endpoints)
    return replace(
        model,
        name=entry.name,
        price=Price(**entry.price.model_dump()) if entry.price else model.price,
        quality=entry.quality,
        context_window=entry.context_window,
        max_output_tokens=entry.max_output_tokens,
        latency_s=entry.latency_s,
        capabilities=model.capabilities if entry.capabilities is None else entry.capabilities,
        tags=model.tags | entry.tags,
    )


def _registry(
    models: Iterable[Model], endpoints: Mapping[str, Endpoint], aliases: Mapping[str, str], source: Source
) -> Registry:
    with source.at():
        return Registry(tuple(models), endpoints, aliases)
    raise source.error()


def _parts(
    entries: Mapping[Loc, PartEntry], make: Callable[[str, Mapping[str, object]], Part], source: Source
) -> list[Part]:
    parts: list[Part] = []
    for loc, entry in entries.items():
        with source.at(*loc):
            parts.append(make(entry.name, entry.options))
    return parts


def _constraints(entry: ConstraintsEntry, registry: Registry, source: Source) -> Constraints:
    given = entry.model_dump(exclude={"local_only"})
    for field in ("force_model", "allow", "deny"):
        with source.at("constraints", field):
            given[field] = _resolved(given[field], registry)
    if entry.local_only:
        given["require_tags"] |= {LOCAL}
    return Constraints(**given)


def _resolved(names: str | frozenset[str] | None, registry: Registry) -> str | frozenset[str] | None:
    if names is None:
        return None
    if isinstance(names, str):
        return registry.find(names).name
    return frozenset(registry.find(name).name for name in sorted(names))
