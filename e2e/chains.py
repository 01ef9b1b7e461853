"""A made-up transaction file in which parties spend what they were given, in ever longer chains."""

from __future__ import annotations

import random

HEADER = "id,timeset,transfer_subtype,source,target,weight,token_name,token_address\n"


def chains(seed: int, rows: int, parties: int = 40) -> str:
    """Text of the file: in its own order every row is paid for."""
    chance = random.Random(seed)
    balances = {f"party-{number}": 0 for number in range(parties)}
    lines = []
    for number in range(rows):
        rich = [party for party, balance in balances.items() if balance > 0]
        target = f"party-{chance.randrange(parties)}"
        if not rich or chance.random() < 0.2:
            source, subtype, amount = "bank", "DISBURSEMENT", chance.randrange(1, 10**9)
        else:
            source, subtype = chance.choice(rich), "STANDARD"
            amount = chance.randrange(1, balances[source] + 1)
            if source == target:
                continue
            balances[source] -= amount
        balances[target] += amount
        lines.append(f"{number},t,{subtype},{source},{target},{amount / 10**6:.6f},Test,0x\n")
    return HEADER + "".join(lines)
