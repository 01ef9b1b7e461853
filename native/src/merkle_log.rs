//! Roots of Merkle logs (RFC 9162, docs/spec/cryptography.md, "Log"); `icn_crypto.merkle_log` is the same in Python.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// The root over the bytes of leaves in order.
#[pyfunction]
pub fn merkle_log_root(py: Python<'_>, leaves: Vec<PyBackedBytes>) -> Bound<'_, PyBytes> {
    let mut level: Vec<Hash> = leaves.iter().map(|leaf| hash(&[&[0], leaf])).collect();
    while level.len() > 1 {
        level = level.chunks(2).map(parent).collect();
    }
    PyBytes::new(py, &level.pop().unwrap_or_else(|| hash(&[])))
}

/// The node above two neighbours; one that has none rises as it is.
fn parent(children: &[Hash]) -> Hash {
    match children {
        [left, right] => hash(&[&[1], left, right]),
        alone => alone[0],
    }
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
