"""What a vm counts. Times of calls from outside are counted by the kit's interceptor."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CALLS = Counter("icn_vm_calls_total", "Contract calls and code checks, by what came of them.", ["outcome"])
FUEL = Counter("icn_vm_fuel_total", "Fuel used by contract calls and code checks.")
CALL_SECONDS = Histogram(
    "icn_vm_call_seconds",
    "Time of one contract call or code check, waiting for its turn included.",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
)
CODE_READS = Counter("icn_vm_code_reads_total", "Look-ups of code, by where it was found.", ["found"])
MODULES = Gauge("icn_vm_modules_count", "Compiled modules in memory.")
MODULES_BYTES = Gauge(
    "icn_vm_modules_bytes", "Size of the compiled modules in memory, as they are written down."
)
