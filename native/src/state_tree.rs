//! Updates of the state tree (docs/spec/state-tree.md); `icn_crypto.state_tree` is the same in Python.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use sha2::{Digest, Sha256};

const HASH: usize = 32;
const LEAF: usize = 64;
const EMPTY: Hash = [0; HASH];
const LAYOUT: u8 = 1;
const SLOT_LEAVES_MAX: usize = 4;
const MANY: u8 = 5;
const FIRST_SLOT: usize = 16;
const NODES: usize = 32;
const LEAVES_START: usize = 992;

type Hash = [u8; HASH];
type Written = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A key's new leaf, or none; sorted by key.
struct Change {
    key: Hash,
    leaf: Option<Leaf>,
}

#[derive(Clone)]
struct Leaf {
    /// Key ‖ value hash.
    stored: [u8; LEAF],
    hash: Hash,
}

/// What a subtree is to the page above: its count of leaves (5: more than a slot holds), its hash and, where the
/// slot holds them, its leaves.
struct Slot {
    count: u8,
    hash: Hash,
    leaves: Vec<u8>,
}

/// Where pages come from: a Python callable from a prefix to bytes or None.
struct Source<'py> {
    py: Python<'py>,
    get: Bound<'py, PyAny>,
}

impl Source<'_> {
    fn page(&self, prefix: &[u8]) -> PyResult<Option<Vec<u8>>> {
        let found: Option<PyBackedBytes> = self
            .get
            .call1((PyBytes::new(self.py, prefix),))?
            .extract()?;
        let Some(page) = found else { return Ok(None) };
        if !is_page(&page) {
            return Err(self.invalid_page(prefix, "is not a page"));
        }
        Ok(Some(page.to_vec()))
    }

    fn page_below(&self, prefix: &[u8]) -> PyResult<Vec<u8>> {
        match self.page(prefix)? {
            Some(page) if page[1] == MANY => Ok(page),
            _ => Err(self.invalid_page(prefix, "is named by the page above but is not there")),
        }
    }

    fn invalid_page(&self, prefix: &[u8], fault: &str) -> PyErr {
        let class = self
            .py
            .import("icn_crypto.state_page")
            .and_then(|module| module.getattr("InvalidPage"));
        match class.and_then(|class| class.call1((format!("page {prefix:?} {fault}"),))) {
            Ok(error) => PyErr::from_value(error),
            Err(error) => error,
        }
    }
}

/// Root and changed pages (prefix, bytes or None for a page that goes) after the changes (key, value or None for no
/// leaf). The root is None when nothing changed.
#[pyfunction]
#[allow(clippy::type_complexity)]
pub fn state_tree_update<'py>(
    py: Python<'py>,
    get: Bound<'py, PyAny>,
    changes: Vec<(PyBackedBytes, Option<PyBackedBytes>)>,
) -> PyResult<(
    Option<Bound<'py, PyBytes>>,
    Vec<(Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>)>,
)> {
    let source = Source { py, get };
    let mut ordered = Vec::with_capacity(changes.len());
    for (key, value) in &changes {
        let key: Hash = key[..].try_into()?;
        ordered.push(Change {
            key,
            leaf: value.as_ref().map(|value| leaf(&key, value)),
        });
    }
    ordered.sort_unstable_by_key(|change| change.key);
    let mut written = Written::new();
    let page = source.page(&[])?.unwrap_or_else(empty_page);
    let top = if ordered.is_empty() {
        None
    } else {
        apply(&source, &[], page, &ordered, &mut written)?
    };
    let pages = written
        .into_iter()
        .map(|(prefix, page)| {
            (
                PyBytes::new(py, &prefix),
                page.map(|page| PyBytes::new(py, &page)),
            )
        })
        .collect();
    Ok((top.map(|slot| PyBytes::new(py, &slot.hash)), pages))
}

