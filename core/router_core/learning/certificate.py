"""A certificate: the threshold of a policy's score above which a request must go to the strong model, with what is
promised of it. Made by ``certify``, kept in a file, read by the running router in pure Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from router_core.errors import ConfigError
from router_core.learning import weights_file
from router_core.learning.rows import number_of, shown

KIND = "certificate"
_SHARES = ("quality", "weak_quality", "strong_quality", "strong_share")
_REMEDY = "make it anew with `llm-router calibrate`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """With probability ``confidence`` over the draw of the calibration examples, the answers' mean quality is
    ``at_least`` times the strong model's or more, if requests whose score is ``threshold`` or more go to the strong
    model and all others to the weak one.

    It holds for requests like the examples, which must be drawn independently and not have trained the policy; see
    ``certify`` for how many of them.

    Args:
        policy: what gave the scores.
        weak: the name of the weak model ("weak" is the weakest candidate).
        strong: the name of the strong one ("strong" is the strongest candidate).
        threshold: the lowest score that goes to the strong model.
        at_least: the promised share of the strong model's mean quality, above 0 and below 1.
        confidence: the probability that the promise holds, above 0 and below 1.
        examples: how many it was made from.
        quality: the mean quality (0..1) on them if routed so.
        weak_quality: that of the weak model.
        strong_quality: that of the strong one.
        strong_share: the share of requests that go to the strong model, 0..1.
        cost_usd: the mean cost of a request if routed so, in US dollars; None is unknown.
        weak_cost_usd: that of the weak model alone.
        strong_cost_usd: that of the strong model alone.
    """

    policy: str
    weak: str
    strong: str
    threshold: float
    at_least: float
    confidence: float
    examples: int
    quality: float
    weak_quality: float
    strong_quality: float
    strong_share: float
    cost_usd: float | None = None
    weak_cost_usd: float | None = None
    strong_cost_usd: float | None = None

    def __str__(self) -> str:
        return (
            f"With {self.confidence:.0%} confidence the answers are at least {self.at_least:.0%} as good as those of "
            f"{self.strong!r} if requests with a score of {self.threshold:.4g} or more go to {self.strong!r} and all "
            f"others to {self.weak!r}: {self.strong_share:.0%} of the calls go to {self.strong!r}."
        )

    def write(self, path: Path) -> None:
        """Write it to a file, whole or not at all.

        Raises:
            ConfigError: the file cannot be written.
        """
        weights_file.write(path, KIND, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Certificate:
        """Read it from a file.

        Raises:
            ConfigError: the file cannot be read, or is no certificate; names the field, the value and the remedy.
        """
        content = weights_file.read(path, KIND)
        given = {each.name: _field(content, each.name, f"{path}: {each.name}") for each in fields(cls)}
        return cls(**given)


class NeedsMore(NamedTuple):
    """There is no certificate that lets calls go to the weak model.

    ``examples`` is how many more are needed, estimated for four attempts in five to succeed; None if more would not
    help, because the weak model loses more than is promised on the requests that score lowest too.
    """

    have: int
    examples: int | None

    def __str__(self) -> str:
        if self.examples is None:
            return (
                f"more than {self.have} examples would not help: the weak model loses too much even where the score is "
                "lowest; promise less, or give a better score or weak model"
            )
        return f"needs about {self.examples} more examples like the {self.have} given"


def _field(content: Mapping[str, Any], name: str, where: str) -> Any:
    value = content.get(name)
    if name in {"policy", "weak", "strong"}:
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{where}: {shown(value)} is no name; {_REMEDY}")
        return value
    if value is None and name.endswith("cost_usd"):
        return None
    number = None if isinstance(value, str) else number_of(value)
    if number is None:
        raise ConfigError(f"{where}: {shown(value)} is no number; {_REMEDY}")
    if name == "examples":
        if number != int(number) or number < 1:
            raise ConfigError(f"{where}: {shown(value)} is no number of examples; {_REMEDY}")
        return int(number)
    if name in {"at_least", "confidence"} and not 0 < number < 1:
        raise ConfigError(f"{where}: {shown(value)} is not above 0 and below 1; {_REMEDY}")
    if name in _SHARES and not 0 <= number <= 1:
        raise ConfigError(f"{where}: {shown(value)} is not within 0..1; {_REMEDY}")
    return number
