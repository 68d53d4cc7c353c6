//! What a message costs: encoding into records, merging, filling memory tables, and replaying a log of files.
//!
//! `cargo run --release -p iris-storage --example merge_cost -- [messages] [messages a record]`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a measuring program prints, and stops at what it did not expect"
)]

use bytes::Bytes;
use iris_protocol::{
    ConversationId, DeviceId, Envelope, Generation, MessageId, Offset, PayloadHash, Sequence, UserId, Wall,
};
use iris_storage::engine::StorageEngine;
use iris_storage::log::{LogConfig, LogPosition, RecordLog};
use iris_storage::merge::Merger;
use iris_storage::op::{CursorRow, Op, Slots};
use iris_storage::recovery::{RecoveryPlan, recover};
use iris_storage::segment::{DirectoryLog, LogFiles, Padding};
use iris_storage::tables::MemoryTables;
use iris_storage::{DurableRecord, LogKey, Mark, Vouch};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

const USERS: u64 = 1000;
/// Messages between two fills: a second at 10,000 a second.
const FILL_MESSAGES: usize = 10_000;

struct Pair {
    conversation: ConversationId,
    sender: UserId,
    receiver: UserId,
    slots: Slots,
}

fn pairs() -> Vec<Pair> {
    (0..USERS)
        .map(|number| {
            let sender = UserId::parse(&format!("user-{number:06}-a")).unwrap();
            let receiver = UserId::parse(&format!("user-{number:06}-b")).unwrap();
            let conversation = ConversationId::direct(&sender, &receiver);
            let mut slots = Slots::from([sender.slot(), receiver.slot()]);
            slots.sort_unstable();
            slots.dedup();
            Pair { conversation, sender, receiver, slots }
        })
        .collect()
}

/// A direct message between two online users with one device each: accepted, elided at both homes, confirmed by
/// both, acked by both: 5 operations of the owner, 4 of the homes.
fn message(pair: &Pair, number: u64) -> Vec<Op> {
    let sequence = Sequence(number / USERS + 1);
    let server_time = Wall(1_764_000_000_000 + number);
    let mut id = [0_u8; 16];
    id[..6].copy_from_slice(&server_time.0.to_be_bytes()[2..]);
    id[6] = 0x70;
    id[8..].copy_from_slice(&(number | 0x8000_0000_0000_0000).to_be_bytes());
    id[8] = 0x80;
    let device = DeviceId::parse("phone").unwrap();
    let envelope = Envelope {
        conversation: pair.conversation.clone(),
        sequence,
        sender: pair.sender.clone(),
        device: device.clone(),
        message_id: MessageId::parse(&id).unwrap(),
        server_time,
        payload: Bytes::from(vec![7; 128]),
    };
    let row = CursorRow {
        acked_through: Offset::new(Generation(1), number + 1),
        linked_at: Wall(1),
        last_seen_at: server_time,
        detached: false,
    };
    let mut ops = vec![Op::Accept {
        envelope: Arc::new(envelope),
        hash: PayloadHash([1; 16]),
        recipients: pair.slots.clone(),
    }];
    for user in [&pair.sender, &pair.receiver] {
        ops.push(Op::Elide { user: user.clone(), watermarks: vec![(pair.conversation.clone(), sequence)] });
        ops.push(Op::Cursor { user: user.clone(), device: device.clone(), row });
    }
    for (index, slot) in pair.slots.iter().enumerate() {
        let sequences = vec![(sequence, index + 1 == pair.slots.len())];
        ops.push(Op::Confirm { conversation: pair.conversation.clone(), recipient: *slot, sequences });
    }
    ops
}

fn micros(spent: Duration, messages: usize) -> f64 {
    spent.as_secs_f64() * 1e6 / messages as f64
}

/// Encodes all messages into records on files; the records.
fn write_log(files: &mut DirectoryLog, batches: &[Vec<Op>], each: usize) -> Vec<DurableRecord> {
    let mut config = LogConfig::new(LogKey(1), Generation(1));
    config.padding = Padding::Block;
    let mut log = RecordLog::new(config, LogPosition::default());
    let (mut encoding, mut bytes) = (Duration::ZERO, 0_usize);
    let mut records = Vec::new();
    for group in batches.chunks(each) {
        while let Some(segment) = log.needs_segment() {
            files.create(segment.id, segment.bytes).unwrap();
            log.provide(segment);
        }
        let started = Instant::now();
        for ops in group {
            log.append(ops);
        }
        let write = log.seal().unwrap();
        encoding += started.elapsed();
        let file = OpenOptions::new().write(true).open(files.path(write.segment())).unwrap();
        file.write_all_at(write.bytes(), write.offset()).unwrap();
        bytes += write.bytes().len();
        records.push(log.written(write).record);
    }
    let messages = batches.len();
    println!(
        "encode and seal   {:.3} us a message, {} bytes on disk",
        micros(encoding, messages),
        bytes / messages
    );
    records
}

fn merge_all(records: Vec<DurableRecord>, messages: usize, each: usize) {
    let mut tables = MemoryTables::new();
    let mut merger = Merger::new(1, &tables).unwrap();
    let (mut merging, mut filling, mut waiting) = (Duration::ZERO, Duration::ZERO, 0);
    for record in records {
        let started = Instant::now();
        merger.absorb(record).unwrap();
        merging += started.elapsed();
        waiting += each;
        if waiting >= FILL_MESSAGES {
            waiting = 0;
            let started = Instant::now();
            merger.fill(&mut tables).unwrap();
            filling += started.elapsed();
        }
    }
    let counters = merger.counters();
    println!("merge             {:.3} us a message", micros(merging, messages));
    println!("fill (memory)     {:.3} us a message", micros(filling, messages));
    println!(
        "rows              {:.1} changes, {:.2} written, {:.2} vanished a message",
        counters.changes as f64 / messages as f64,
        counters.written as f64 / messages as f64,
        counters.vanished as f64 / messages as f64
    );
}

fn replay(files: &mut DirectoryLog, messages: usize) {
    let plan = RecoveryPlan {
        key: LogKey(1),
        padding: Padding::Block,
        applied: Mark::default(),
        vouched: Vouch::default(),
        generation: Generation(1),
        host_lost_writes: false,
    };
    let started = Instant::now();
    let (_, report) = recover(files, &plan, &mut |_| Ok(())).unwrap();
    let read = started.elapsed();
    let mut engine = StorageEngine::new(1, MemoryTables::new()).unwrap();
    let started = Instant::now();
    recover(files, &plan, &mut |record| engine.absorb(record)).unwrap();
    let merged = started.elapsed();
    let rate = |spent: Duration| report.replayed_bytes as f64 / 1e6 / spent.as_secs_f64();
    println!("read and verify   {:.0} MB/s, {} records", rate(read), report.replayed_records);
    println!("replay            {:.0} MB/s, {:.3} us a message", rate(merged), micros(merged, messages));
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let messages = arguments.next().unwrap_or(200_000);
    let each = arguments.next().unwrap_or(32);
    let pairs = pairs();
    let batches: Vec<Vec<Op>> =
        (0..messages as u64).map(|number| message(&pairs[(number % USERS) as usize], number)).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut files = DirectoryLog::open(folder.path()).unwrap();
    let records = write_log(&mut files, &batches, each);
    merge_all(records, messages, each);
    replay(&mut files, messages);
}
