//! Where META is kept.

use super::{META_FILE, MetaError, MetaStore};
use crate::segment::sync_folder;
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The file while it is being written.
const NEW_FILE: &str = "META.new";

/// A file of a folder.
#[derive(Debug)]
pub struct FolderMeta {
    directory: PathBuf,
}

impl FolderMeta {
    /// The file of this folder.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }
}

impl MetaStore for FolderMeta {
    fn read(&mut self) -> Result<Option<Vec<u8>>, MetaError> {
        match fs::read(self.path()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(MetaError::Io { what: "read", path: self.path(), source }),
        }
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), MetaError> {
        let (path, new) = (self.path(), self.directory.join(NEW_FILE));
        let failed = |what: &'static str| {
            let path = path.clone();
            move |source| MetaError::Io { what, path, source }
        };
        let mut file = File::create(&new).map_err(failed("write"))?;
        file.write_all(bytes).map_err(failed("write"))?;
        file.sync_all().map_err(failed("sync"))?;
        fs::rename(&new, &path).map_err(failed("rename"))?;
        sync_folder(&self.directory).map_err(failed("sync"))
    }

    fn path(&self) -> PathBuf {
        self.directory.join(META_FILE)
    }
}

/// Bytes in memory that outlive the process that writes them, on one thread.
#[derive(Clone, Debug, Default)]
pub struct SharedMeta(Rc<RefCell<Option<Vec<u8>>>>);

impl MetaStore for SharedMeta {
    fn read(&mut self) -> Result<Option<Vec<u8>>, MetaError> {
        Ok(self.0.borrow().clone())
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), MetaError> {
        self.0.replace(Some(bytes.to_vec()));
        Ok(())
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(META_FILE)
    }
}
