//! Where cores keep their logs and tables in a data directory: `core-00/log`, `core-00/tables`.

#[cfg(feature = "rocks")]
use super::Databases;
use std::path::{Path, PathBuf};

/// A core's folder.
pub fn core_folder(directory: &Path, core: u16) -> PathBuf {
    directory.join(format!("core-{core:02}"))
}

/// A core's log folder.
pub fn log_folder(directory: &Path, core: u16) -> PathBuf {
    core_folder(directory, core).join("log")
}

/// A core's tables folder.
pub fn tables_folder(directory: &Path, core: u16) -> PathBuf {
    core_folder(directory, core).join("tables")
}

/// What a core's folder is called from the moment it is removed; `cores` clears away what a stop left of it.
#[cfg(feature = "rocks")]
const REMOVED: &str = "removed";

/// Logs in folders, tables in RocksDB.
#[cfg(feature = "rocks")]
#[derive(Debug)]
pub struct RocksDatabases {
    directory: PathBuf,
    shared: crate::tables::RocksShared,
}

#[cfg(feature = "rocks")]
impl RocksDatabases {
    /// The databases of a data directory.
    pub fn new(directory: &Path, shared: crate::tables::RocksShared) -> Self {
        Self { directory: directory.to_owned(), shared }
    }
}

#[cfg(feature = "rocks")]
impl Databases for RocksDatabases {
    type Tables = crate::tables::RocksTables;
    type Files = crate::segment::DirectoryLog;

    fn cores(&mut self) -> std::io::Result<Vec<u16>> {
        let mut cores = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(|name| name.strip_prefix("core-")) else { continue };
            if number.ends_with(REMOVED) {
                std::fs::remove_dir_all(entry.path())?;
            }
            cores.extend(number.parse::<u16>().ok());
        }
        cores.sort_unstable();
        Ok(cores)
    }

    fn tables(&mut self, core: u16) -> Result<Self::Tables, crate::tables::TableError> {
        let folder = tables_folder(&self.directory, core);
        let failed = |error: std::io::Error| crate::tables::TableError::Engine {
            table: "folder",
            cause: error.to_string(),
        };
        std::fs::create_dir_all(&folder).map_err(failed)?;
        crate::segment::sync_folder(&core_folder(&self.directory, core)).map_err(failed)?;
        crate::segment::sync_folder(&self.directory).map_err(failed)?;
        crate::tables::RocksTables::open(&folder, &self.shared)
    }

    fn files(&mut self, core: u16) -> std::io::Result<Self::Files> {
        let files = crate::segment::DirectoryLog::open(&log_folder(&self.directory, core))?;
        crate::segment::sync_folder(&core_folder(&self.directory, core))?;
        Ok(files)
    }

    fn remove(&mut self, core: u16) -> std::io::Result<()> {
        let folder = core_folder(&self.directory, core);
        let removed = folder.with_extension(REMOVED);
        std::fs::rename(folder, &removed)?;
        crate::segment::sync_folder(&self.directory)?;
        std::fs::remove_dir_all(removed)
    }
}
