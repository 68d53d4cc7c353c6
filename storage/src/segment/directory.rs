//! A log's folder of segments.

use super::LogFiles;
use crate::codec::{narrow, wide};
use crate::number::SegmentId;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Zeros are written in pieces of this size. It is also what the page cache keeps a segment in: the first write to each page of a
/// mapping costs a walk over its piece's blocks (docs/decisions/0031-pieces-of-a-segment.md).
const PIECE_BYTES: usize = 64 << 10;

/// Segments in a folder, with the file that was used last kept open.
#[derive(Debug)]
pub struct DirectoryLog {
    folder: PathBuf,
    open: Option<(SegmentId, File)>,
}

impl DirectoryLog {
    /// The segments of this folder, which is made if it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), open: None })
    }

    /// Where a segment's file is.
    pub fn path(&self, id: SegmentId) -> PathBuf {
        self.folder.join(id.file_name())
    }

    fn file(&mut self, id: SegmentId) -> io::Result<&File> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != id) {
            let file = OpenOptions::new().read(true).write(true).open(self.path(id))?;
            self.open = Some((id, file));
        }
        let open = self.open.as_ref().map(|(_, file)| file);
        open.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// Makes the folder's entries durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn write_zeros(mut file: &File, length: u64) -> io::Result<()> {
    let zeros = vec![0_u8; PIECE_BYTES];
    let mut left = length;
    while left > 0 {
        let piece = zeros.get(..narrow(left).min(PIECE_BYTES)).unwrap_or_default();
        file.write_all(piece)?;
        left = left.saturating_sub(wide(piece.len()));
    }
    Ok(())
}

impl LogFiles for DirectoryLog {
    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            ids.extend(name.to_str().and_then(SegmentId::from_file_name));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn length(&mut self, id: SegmentId) -> io::Result<u64> {
        Ok(self.file(id)?.metadata()?.len())
    }

    fn read_at(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let file = self.file(id)?;
        let mut done = 0_usize;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset.saturating_add(wide(done))) {
                Ok(0) => break,
                Ok(read) => done = done.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn zero(&mut self, id: SegmentId, offset: u64, length: u64) -> io::Result<()> {
        use std::io::{Seek, SeekFrom};
        let file = self.file(id)?;
        (&*file).seek(SeekFrom::Start(offset))?;
        write_zeros(file, length)?;
        file.sync_all()
    }

    fn create(&mut self, id: SegmentId, bytes: u64) -> io::Result<()> {
        // Under another name until it is whole: a stop in between leaves nothing that looks like a segment.
        let unfinished = self.folder.join("segment.new");
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished)?;
        write_zeros(&file, bytes)?;
        file.sync_all()?;
        let path = self.path(id);
        if path.exists() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        fs::rename(&unfinished, path)?;
        sync_folder(&self.folder)
    }

    fn sync(&mut self, id: SegmentId) -> io::Result<()> {
        self.file(id)?.sync_all()
    }

    fn remove(&mut self, id: SegmentId) -> io::Result<()> {
        self.open = self.open.take().filter(|(open, _)| *open != id);
        fs::remove_file(self.path(id))?;
        sync_folder(&self.folder)
    }
}
