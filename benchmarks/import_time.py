"""How long ``import router_core`` takes: uv run python benchmarks/import_time.py [RUNS].

Each run is a new interpreter. Shown are the medians, in milliseconds, of an interpreter that does nothing and of one
that imports the package, and their difference: what the import costs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

TARGET_MS = 150


def median_ms(statement: str, runs: int) -> float:
    """The median wall time of ``python -c STATEMENT``, in milliseconds."""
    command = [sys.executable, "-c", statement]
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[1:])  # the first run fills the caches of the disk


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    bare = median_ms("pass", runs)
    with_package = median_ms("import router_core", runs)
    print(f"python {sys.version.split()[0]}, median of {runs} runs")
    print(f"  bare interpreter    {bare:7.1f} ms")
    print(f"  import router_core  {with_package:7.1f} ms")
    print(f"  the import itself   {with_package - bare:7.1f} ms (target: under {TARGET_MS} ms)")


if __name__ == "__main__":
    main()
