"""Checks a wheel that is installed without extras: python .ci/check_wheel.py WHEEL SOURCE_ROOT.

The wheel holds the files of the packages and no others, it is what is imported, and it answers a request.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import router_core
from router_core import Router
from router_core.testing import ScriptedHost, scripted_model

PACKAGES = ("core/router_core", "langchain_router", "llamaindex_router")


def check_files(wheel: Path, root: Path) -> None:
    """The wheel holds each file of the packages, and nothing else but its own metadata."""
    expected = {
        path.relative_to((root / package).parent).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    if found != expected:
        sys.exit(f"missing in the wheel: {sorted(expected - found)}; not expected in it: {sorted(found - expected)}")
    print(f"{wheel.name}: the {len(found)} files of {', '.join(PACKAGES)} and no others")


def check_answer(root: Path) -> None:
    """The installed package climbs from a model that does not know to one that does."""
    if Path(router_core.__file__).is_relative_to(root):
        sys.exit(f"the sources were imported, not the wheel: {router_core.__file__}")
    host = ScriptedHost.saying({"weak": "I don't know.", "strong": "Paris."})
    router = Router([scripted_model("weak"), scripted_model("strong")], host=host)
    answer = router.complete("What is the capital of France?")
    if (answer.text, answer.model, answer.receipt.escalations) != ("Paris.", "strong", 1):
        sys.exit(f"not the answer of the script: {answer}")
    print(f"{router_core.__file__}: answers, having climbed to {answer.model!r}")


def main() -> None:
    """Check both; the exit status is 1 if one fails."""
    wheel, root = Path(sys.argv[1]), Path(sys.argv[2])
    check_files(wheel, root)
    check_answer(root)


if __name__ == "__main__":
    main()
