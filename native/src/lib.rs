//! `icn_native`: what `icn_crypto` does in Python, in Rust.
//!
//! Optional. Every function gives the results of the Python code it stands in for; the tests of `libs/crypto`
//! compare both wherever this module can be imported.

mod merkle_log;
mod signatures;
mod state_tree;

use pyo3::prelude::*;

/// The Python module.
#[pymodule]
mod icn_native {
    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    /// Raised whenever a function comes, goes or changes; `icn_crypto.native` uses no module with another.
    const INTERFACE: u32 = 3;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("INTERFACE", INTERFACE)
    }

    #[pymodule_export]
    use crate::merkle_log::merkle_log_root;
    #[pymodule_export]
    use crate::signatures::{ed25519_verdicts, ed25519_verify_batch};
    #[pymodule_export]
    use crate::state_tree::{state_tree_changes, state_tree_update};
}
