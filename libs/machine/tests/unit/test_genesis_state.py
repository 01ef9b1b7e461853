"""The state and the header at height 0 are a function of the genesis file, fixed for ever."""

from __future__ import annotations

from icn.consensus.v1.block_pb2 import BlockHeader
from icn_crypto.merkle_log import EMPTY_ROOT
from icn_crypto.state_tree import build, state_key
from icn_crypto.wire import parse_canonical
from icn_machine.genesis_state import genesis_records
from icn_machine.leaves import encode_leaf
from icn_machine.records import ZONE_IDENTIFIER, Zone

from libs.machine.tests.zone import GENESIS_TIME_MS, first_commit, make_zone

GOLDEN_GENESIS_HASH = "edda0e03328aabceaa5e89e68377548d43456ac54c580d2c96ccc3e4dc20b7d3"
GOLDEN_STATE_ROOT = "aafa81cab2d9742d97720e48c1d3555488a84a904518efcb43acac3546a42204"
GOLDEN_HEADER_HASH = "1bee9cf8926562bdb421bf249c2906293f6b55b41290591f127eccd2c00a70f8"


def test_the_roots_of_a_genesis_never_change() -> None:
    zone = make_zone()
    block = first_commit(zone.genesis).block
    assert zone.genesis.hash.hex() == GOLDEN_GENESIS_HASH
    assert block.state_root.hex() == GOLDEN_STATE_ROOT
    assert block.hash.hex() == GOLDEN_HEADER_HASH


def test_genesis_holds_controllers_and_allowances_of_the_founders_and_the_zone_leaf() -> None:
    zone = make_zone()
    records = genesis_records(zone.genesis)
    founders = {organization.principal for organization in zone.organizations}
    everybody = founders | {zone.authority.principal}
    assert set(records.controllers) == set(records.allowances) == everybody
    assert all(controller.sponsor == b"" for controller in records.controllers.values())
    assert all(allowance.used_state_leaves == 0 for allowance in records.allowances.values())
    zone_leaf = Zone(zone.authority.principal, 1, zone.genesis.validator_set_hash)
    assert records.zones == {ZONE_IDENTIFIER: zone_leaf}
    assert not records.units
    assert not records.accounts


def test_the_genesis_header_names_the_genesis_state() -> None:
    zone = make_zone()
    block = first_commit(zone.genesis).block
    header = parse_canonical(BlockHeader, block.header, 1_024)
    leaves = {
        state_key(namespace, identifier): encode_leaf(namespace, record)
        for namespace, identifier, record in genesis_records(zone.genesis)
    }
    assert header.state_root == build(leaves).root
    assert (header.height, header.view, header.epoch, header.executed_height) == (0, 0, 0, 0)
    assert header.time_ms == GENESIS_TIME_MS
    assert header.receipts_root == header.transactions_root == header.log_root == EMPTY_ROOT
    assert header.parent == header.parent_certificate_digest == header.finalization_digest == bytes(32)
    assert header.validator_set_hash == header.next_validator_set_hash == zone.genesis.validator_set_hash
