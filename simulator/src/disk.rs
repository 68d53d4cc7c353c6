//! What survives a stop: META, the synced image of each core's log, and its tables as of their last flush.

use crate::random::Random;
use crate::reached::Reached;
use iris_protocol::Durability;
use iris_storage::log::LogWrite;
use iris_storage::meta::SharedMeta;
use iris_storage::open::Databases;
use iris_storage::segment::{LogFiles, SharedLog};
use iris_storage::tables::{MemoryTables, SharedTables, TableError};
use iris_storage::{RecordNumber, SegmentId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// One core's disk.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    /// The log's synced image.
    pub(crate) log: SharedLog,
    /// The tables.
    pub(crate) tables: SharedTables<MemoryTables>,
    /// Where the last acknowledged record stands: segment, first byte, end.
    last: Option<(SegmentId, u64, u64)>,
    /// Writes that a stop of the host may lose, oldest first.
    pub(crate) cached: Cache,
}

/// Writes that are not synced, shared as the log is.
#[derive(Clone, Default)]
pub(crate) struct Cache(Rc<RefCell<Vec<Cached>>>);

/// One of them: what stood there before.
struct Cached {
    segment: SegmentId,
    offset: u64,
    before: Vec<u8>,
}

impl Cache {
    /// Everything is on the disk now.
    pub(crate) fn sync(&self) {
        self.0.borrow_mut().clear();
    }

    /// The host stops: some writes are lost, some of them in part.
    fn lose(&self, log: &SharedLog, random: &mut Random) {
        for Cached { segment, offset, before } in self.0.borrow_mut().drain(..).rev() {
            if random.one_in(2) {
                continue;
            }
            let kept = if random.one_in(4) { random.index(before.len()) } else { 0 };
            let lost = log.with(|log| log.write_at(segment, offset + kept as u64, &before[kept..]));
            assert!(lost.is_ok(), "the log writes into segments that exist: {lost:?}");
        }
    }
}

/// A bit that is not what was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flip {
    core: u16,
    segment: SegmentId,
    byte: usize,
    bit: u8,
}

impl Disk {
    /// A write, synced or not.
    pub(crate) fn write(&mut self, write: &LogWrite, durability: Durability) {
        if durability == Durability::Os {
            self.remember(write);
        }
        self.put(write, write.bytes());
        self.last = Some((write.segment(), write.offset(), write.offset() + write.bytes().len() as u64));
    }

    /// The process stopped during a write: none of it, all of it, a part, or garbage is there.
    pub(crate) fn tear(&mut self, write: &LogWrite, random: &mut Random, reached: &mut Reached) {
        let bytes = write.bytes();
        let mut torn = bytes.to_vec();
        let cut = usize::try_from(random.below(bytes.len() as u64)).unwrap_or(0);
        match random.below(4) {
            0 => return,
            1 => reached.written_unacknowledged += 1,
            2 => torn.truncate(cut),
            _ => {
                for byte in &mut torn[cut..] {
                    *byte = u8::try_from(random.below(256)).unwrap_or(0);
                }
            }
        }
        self.put(write, &torn);
    }

    fn remember(&mut self, write: &LogWrite) {
        let (segment, offset) = (write.segment(), write.offset());
        let mut before = vec![0; write.bytes().len()];
        let read = self.log.read_at(segment, offset, &mut before);
        assert!(read.is_ok(), "the log writes into segments that exist: {read:?}");
        self.cached.0.borrow_mut().push(Cached { segment, offset, before });
    }

    fn put(&mut self, write: &LogWrite, bytes: &[u8]) {
        let written = self.log.with(|log| log.write_at(write.segment(), write.offset(), bytes));
        assert!(written.is_ok(), "the log writes into segments that exist: {written:?}");
    }

    /// The power is cut: tables fall back to their last flush, and what was not synced may be lost.
    pub(crate) fn cut_power(&self, random: &mut Random) {
        self.cached.lose(&self.log, random);
        self.tables.with(MemoryTables::power_cut);
    }

    /// The last record that the tables hold.
    pub(crate) fn applied(&self) -> RecordNumber {
        use iris_storage::tables::Tables;
        self.tables.applied().number
    }
}

/// The disks of a host.
#[derive(Default)]
pub(crate) struct Disks {
    pub(crate) cores: BTreeMap<u16, Disk>,
    pub(crate) meta: SharedMeta,
}

impl Disks {
    /// A core's disk, made if there is none.
    pub(crate) fn core(&mut self, core: u16) -> &mut Disk {
        self.cores.entry(core).or_default()
    }

    /// A bit of some log flips, anywhere but in a core's last acknowledged record: nothing behind that one can tell that
    /// it was whole once.
    pub(crate) fn flip(&mut self, random: &mut Random) -> Option<Flip> {
        let index = random.index(self.cores.len().max(1));
        let (core, disk) = self.cores.iter_mut().nth(index)?;
        let segments = disk.log.list().ok().filter(|segments| !segments.is_empty())?;
        let segment = segments[random.index(segments.len())];
        // Among what was ever written: the zeros behind it prove little.
        let written = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0);
        let length = disk.log.with(|log| log.bytes(segment).and_then(written))?;
        let byte = random.index(length + 1);
        let last =
            disk.last.filter(|(last, from, end)| *last == segment && (*from..*end).contains(&(byte as u64)));
        let flip = Flip { core: *core, segment, byte, bit: u8::try_from(random.below(8)).unwrap_or(0) };
        last.is_none().then(|| {
            self.turn(flip);
            flip
        })
    }

    /// Flips a bit, or flips it back.
    pub(crate) fn turn(&mut self, flip: Flip) {
        self.core(flip.core).log.with(|log| {
            if let Some(byte) = log.bytes_mut(flip.segment).and_then(|bytes| bytes.get_mut(flip.byte)) {
                *byte ^= 1 << flip.bit;
            }
        });
    }
}

impl Databases for Disks {
    type Tables = SharedTables<MemoryTables>;
    type Files = SharedLog;

    fn cores(&mut self) -> io::Result<Vec<u16>> {
        Ok(self.cores.keys().copied().collect())
    }

    fn tables(&mut self, core: u16) -> Result<Self::Tables, TableError> {
        Ok(self.core(core).tables.clone())
    }

    fn files(&mut self, core: u16) -> io::Result<Self::Files> {
        Ok(self.core(core).log.clone())
    }

    fn remove(&mut self, core: u16) -> io::Result<()> {
        self.cores.remove(&core);
        Ok(())
    }
}
