"""What the tests run in other processes: clients of a store that reserve and settle as fast as they can.

python -m tests.stores.hammer NAME URL [ARGUMENT...]
"""

from __future__ import annotations

import os
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from router_core.stores import Charge, Scope, Store, open_store
from tests.stores.samples import entry

LIMITS = {"day": 15_000, "month": 1_000_000, "user": 6_000}
"""Of each budget, for each of its windows."""

FLOOR = 3
FAR = 10.0**9


class Work(NamedTuple):
    """What clients did: the requests that were settled with what each spent of everything, how many were refused, and
    which errors made a writer begin a transaction anew."""

    settled: dict[str, int]
    refused: int
    faults: tuple[str, ...] = ()


def charges(rng: random.Random, number: int, amount: int) -> list[Charge]:
    """All of two budgets and one user's of the third, in any order; every tenth request begins new windows."""
    keys = {"day": "", "month": "", "user": rng.choice(["ann", "bob"])}
    window = f"w{number // 10}"
    made = [Charge(budget, key, window, "nano", LIMITS[budget], amount, FLOOR) for budget, key in keys.items()]
    rng.shuffle(made)
    return made


def spends(held: list[Charge], amount: int) -> dict[Scope, int]:
    return {charge.scope: amount for charge in held}


def client(store: Store, name: str, requests: int) -> Work:
    """Reserve and settle that many requests, some of them of two attempts, some renewed between."""
    rng = random.Random(name)  # noqa: S311 - no secret
    settled, refused = {}, 0
    for number in range(requests):
        request_id = f"{name}-{number}"
        held = charges(rng, number, rng.randint(FLOOR, 500))
        if store.reserve(request_id, held, owner=name, expires=FAR):
            refused += 1
            continue
        if rng.random() < 0.1:
            store.renew([request_id], expires=FAR + 1)
        spent = rng.randint(0, held[0].amount)
        costs = [spent] if rng.random() < 0.5 else [spent // 2, spent - spent // 2]
        store.settle(request_id, spends(held, spent), entry(request_id, *costs))
        settled[request_id] = spent
    return Work(settled, refused)


def clients(store: Store, name: str, threads: int, requests: int) -> Work:
    """So many clients at once."""
    with ThreadPoolExecutor(threads) as pool:
        works = list(pool.map(lambda number: client(store, f"{name}-{number}", requests), range(threads)))
    return Work({k: v for work in works for k, v in work.settled.items()}, sum(work.refused for work in works))


def process(url: str, name: str, threads: int, requests: int) -> Work:
    """What one process of several does."""
    store = open_store(url)
    faults: list[str] = []
    fault_of = store._writer._fault

    def noted(error: Exception) -> object:
        faults.append(f"{type(error).__name__}: {error}")
        return fault_of(error)

    store._writer._fault = noted
    try:
        return clients(store, name, threads, requests)._replace(faults=tuple(faults))
    finally:
        store.close()


def opening(url: str) -> str:
    """Open a store that others open too."""
    store = open_store(url)
    store.close()
    return repr(store)


def until_killed(url: str) -> None:
    """Settle for ever; what is settled is told on the standard output, line by line."""
    store = open_store(url)

    def run(number: int) -> None:
        rng = random.Random(number)  # noqa: S311 - no secret
        for at in range(10**9):
            request_id = f"k{number}-{at}"
            held = [Charge("day", "", "w", "nano", 10**15, 100, FLOOR)]
            store.reserve(request_id, held, owner="dead", expires=5.0)
            spent = rng.randint(0, 100)
            store.settle(request_id, spends(held, spent), entry(request_id, spent, 0, 0))
            os.write(1, f"{request_id} {spent}\n".encode())

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def forking(url: str) -> None:
    """Fork again and again while threads use the store; parent and children go on with it."""
    store = open_store(url)
    parents = threading.Thread(target=clients, args=(store, "parent", 4, 40))
    parents.start()
    statuses = []
    for number in range(5):
        child = os.fork()
        if not child:
            work = clients(store, f"child{number}", 2, 10)
            store.close()
            os._exit(0 if len(work.settled) + work.refused == 20 else 1)
        statuses.append(os.waitpid(child, 0)[1])
    parents.join()
    store.close()
    os.write(1, f"{statuses}\n".encode())


if __name__ == "__main__":
    {"until_killed": until_killed, "forking": forking}[sys.argv[1]](*sys.argv[2:])
