"""What a permission check costs: ``python benches/permissions.py [TUPLES]``. The bar is 20 CPU-µs.

Co-ops in eight federations: every person is a member of one to three co-ops, some hold offices, every co-op
is a member of a federation. Checks are drawn at random, about half of them answered with no.
"""

from __future__ import annotations

import random
import sys
import time
import tracemalloc

from icn_kit.permissions import PermissionReplica

CHECKS = 200_000
SEED = 4


def main(tuples: int) -> None:
    chance = random.Random(SEED)
    organizations = [f"{chance.getrandbits(128):032x}" for _ in range(max(10, tuples // 100))]
    federations = [f"{chance.getrandbits(128):032x}" for _ in range(8)]
    tracemalloc.start()
    replica = PermissionReplica()
    for organization in organizations:
        federation = chance.choice(federations)
        replica.write(f"organizations/{federation}", "member", f"principals/{organization}", 1)
    people = []
    while len(replica) < tuples:
        person = f"principals/{chance.getrandbits(128):032x}"
        people.append(person)
        for _ in range(chance.randint(1, 3)):
            relation = chance.choice(["member", "member", "member", "officer", "office.treasurer"])
            replica.write(f"organizations/{chance.choice(organizations)}", relation, person, 1)
    replica.reach(1_000)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{len(replica)} tuples, {len(people)} people, {len(organizations)} organizations, seed {SEED}")
    print(f"memory {kept / len(replica):.0f} bytes per tuple")

    def questions(relation: str, objects: list[str]) -> list[tuple[str, str]]:
        asked = []
        for _ in range(CHECKS):
            person = chance.choice(people)
            own = (
                [found.object for found in replica.tuples_of(person, 1_000)]
                if objects is organizations
                else []
            )
            asked.append((person, chance.choice([*own, f"organizations/{chance.choice(objects)}"])))
        return asked

    for relation, objects in (
        ("member", organizations),
        ("officer", organizations),
        ("member_of_member", federations),
    ):
        asked = questions(relation, objects)
        best = float("inf")
        for _ in range(5):
            started = time.process_time()
            allowed = 0
            for person, object_ in asked:
                allowed += replica.check(person, relation, object_, 999).is_allowed
            best = min(best, time.process_time() - started)
        print(f"{relation}: {best / CHECKS * 1e6:.2f} CPU-µs per check, {allowed / CHECKS:.0%} allowed")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
