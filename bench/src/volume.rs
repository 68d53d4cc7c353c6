//! A file system in a file, which can be made to stand still. Mounting one needs root.
//!
//! Invariants
//! - It goes on, and is unmounted, when it is dropped; a process that is killed or panics leaves it as it is.

use crate::error::BenchError;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Room on it; the file has blocks where something is written only.
const BYTES: u64 = 16 << 30;

/// See the module.
#[derive(Debug)]
pub struct Volume {
    at: PathBuf,
    is_frozen: bool,
}

impl Volume {
    /// Makes one in the file `image` and mounts it on the folder `at`.
    ///
    /// # Errors
    /// A tool is missing or refuses: mounting needs root.
    pub fn mount(image: &Path, at: &Path) -> Result<Self, BenchError> {
        let file = File::create(image).and_then(|file| file.set_len(BYTES));
        file.map_err(BenchError::io(image.display().to_string()))?;
        call(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(image))?;
        call(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at))?;
        Ok(Self { at: at.to_owned(), is_frozen: false })
    }

    /// From now on everything that writes to it waits.
    ///
    /// # Errors
    /// The tool refuses.
    pub fn freeze(&mut self) -> Result<(), BenchError> {
        // Before the tool: it may be interrupted when it has done its work.
        self.is_frozen = true;
        call(Command::new("fsfreeze").arg("--freeze").arg(&self.at))
    }

    /// What waits goes on.
    ///
    /// # Errors
    /// The tool refuses.
    pub fn thaw(&mut self) -> Result<(), BenchError> {
        if std::mem::take(&mut self.is_frozen) {
            call(Command::new("fsfreeze").arg("--unfreeze").arg(&self.at))?;
        }
        Ok(())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Who drops it has no use for an error.
        let _ = self.thaw();
        let _ = call(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

/// Runs a tool, and gives what it complains of.
pub(crate) fn call(command: &mut Command) -> Result<(), BenchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(BenchError::io(format!("starting {program}")))?;
    if output.status.success() {
        return Ok(());
    }
    let problem = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(BenchError::Child { program, problem })
}
