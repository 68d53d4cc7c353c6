//! Libraries in front of libc, which make the host of an unchanged process behave as hosts sometimes do.

use crate::harness::skip;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `preload/NAME.c` into this folder; `None` without a compiler.
pub(crate) fn compile(name: &str, folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/e2e/preload/{name}.c"));
    let library = folder.join(format!("{name}.so"));
    let compiled =
        Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).output();
    match compiled {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(library)
        }
        Err(error) => {
            skip(&format!("cc: {error}"));
            None
        }
    }
}