/// Bring changes into a page; None when nothing differs.
fn apply(
    source: &Source,
    prefix: &[u8],
    page: Vec<u8>,
    changes: &[Change],
    written: &mut Written,
) -> PyResult<Option<Slot>> {
    let mut slots: [Option<Slot>; 16] = Default::default();
    let mut is_changed = false;
    for group in
        changes.chunk_by(|a, b| nibble(&a.key, prefix.len()) == nibble(&b.key, prefix.len()))
    {
        let at = nibble(&group[0].key, prefix.len());
        slots[at] = apply_to_slot(source, prefix, &page, at, group, written)?;
        is_changed |= slots[at].is_some();
    }
    if !is_changed {
        return Ok(None);
    }
    let (stored, slot) = replace_slots(page, &slots);
    let stays = slot.count == MANY || (slot.count > 0 && prefix.is_empty());
    written.insert(prefix.to_vec(), stays.then_some(stored));
    Ok(Some(slot))
}

/// Bring changes into one slot; None when it stays as it is.
fn apply_to_slot(
    source: &Source,
    prefix: &[u8],
    page: &[u8],
    at: usize,
    changes: &[Change],
    written: &mut Written,
) -> PyResult<Option<Slot>> {
    let number = FIRST_SLOT + at;
    let mut child = prefix.to_vec();
    child.push(u8::try_from(at).expect("a nibble"));
    if page[number] == MANY {
        return apply(source, &child, source.page_below(&child)?, changes, written);
    }
    let held = held_leaves(page, at);
    let leaves = merged(held, changes);
    if leaves.len() > SLOT_LEAVES_MAX {
        let made: Vec<Change> = leaves
            .into_iter()
            .map(|leaf| Change {
                key: leaf.stored[..HASH].try_into().expect("32 bytes"),
                leaf: Some(leaf),
            })
            .collect();
        return apply(source, &child, empty_page(), &made, written);
    }
    let hash = subtree_hash(&leaves, 4 * child.len());
    if hash == *node(page, number) {
        return Ok(None);
    }
    Ok(Some(Slot {
        count: u8::try_from(leaves.len()).expect("at most four"),
        hash,
        leaves: leaves
            .iter()
            .map(|leaf| leaf.stored)
            .collect::<Vec<_>>()
            .concat(),
    }))
}

/// The leaves a slot holds, with sorted changes applied.
fn merged(held: &[u8], changes: &[Change]) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = held
        .chunks_exact(LEAF)
        .filter(|stored| {
            changes
                .binary_search_by(|change| change.key[..].cmp(&stored[..HASH]))
                .is_err()
        })
        .map(|stored| Leaf {
            stored: stored.try_into().expect("64 bytes"),
            hash: leaf_hash(stored),
        })
        .chain(changes.iter().filter_map(|change| change.leaf.clone()))
        .collect();
    leaves.sort_unstable_by_key(|leaf| leaf.stored);
    leaves
}

/// The page with these slots, and what it is to the page above.
fn replace_slots(mut page: Vec<u8>, slots: &[Option<Slot>; 16]) -> (Vec<u8>, Slot) {
    let mut leaves = Vec::with_capacity(16 * SLOT_LEAVES_MAX * LEAF);
    for (at, slot) in slots.iter().enumerate() {
        let held = slot
            .as_ref()
            .map_or_else(|| held_leaves(&page, at), |slot| &slot.leaves);
        leaves.extend_from_slice(held);
    }
    let mut dirty: u32 = 0;
    for (at, slot) in slots.iter().enumerate() {
        if let Some(slot) = slot {
            let number = FIRST_SLOT + at;
            page[number] = slot.count;
            set_node(&mut page, number, &slot.hash);
            dirty |= 1 << (number / 2);
        }
    }
    page.truncate(LEAVES_START);
    page.extend_from_slice(&leaves);
    let mut top = EMPTY;
    for number in (1..FIRST_SLOT).rev() {
        if dirty & 1 << number == 0 {
            continue;
        }
        dirty |= 1 << (number / 2);
        let (left, right) = (2 * number, 2 * number + 1);
        let count = page[left] + page[right];
        page[number] = count.min(MANY);
        // A subtree with one leaf has that leaf's hash, wherever the leaf lies in it.
        top = if count >= 2 {
            node_hash(node(&page, left), node(&page, right))
        } else if page[left] > 0 {
            *node(&page, left)
        } else {
            *node(&page, right)
        };
        if number > 1 {
            set_node(&mut page, number, &top);
        }
    }
    let count = page[1];
    let leaves = if count < MANY { leaves } else { Vec::new() };
    (
        page,
        Slot {
            count,
            hash: top,
            leaves,
        },
    )
}

