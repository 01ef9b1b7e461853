//! Ed25519 by the rule of ZIP-215, one by one and in batches (docs/spec/cryptography.md, "Ed25519 verdicts").

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use ed25519_zebra::{Signature, VerificationKeyBytes, batch};
use getrandom::SysRng;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use rand_core::UnwrapErr;
use sha2::{Digest, Sha512};

const INVALID: u8 = 0;
const COFACTORED_ONLY: u8 = 1;
const VALID: u8 = 2;

/// Signatures verified in one equation, where all are good. A thousand cost an eighth less each than 256, and
/// sixteen thousand half as much, most of all since a key that signed several is decompressed once.
const BATCH_MAX: usize = 16_384;

/// Signatures verified together once such a batch has failed: more would make one bad signature dearer.
const SEARCHED_MAX: usize = 256;

/// Below it a batch saves nothing over its signatures one by one.
const SINGLY_MAX: usize = 8;

/// Public key, message, signature.
type Item = (PyBackedBytes, PyBackedBytes, PyBackedBytes);

/// One byte per item: 0 invalid, 1 valid with the cofactor only, 2 valid.
#[pyfunction]
pub fn ed25519_verdicts(py: Python<'_>, items: Vec<Item>) -> Bound<'_, PyBytes> {
    let verdicts: Vec<u8> = py.detach(|| {
        items
            .iter()
            .map(|(key, message, signature)| verdict(key, message, signature))
            .collect()
    });
    PyBytes::new(py, &verdicts)
}

/// One byte per item: 1 valid, 0 not; the same as one by one.
#[pyfunction]
pub fn ed25519_verify_batch(py: Python<'_>, items: Vec<Item>) -> Bound<'_, PyBytes> {
    let valid: Vec<u8> = py.detach(|| items.chunks(BATCH_MAX).flat_map(verify_chunk).collect());
    PyBytes::new(py, &valid)
}

/// All at once; where that fails, part by part, and in each that fails a search for what is bad.
fn verify_chunk(items: &[Item]) -> Vec<u8> {
    if is_batch_valid(items) {
        return vec![1; items.len()];
    }
    if items.len() > SEARCHED_MAX {
        return items.chunks(SEARCHED_MAX).flat_map(verify_chunk).collect();
    }
    search(items)
}

/// Of items that do not verify together: bisected as long as only one half fails, then one by one. So a lone
/// bad one is found by halving, and many of them cost no more than about twice what they cost singly.
fn search(items: &[Item]) -> Vec<u8> {
    let (front, back) = items.split_at(items.len() / 2);
    if items.len() > SINGLY_MAX && is_batch_valid(front) {
        return [vec![1; front.len()], search(back)].concat();
    }
    if items.len() > SINGLY_MAX && is_batch_valid(back) {
        return [search(front), vec![1; back.len()]].concat();
    }
    items
        .iter()
        .map(|(key, message, signature)| u8::from(verdict(key, message, signature) != INVALID))
        .collect()
}

fn is_batch_valid(items: &[Item]) -> bool {
    let mut verifier = batch::Verifier::new();
    for (key, message, signature) in items {
        let (Ok(key), Ok(signature)) = (
            VerificationKeyBytes::try_from(&key[..]),
            <[u8; 64]>::try_from(&signature[..]),
        ) else {
            return false;
        };
        verifier.queue((key, Signature::from(signature), &message[..]));
    }
    verifier.verify(UnwrapErr(SysRng)).is_ok()
}

fn verdict(key: &[u8], message: &[u8], signature: &[u8]) -> u8 {
    difference(key, message, signature).map_or(INVALID, |point| {
        if point.is_identity() {
            VALID
        } else if point.mul_by_cofactor().is_identity() {
            COFACTORED_ONLY
        } else {
            INVALID
        }
    })
}

/// sB − kA − R, or None where an encoding is refused. Decompression is lenient exactly as ZIP-215 asks.
fn difference(key: &[u8], message: &[u8], signature: &[u8]) -> Option<EdwardsPoint> {
    let signature: &[u8; 64] = signature.try_into().ok()?;
    let (r_bytes, s_bytes) = signature.split_at(32);
    let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s_bytes.try_into().ok()?))?;
    let a = CompressedEdwardsY(key.try_into().ok()?).decompress()?;
    let r = CompressedEdwardsY(r_bytes.try_into().ok()?).decompress()?;
    let mut hash = Sha512::new();
    hash.update(r_bytes);
    hash.update(key);
    hash.update(message);
    let k = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    Some(EdwardsPoint::vartime_double_scalar_mul_basepoint(&k, &-a, &s) - r)
}
