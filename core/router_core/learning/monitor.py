"""Whether a promise still holds, watched while the router runs: an anytime-valid test in pure Python.

The hypothesis is that the promise holds; money is bet against it, answer by answer. While it holds, no way of betting
has an expected gain, so that the capital ever reaches ``1 / level`` with probability ``level`` at most (Ville's
inequality), however often and whenever one looks (Waudby-Smith and Ramdas, https://arxiv.org/abs/2010.09686). Two
mixtures make it quick: over how much is bet, for it is not known how badly the promise will break, and over when the
betting begins, for otherwise all would have been lost by the time that it does (Shin, Ramdas and Rinaldo,
https://arxiv.org/abs/2203.03532). A bettor who begins with the k-th answer brings ``1/sqrt(k) - 1/sqrt(k + 1)`` of the
capital; together they bring 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from threading import Lock

from router_core.errors import ConfigError, InvalidRequest
from router_core.learning.certificate import Certificate
from router_core.learning.concentration import mean_bounds
from router_core.learning.rows import number_of, shown
from router_core.types import Json

_BETS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Of what one bet may cost at most, as shares of the capital: one of these is never far from the best."""
_REMEDY = "leave the state out to begin anew"


class PromiseMonitor:
    """Watches the promise of a certificate, in constant time and space for each answer. Thread-safe.

    ``observe`` it for a random sample of the answers that are served, whichever model gave them: complaints alone
    would break any promise. Once broken it stays so until ``reset``.

    Args:
        certificate: what is promised.
        level: the probability (above 0, below 1) of ever calling a promise broken that holds.

    Raises:
        ConfigError: ``level`` is out of range.
    """

    def __init__(self, certificate: Certificate, *, level: float = 0.05) -> None:
        number = number_of(level)
        if number is None or not 0 < number < 1:
            raise ConfigError(f"level: {level!r} is not above 0 and below 1; 0.05 is the default")
        self._at_least = certificate.at_least
        # Half of the level is for the strong model's quality, which is known from the examples only.
        strong, _ = mean_bounds(certificate.strong_quality, certificate.examples, number / 2)
        self._allowed = 1 - certificate.at_least * strong
        self._enough = 2 / number
        self._lock = Lock()
        self._begin()

    def _begin(self) -> None:
        self._observed = 0
        self._capital = [0.0] * len(_BETS)
        self._evidence = 1.0
        self._broken = False

    @property
    def broken(self) -> bool:
        """Whether the promise is broken."""
        return self._broken

    @property
    def evidence(self) -> float:
        """The capital, 1 at first: odds against the promise. It is broken when ``2 / level`` is reached."""
        return self._evidence

    @property
    def observed(self) -> int:
        """How many answers were observed since the beginning or the last reset; none is once the promise is broken."""
        return self._observed

    @property
    def allowed(self) -> float:
        """The mean loss (0..1) that the promise allows, for answers whose strong counterpart is not known."""
        return self._allowed

    def observe(self, loss: float, *, strong_loss: float | None = None) -> None:
        """Take in how a served answer did.

        Args:
            loss: 0 for a good answer, 1 for a bad one, or a number between: what is missing of its quality.
            strong_loss: the same of the strong model's answer to this request, where an audit knows it (the same number
                if the strong model gave the answer). It tells more, and hard requests do not count against the promise.

        Raises:
            InvalidRequest: a loss is not within 0..1.
        """
        for name, value in (("loss", loss), ("strong_loss", strong_loss)):
            if value is not None and not 0 <= value <= 1:
                raise InvalidRequest(f"{name}: {value!r} is not within 0..1; give 0 for a good answer, 1 for a bad one")
        # Excess has a mean of 0 at most while the promise holds, and is never below -lowest.
        if strong_loss is None:
            excess, lowest = loss - self._allowed, self._allowed
        else:
            excess, lowest = self._at_least * (1 - strong_loss) - (1 - loss), 1.0
        with self._lock:
            if not self._broken:
                self._bet(excess / lowest)

    def _bet(self, gain: float) -> None:
        self._observed += 1
        joins, waits = 1 / math.sqrt(self._observed), 1 / math.sqrt(self._observed + 1)
        self._capital = [
            (capital + joins - waits) * (1 + bet * gain) for bet, capital in zip(_BETS, self._capital, strict=True)
        ]
        self._evidence = sum(self._capital) / len(_BETS) + waits
        self._broken = self._evidence >= self._enough

    def reset(self) -> None:
        """Begin anew, with a new level of its own: when what broke the promise is mended."""
        with self._lock:
            self._begin()

    def to_json(self) -> dict[str, Json]:
        """The state, for a file or a store."""
        with self._lock:
            return {"observed": self._observed, "capital": list(self._capital), "broken": self._broken}

    def restore(self, state: object) -> None:
        """Go on from a state that ``to_json`` gave.

        Raises:
            ConfigError: it is something else; what was observed so far is kept.
        """
        observed, capital, broken = _state(state)
        with self._lock:
            self._observed, self._capital, self._broken = observed, capital, broken
            self._evidence = sum(capital) / len(_BETS) + 1 / math.sqrt(observed + 1)


def _state(state: object) -> tuple[int, list[float], bool]:
    given = state if isinstance(state, Mapping) else {}
    observed, capital, broken = (given.get(name) for name in ("observed", "capital", "broken"))
    if not isinstance(observed, int) or isinstance(observed, bool) or observed < 0:
        raise ConfigError(f"monitor: observed: {shown(observed)} is no count; {_REMEDY}")
    if not isinstance(broken, bool):
        raise ConfigError(f"monitor: broken: {shown(broken)} is neither true nor false; {_REMEDY}")
    listed = capital if isinstance(capital, list) else []
    amounts = [amount for amount in map(number_of, listed) if amount is not None and amount >= 0]
    if len(amounts) != len(_BETS) or len(listed) != len(_BETS):
        raise ConfigError(f"monitor: capital: {shown(capital)} is no list of {len(_BETS)} amounts; {_REMEDY}")
    return observed, amounts, broken
