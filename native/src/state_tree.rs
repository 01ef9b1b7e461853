//! Updates of the state tree (docs/spec/state-tree.md); `icn_crypto.state_tree` is the same in Python.
//!
//! A page is read where Python has it and copied once, into the page that replaces it.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use sha2::{Digest, Sha256};

const HASH: usize = 32;
const LEAF: usize = 64;
const EMPTY: Hash = [0; HASH];
const LAYOUT: u8 = 1;
const SLOT_LEAVES_MAX: usize = 4;
const MANY: u8 = 5;
const SLOTS: usize = 16;
const FIRST_SLOT: usize = 16;
const NODES: usize = 32;
const LEAVES_START: usize = 992;

type Hash = [u8; HASH];
/// The counts and hashes of a page's nodes: its bytes up to its leaves.
type Head = [u8; LEAVES_START];

const EMPTY_PAGE: Head = {
    let mut page = [0; LEAVES_START];
    page[0] = LAYOUT;
    page
};

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
    leaves: [[u8; LEAF]; SLOT_LEAVES_MAX],
}

impl Slot {
    /// The bytes of the leaves that it holds.
    fn held(&self) -> &[u8] {
        self.leaves[..held_count(self.count)].as_flattened()
    }
}

/// Which subtree a page covers: one byte, 0 to 15, per nibble of its keys.
#[derive(Clone, Copy)]
struct Prefix {
    nibbles: [u8; LEAF],
    len: usize,
}

impl Prefix {
    const ROOT: Self = Self {
        nibbles: [0; LEAF],
        len: 0,
    };

    fn below(mut self, nibble: usize) -> Self {
        self.nibbles[self.len] = u8::try_from(nibble).expect("a nibble");
        self.len += 1;
        self
    }
}

/// Where pages come from, a Python callable from a prefix to bytes or None, and where those that change go.
struct Pages<'py> {
    py: Python<'py>,
    get: Bound<'py, PyAny>,
    written: Bound<'py, PyDict>,
}

impl<'py> Pages<'py> {
    fn page(&self, prefix: &Prefix) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let found = self.get.call1((self.key(prefix),))?;
        if found.is_none() {
            return Ok(None);
        }
        let page = found.cast_into::<PyBytes>()?;
        if !is_page(page.as_bytes()) {
            return Err(self.invalid_page(prefix, "is not a page"));
        }
        Ok(Some(page))
    }

    fn page_below(&self, prefix: &Prefix) -> PyResult<Bound<'py, PyBytes>> {
        match self.page(prefix)? {
            Some(page) if page.as_bytes()[1] == MANY => Ok(page),
            _ => Err(self.invalid_page(prefix, "is named by the page above but is not there")),
        }
    }

    fn write(&self, prefix: &Prefix, page: Option<Bound<'py, PyBytes>>) -> PyResult<()> {
        self.written.set_item(self.key(prefix), page)
    }

    fn key(&self, prefix: &Prefix) -> Bound<'py, PyBytes> {
        PyBytes::new(self.py, &prefix.nibbles[..prefix.len])
    }

    fn invalid_page(&self, prefix: &Prefix, fault: &str) -> PyErr {
        let prefix = &prefix.nibbles[..prefix.len];
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

/// What leaves (namespace, identifier, value or None for no leaf) are to the tree: values by key. `head` is the part of
/// the preimage of a key before its length.
#[pyfunction]
pub fn state_tree_changes<'py>(
    py: Python<'py>,
    head: &[u8],
    leaves: Vec<(u8, Bound<'py, PyBytes>, Bound<'py, PyAny>)>,
) -> PyResult<Bound<'py, PyDict>> {
    let changes = PyDict::new(py);
    for (namespace, identifier, value) in leaves {
        let identifier = identifier.as_bytes();
        let mut key = Sha256::new_with_prefix(head);
        key.update(u32::try_from(1 + identifier.len())?.to_be_bytes());
        key.update([namespace]);
        key.update(identifier);
        changes.set_item(PyBytes::new(py, &key.finalize()), value)?;
    }
    Ok(changes)
}

