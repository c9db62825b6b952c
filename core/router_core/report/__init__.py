"""Reports of the ledger: what was spent and saved, how often requests climbed or fell back, how budgets stand.

- ``counts``, ``figures``: what is counted, in one pass over ``Store.entries``.
- ``budgets``: how the budgets stand.
- ``words``, ``machine``: the figures as sentences and as JSON.
- ``charts``, ``page``: the figures as one HTML page.
- ``follow``: receipts one by one as they come.
"""

from __future__ import annotations

from router_core.report.budgets import BudgetStatus, statuses
from router_core.report.figures import By, Figures

__all__ = ["BudgetStatus", "By", "Figures", "statuses"]
