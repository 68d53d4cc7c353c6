//! Measures how a record log should be written: direct with RWF_DSYNC, or buffered with a linked fdatasync, each into a
//! file that was written with zeros before. One write of 4 KiB in flight.
//!
//! `cargo run --release -p iris-reactor --example log_write -- FOLDER [WRITES]`

use iris_reactor::{AlignedBuffer, Config, Event, Reactor, Wait, Write};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
const SEGMENT: usize = 64 << 20;

fn zeroed(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let piece = vec![0; 1 << 20];
    for _ in 0..SEGMENT / piece.len() {
        file.write_all(&piece)?;
    }
    file.sync_all()
}

/// User and system time of this process so far.
fn cpu() -> io::Result<Duration> {
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(clock.tv_sec).map_err(io::Error::other)?;
    Ok(Duration::new(seconds, u32::try_from(clock.tv_nsec).map_err(io::Error::other)?))
}

fn measure(
    reactor: &mut Reactor,
    file: &Rc<File>,
    writes: usize,
    direct: bool,
) -> Result<String, Box<dyn Error>> {
    let mut times = Vec::with_capacity(writes);
    let mut spare = AlignedBuffer::with_capacity(BLOCK);
    let before = cpu()?;
    for number in 0..writes {
        let mut buffer = std::mem::take(&mut spare);
        buffer.clear();
        buffer.resize(BLOCK, u8::try_from(number % 251)?);
        let offset = u64::try_from(number * BLOCK % SEGMENT)?;
        let started = Instant::now();
        let write = Write { offset, buffer, sync: direct };
        if direct {
            reactor.write(0, file, write);
        } else {
            reactor.write_then_sync(0, file, write);
        }
        let mut left = if direct { 1 } else { 2 };
        while left > 0 {
            reactor.turn(Wait::Forever)?;
            while let Some(event) = reactor.next() {
                if let Event::Written { result, buffer, .. } = event {
                    result?;
                    spare = buffer;
                    left -= 1;
                } else if let Event::Synced { result, .. } = event {
                    result?;
                    left -= 1;
                }
            }
        }
        times.push(started.elapsed());
    }
    let cpu_each = cpu()?.saturating_sub(before) / u32::try_from(writes)?;
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 1000];
    Ok(format!("p50 {:?}, p99 {:?}, max {:?}, cpu {cpu_each:?} a write", at(500), at(990), at(1000)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("name a folder on the disk to measure")?);
    let writes = arguments.next().map_or(Ok(2000), |text| text.parse())?;
    let path = folder.join("log-write-measure");
    zeroed(&path)?;
    let mut reactor = Reactor::new(&Config::default())?;
    let mut out = io::stdout().lock();
    for round in 1..=3 {
        for (name, direct, flags) in
            [("direct, RWF_DSYNC", true, libc::O_DIRECT), ("buffered, linked fdatasync", false, 0)]
        {
            let file = Rc::new(OpenOptions::new().write(true).custom_flags(flags).open(&path)?);
            writeln!(out, "round {round}: {name}: {}", measure(&mut reactor, &file, writes, direct)?)?;
        }
    }
    Ok(std::fs::remove_file(path)?)
}
