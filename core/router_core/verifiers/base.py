"""The port of a verifier: it looks at an answer and accepts or rejects it, with a reason code."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, runtime_checkable

from router_core.effects import Consultation
from router_core.types import Reply, RequestView, Verdict


@runtime_checkable
class Verifier(Protocol):
    """Accepts or rejects one answer. Stateless or thread-safe: one object serves all threads and event loops."""

    @property
    def name(self) -> str:
        """How the verifier is called in ``router.yaml`` and in receipts."""
        ...

    @property
    def judges_prefix(self) -> bool:
        """Whether the first tokens of an answer are enough to reject it (used by the stream mode ``prefix``).

        Then what is rejected as a beginning must be rejected however it goes on. A beginning has no
        ``finish_reason``.
        """
        ...

    def check(self, request: RequestView, reply: Reply) -> Verdict | Awaitable[Verdict] | Consultation[Verdict]:
        """The verdict. An awaitable works with ``acomplete`` and ``astream`` only. A generator asks models: it yields
        ``Consult`` and receives the reply or the failure; see ``consult.Consults``."""
        ...