/// Root and changed pages (by prefix; None for a page that goes) after the changes (by key; None for no leaf). The
/// root is None when nothing changed.
#[pyfunction]
pub fn state_tree_update<'py>(
    py: Python<'py>,
    get: Bound<'py, PyAny>,
    changes: Bound<'py, PyDict>,
) -> PyResult<(Option<Bound<'py, PyBytes>>, Bound<'py, PyDict>)> {
    let mut ordered = Vec::with_capacity(changes.len());
    for (key, value) in &changes {
        let key: Hash = key.cast::<PyBytes>()?.as_bytes().try_into()?;
        let leaf = if value.is_none() {
            None
        } else {
            Some(leaf(&key, value.cast::<PyBytes>()?.as_bytes()))
        };
        ordered.push(Change { key, leaf });
    }
    ordered.sort_unstable_by_key(|change| change.key);
    let written = PyDict::new(py);
    let pages = Pages { py, get, written };
    let page = pages.page(&Prefix::ROOT)?;
    let page = page
        .as_ref()
        .map_or(&EMPTY_PAGE[..], |page| page.as_bytes());
    let top = apply(&pages, &Prefix::ROOT, page, &ordered)?;
    Ok((top.map(|slot| PyBytes::new(py, &slot.hash)), pages.written))
}

/// Bring changes into a page; None when nothing differs.
fn apply(
    pages: &Pages,
    prefix: &Prefix,
    page: &[u8],
    changes: &[Change],
) -> PyResult<Option<Slot>> {
    let mut slots: [Option<Slot>; SLOTS] = Default::default();
    let mut is_changed = false;
    for group in changes.chunk_by(|a, b| nibble(&a.key, prefix.len) == nibble(&b.key, prefix.len)) {
        let at = nibble(&group[0].key, prefix.len);
        slots[at] = apply_to_slot(pages, prefix, page, at, group)?;
        is_changed |= slots[at].is_some();
    }
    if !is_changed {
        return Ok(None);
    }
    let (head, hash) = replace_slots(page, &slots);
    let stored: [&[u8]; SLOTS] = std::array::from_fn(|at| {
        slots[at]
            .as_ref()
            .map_or_else(|| held_leaves(page, at), Slot::held)
    });
    let count = head[1];
    let stays = count == MANY || (count > 0 && prefix.len == 0);
    let page = stays
        .then(|| page_of(pages.py, &head, &stored))
        .transpose()?;
    pages.write(prefix, page)?;
    let mut leaves = [[0; LEAF]; SLOT_LEAVES_MAX];
    if count < MANY {
        let all = stored.iter().flat_map(|some| some.chunks_exact(LEAF));
        leaves
            .iter_mut()
            .zip(all)
            .for_each(|(to, from)| to.copy_from_slice(from));
    }
    Ok(Some(Slot {
        count,
        hash,
        leaves,
    }))
}

