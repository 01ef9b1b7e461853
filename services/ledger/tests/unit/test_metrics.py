from __future__ import annotations

from icn_ledger.metrics import DutyCollector
from icn_machine.duty import DutyCounts


def samples(collector: DutyCollector) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("seat", "")): sample.value
        for family in collector.collect()
        for sample in family.samples
    }


def test_duty_is_shown_for_the_seats_of_the_epoch_under_way_and_no_others() -> None:
    collector = DutyCollector()
    assert samples(collector) == {("icn_ledger_epoch_blocks", ""): 0}
    collector.counts = lambda: DutyCounts(3, 7, (1, 2, 2, 2), (6, 7, 7, 0))
    shown = samples(collector)
    assert shown["icn_ledger_epoch_blocks", ""] == 7
    assert shown["icn_ledger_epoch_proposed_blocks", "0"] == 1
    assert shown["icn_ledger_epoch_signed_blocks", "3"] == 0
    collector.counts = lambda: DutyCounts(4, 1, (1,), (0,))
    assert {seat for _, seat in samples(collector)} == {"", "0"}
