"""Where a request may still go: the models to climb to, and those to fall back to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from router_core.types import TRANSIENT, Failed, FailureKind, Model


class Ladder:
    """Those of ``models`` (by their names) that a request may still go to. ``up`` names the start and what it may climb
    to, ``down`` the weaker ones, nearest first, for failures only."""

    __slots__ = ("_down", "_retries", "_up", "current")

    def __init__(self, models: Mapping[str, Model], up: Sequence[str], down: Sequence[str], retries: int) -> None:
        # Stacks: the next model is the last.
        self._up = [models[name] for name in reversed(up)]
        self._down = [models[name] for name in reversed(down)]
        self._retries = retries
        self.current = self._up.pop()

    @property
    def can_climb(self) -> bool:
        """Whether a stronger model is left."""
        return bool(self._up)

    def above(self, names: set[str]) -> bool:
        """Leave these out of the climb, if a stronger model is left then; says whether there is."""
        rest = [model for model in self._up if model.name not in names]
        if rest:
            self._up = rest
        return bool(rest)

    def climb(self) -> Model:
        """Go to the next stronger model."""
        self.current = self._up.pop()
        return self.current

    def after(self, failed: Failed) -> Model | None:
        """Go to the model to ask after a failure: the next stronger, else the next weaker one, else the same again
        while it may pass and tries are left; None if nothing is left."""
        for rest in (self._up, self._down):
            while rest:
                model = rest.pop()
                if not _shares_fate(model, self.current, failed.kind):
                    self.current = model
                    return model
        if failed.kind in TRANSIENT and self._retries > 0:
            self._retries -= 1
            return self.current
        return None


def _shares_fate(model: Model, failed: Model, kind: FailureKind) -> bool:
    """Whether a model is sure to fail in the same way: the same key, or a window that is no larger."""
    if kind is FailureKind.AUTH:
        return model.endpoint == failed.endpoint
    if kind is FailureKind.CONTEXT_OVERFLOW and None not in (model.context_window, failed.context_window):
        return (model.context_window or 0) <= (failed.context_window or 0)
    return False