/// Hash of the subtree at `depth` bits that holds exactly these leaves, sorted.
fn subtree_hash(leaves: &[Leaf], depth: usize) -> Hash {
    match leaves {
        [] => EMPTY,
        [leaf] => leaf.hash,
        _ => {
            let is_right = bit(&leaves[0].stored, depth);
            if is_right == bit(&leaves[leaves.len() - 1].stored, depth) {
                let below = subtree_hash(leaves, depth + 1);
                return if is_right {
                    node_hash(&EMPTY, &below)
                } else {
                    node_hash(&below, &EMPTY)
                };
            }
            let middle = leaves.partition_point(|leaf| !bit(&leaf.stored, depth));
            node_hash(
                &subtree_hash(&leaves[..middle], depth + 1),
                &subtree_hash(&leaves[middle..], depth + 1),
            )
        }
    }
}

fn held_leaves(page: &[u8], at: usize) -> &[u8] {
    let held = |number: usize| {
        if page[number] == MANY {
            0
        } else {
            LEAF * usize::from(page[number])
        }
    };
    let start = LEAVES_START + (FIRST_SLOT..FIRST_SLOT + at).map(held).sum::<usize>();
    &page[start..start + held(FIRST_SLOT + at)]
}

/// Whether the header and the length are those of a page.
fn is_page(page: &[u8]) -> bool {
    if page.len() < LEAVES_START
        || page[0] != LAYOUT
        || page[1..NODES].iter().any(|&count| count > MANY)
    {
        return false;
    }
    let held: usize = page[FIRST_SLOT..NODES]
        .iter()
        .filter(|&&count| count < MANY)
        .map(|&c| usize::from(c))
        .sum();
    page.len() == LEAVES_START + LEAF * held
        && (1..FIRST_SLOT).all(|i| page[i] == (page[2 * i] + page[2 * i + 1]).min(MANY))
}

fn empty_page() -> Vec<u8> {
    let mut page = vec![0; LEAVES_START];
    page[0] = LAYOUT;
    page
}

fn node(page: &[u8], number: usize) -> &Hash {
    page[HASH * (number - 1)..HASH * number]
        .try_into()
        .expect("32 bytes")
}

fn set_node(page: &mut [u8], number: usize, hash: &Hash) {
    page[HASH * (number - 1)..HASH * number].copy_from_slice(hash);
}

fn nibble(key: &Hash, depth: usize) -> usize {
    usize::from(if depth % 2 == 0 {
        key[depth / 2] >> 4
    } else {
        key[depth / 2] & 15
    })
}

fn bit(key: &[u8], depth: usize) -> bool {
    key[depth / 8] >> (7 - depth % 8) & 1 == 1
}

fn leaf(key: &Hash, value: &[u8]) -> Leaf {
    let mut stored = [0; LEAF];
    stored[..HASH].copy_from_slice(key);
    stored[HASH..].copy_from_slice(&Sha256::digest(value));
    Leaf {
        stored,
        hash: leaf_hash(&stored),
    }
}

fn leaf_hash(stored: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update([0]);
    hash.update(stored);
    hash.finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}
