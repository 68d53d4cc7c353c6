//! Checks a log without changing it.

use super::FsckReport;
use crate::engine::EngineError;
use crate::number::SegmentId;
use crate::recovery::{RecoveryPlan, recover};
use crate::segment::LogFiles;
use std::io;

/// Reads a log as recovery would, against what the tables hold and META vouches for.
pub fn check_log(files: &mut dyn LogFiles, core: u16, plan: &RecoveryPlan, report: &mut FsckReport) {
    let mut records = 0_u64;
    let recovered = recover(&mut ReadOnly(files), plan, &mut |record| {
        records = records.saturating_add(1);
        let number = record.number();
        record.ops().map(|_| ()).map_err(|source| EngineError::Record { number, source })
    });
    report.records = report.records.saturating_add(records);
    if let Err(error) = recovered {
        report.damage(core, "log", error.to_string());
    }
}

/// A log that recovery cannot change: what it would cut stays.
struct ReadOnly<'f>(&'f mut dyn LogFiles);

impl LogFiles for ReadOnly<'_> {
    fn list(&mut self) -> io::Result<Vec<SegmentId>> {
        self.0.list()
    }

    fn length(&mut self, id: SegmentId) -> io::Result<u64> {
        self.0.length(id)
    }

    fn read_at(&mut self, id: SegmentId, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(id, offset, out)
    }

    fn zero(&mut self, _: SegmentId, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn create(&mut self, _: SegmentId, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self, _: SegmentId) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: SegmentId) -> io::Result<()> {
        Ok(())
    }
}