/// Bring changes into one slot; None when it stays as it is.
fn apply_to_slot(
    pages: &Pages,
    prefix: &Prefix,
    page: &[u8],
    at: usize,
    changes: &[Change],
) -> PyResult<Option<Slot>> {
    let number = FIRST_SLOT + at;
    let child = prefix.below(at);
    if page[number] == MANY {
        let below = pages.page_below(&child)?;
        return apply(pages, &child, below.as_bytes(), changes);
    }
    let held = merged(held_leaves(page, at), changes);
    if held.len() > SLOT_LEAVES_MAX {
        let made: Vec<Change> = held
            .into_iter()
            .map(|leaf| Change {
                key: leaf.stored[..HASH].try_into().expect("32 bytes"),
                leaf: Some(leaf),
            })
            .collect();
        return apply(pages, &child, &EMPTY_PAGE, &made);
    }
    let hash = subtree_hash(&held, 4 * child.len);
    if hash == *node(page, number) {
        return Ok(None);
    }
    let mut leaves = [[0; LEAF]; SLOT_LEAVES_MAX];
    leaves
        .iter_mut()
        .zip(&held)
        .for_each(|(to, from)| *to = from.stored);
    Ok(Some(Slot {
        count: u8::try_from(held.len()).expect("at most four"),
        hash,
        leaves,
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
        .map(|stored| {
            let stored = stored.try_into().expect("64 bytes");
            Leaf {
                stored,
                hash: leaf_hash(&stored),
            }
        })
        .chain(changes.iter().filter_map(|change| change.leaf.clone()))
        .collect();
    leaves.sort_unstable_by_key(|leaf| leaf.stored);
    leaves
}

/// The head of the page with these slots, and the hash of its subtree.
fn replace_slots(page: &[u8], slots: &[Option<Slot>; SLOTS]) -> (Head, Hash) {
    let mut head: Head = page[..LEAVES_START].try_into().expect("a page has a head");
    let mut dirty: u32 = 0;
    for (number, slot) in (FIRST_SLOT..).zip(slots) {
        if let Some(slot) = slot {
            head[number] = slot.count;
            set_node(&mut head, number, &slot.hash);
            dirty |= 1 << (number / 2);
        }
    }
    let mut top = EMPTY;
    for number in (1..FIRST_SLOT).rev() {
        if dirty & 1 << number == 0 {
            continue;
        }
        dirty |= 1 << (number / 2);
        let (left, right) = (2 * number, 2 * number + 1);
        let count = head[left] + head[right];
        head[number] = count.min(MANY);
        // A subtree with one leaf has that leaf's hash, wherever the leaf lies in it.
        top = if count >= 2 {
            node_hash(node(&head, left), node(&head, right))
        } else if head[left] > 0 {
            *node(&head, left)
        } else {
            *node(&head, right)
        };
        if number > 1 {
            set_node(&mut head, number, &top);
        }
    }
    (head, top)
}

fn page_of<'py>(
    py: Python<'py>,
    head: &Head,
    leaves: &[&[u8]; SLOTS],
) -> PyResult<Bound<'py, PyBytes>> {
    let size = LEAVES_START + leaves.iter().map(|some| some.len()).sum::<usize>();
    PyBytes::new_with(py, size, |mut rest| {
        for part in std::iter::once(&head[..]).chain(leaves.iter().copied()) {
            let (place, behind) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = behind;
        }
        Ok(())
    })
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

fn held_count(count: u8) -> usize {
    if count == MANY { 0 } else { usize::from(count) }
}

fn held_leaves(page: &[u8], at: usize) -> &[u8] {
    let before: usize = page[FIRST_SLOT..FIRST_SLOT + at]
        .iter()
        .map(|&count| held_count(count))
        .sum();
    let start = LEAVES_START + LEAF * before;
    &page[start..start + LEAF * held_count(page[FIRST_SLOT + at])]
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
        .map(|&count| held_count(count))
        .sum();
    page.len() == LEAVES_START + LEAF * held
        && (1..FIRST_SLOT).all(|i| page[i] == (page[2 * i] + page[2 * i + 1]).min(MANY))
}

fn node(page: &[u8], number: usize) -> &Hash {
    page[HASH * (number - 1)..HASH * number]
        .try_into()
        .expect("32 bytes")
}

fn set_node(head: &mut Head, number: usize, hash: &Hash) {
    head[HASH * (number - 1)..HASH * number].copy_from_slice(hash);
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

fn leaf_hash(stored: &[u8; LEAF]) -> Hash {
    tagged_hash(0, stored)
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut both = [0; 2 * HASH];
    both[..HASH].copy_from_slice(left);
    both[HASH..].copy_from_slice(right);
    tagged_hash(1, &both)
}

fn tagged_hash(tag: u8, data: &[u8; 64]) -> Hash {
    let mut tagged = [tag; 65];
    tagged[1..].copy_from_slice(data);
    Sha256::digest(tagged).into()
}
