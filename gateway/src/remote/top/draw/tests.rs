//! What is seen, on screens of several sizes.

use super::{BARS, Palette, bar, draw, rows_visible};
use crate::remote::top::figures::Figures;
use crate::remote::top::watch::{Input, Key, Look, Watch};
use iris_protocol::Mono;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Size;
use ratatui::style::Color;
use serde_json::json;
use std::time::Duration;

const PLAIN: Palette = Palette { is_coloured: false };

const AT_80_BY_24: &str = "
iris-gateway top  http://127.0.0.1:7480                                every 1 s
ready

conns         2,401 messages/s   11,700 in/s        879 KiB log sync    0.42 ms
sessions      2,395 delivered/s   7,500 out/s        14 MiB cpu           100 %
logins/s        9.0 records/s       300 log/s       205 KiB mail/s        2,700
refused/s        21 busy/s          6.0 inbox full        0 paused/s          0
reset/s           0 slow/s            0 unclaimed   3.8 MiB handshakes        0

messages/s, at most 11,700 in the last 20 s
                                                                             ▂▅█
                                                                          ▂▅▇███
                                                                       ▁▄▇██████
                                                                     ▃▆█████████
                                                                  ▃▆████████████
                                                               ▂▅███████████████
                                                            ▁▄▇█████████████████

shard▲   conns sessions messages/s delivered/s    in/s   out/s log sync   cpu
    0    1,200    1,197      3,900       2,500 293 KiB 4.8 MiB  0.42 ms  33 %
    1    1,201    1,198      7,800       5,000 586 KiB 9.5 MiB  0.42 ms  67 %


q leave  p pause  ←→ sort  r reverse  ↑↓ rows
";
const AT_40_BY_10: &str = "
top  http://127.0.0.1:7480     every 1 s
ready
conns        78,816 messages/s     8.1M
in/s        595 MiB log sync    0.42 ms
sessions     78,624 delivered/s    5.2M
shard▲   conns messages/s delivered/s
    0    1,200      3,900       2,500
    1    1,201      7,800       5,000
    2    1,202     11,700       7,500
q leave  p pause  ←→ sort      1-3 of 64
";

fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

/// The answer at this second, of so many cores.
fn look(cores: u64, second: u64) -> Look {
    let core = |shard: u64| {
        let rises = |rate: u64| (shard + 1) * second * rate;
        Figures::of(&json!({
            "shard": shard, "connections": 1200 + shard, "unauthenticated": 3, "accepted": rises(second * 100),
            "delivered": rises(2500), "receive_bytes": rises(300_000), "send_bytes": rises(5_000_000),
            "records": rises(100), "record_write_us": rises(42_000), "cpu_us": rises(333_000), "rejected": rises(7),
            "busy": rises(2), "inbox_full": 0, "backpressure": 0, "slow_consumers": 0, "log_bytes": rises(70_000),
            "mails": rises(900), "logins": rises(3), "handshakes_waiting": 0, "unclaimed_bytes": 2_000_000,
            "refused_banned": 0, "refused_unauthenticated": 0, "refused_handshakes": 0, "handshakes_refused": 0,
        }))
    };
    Look { is_ready: true, checks: Vec::new(), shards: (0..cores).map(core).collect() }
}

/// After 20 looks.
fn watch(cores: u64) -> Watch {
    let every = Duration::from_secs(1);
    let mut watch = Watch::new("http://127.0.0.1:7480".into(), every, look(cores, 0), at(0));
    for second in 1..=20 {
        watch.handle(at(second), Input::Looked(look(cores, second)));
    }
    watch
}

fn drawn(watch: &mut Watch, size: (u16, u16), now: Mono, palette: Palette) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    watch.fit(rows_visible(Size::new(size.0, size.1), watch));
    terminal.draw(|frame| draw(frame, watch, now, palette)).unwrap();
    terminal.backend().buffer().clone()
}

/// The lines, without what is empty at their ends.
fn text(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width).max(1);
    let lines = buffer.content.chunks(width);
    let line =
        |cells: &[ratatui::buffer::Cell]| cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    lines.map(|cells| line(cells).trim_end().to_owned()).collect()
}

fn assert_seen(seen: &[String], expected: &str) {
    let expected: Vec<&str> = expected.trim_start_matches('\n').lines().collect();
    assert_eq!(seen, expected, "seen:\n{}", seen.join("\n"));
}

/// Seen to fail when: the mark of the sorted column is left out.
#[test]
fn a_screen_of_80_by_24_has_everything() {
    let seen = text(&drawn(&mut watch(2), (80, 24), at(20), PLAIN));
    assert_seen(&seen, AT_80_BY_24);
}

/// Seen to fail when: `columns` has the order of the table, not that of preference.
#[test]
fn a_screen_of_40_by_10_has_what_matters() {
    let seen = text(&drawn(&mut watch(64), (40, 10), at(20), PLAIN));
    assert_seen(&seen, AT_40_BY_10);
}

/// Seen to fail when: `Plan::of` takes away more than there is.
#[test]
fn every_size_can_be_drawn() {
    let mut watch = watch(9);
    for key in [Key::Right; 11] {
        watch.handle(at(20), Input::Key(key));
        for (width, height) in
            (0..100).step_by(3).flat_map(|width| (0..40).map(move |height| (width, height)))
        {
            let seen = text(&drawn(&mut watch, (width, height), at(20), PLAIN));
            let has_mark = seen.iter().any(|line| line.contains(['▼', '▲']));
            assert!(has_mark || height < 7 || width < 14, "{width} by {height}: {seen:#?}");
        }
    }
}

/// Seen to fail when: the rows are not said to be old; or a paused screen does not say so.
#[test]
fn a_gateway_that_does_not_answer_is_seen_to_be_lost() {
    let mut watch = watch(2);
    watch.handle(at(21), Input::Failed("connection refused".into()));
    watch.handle(at(21), Input::Key(Key::Pause));
    let buffer = drawn(&mut watch, (80, 24), at(32), PLAIN);
    let seen = text(&buffer);
    assert_eq!(seen[1], "no answer since 12 s: connection refused");
    assert!(seen[0].ends_with("paused"), "{}", seen[0]);
    let row = seen.iter().rposition(|line| line.contains("1,201")).unwrap();
    let cell = &buffer[(10, u16::try_from(row).unwrap())];
    assert!(cell.modifier.contains(ratatui::style::Modifier::DIM), "{cell:?}");
}

/// Seen to fail when: `Palette::style` does not look at `is_coloured`.
#[test]
fn colours_are_seen_only_where_they_are_wanted() {
    let mut watch = watch(2);
    let mut coloured = |palette| {
        let buffer = drawn(&mut watch, (80, 24), at(20), palette);
        let is_coloured = |cell: &ratatui::buffer::Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
        (buffer.content.iter().filter(|cell| is_coloured(cell)).count(), text(&buffer))
    };
    let (with, seen_with) = coloured(Palette { is_coloured: true });
    let (without, seen_without) = coloured(PLAIN);
    assert!(with > 0 && without == 0, "{with} and {without} cells");
    assert_eq!(seen_with, seen_without);
}

/// Seen to fail when: a bar that is almost nothing is not drawn.
#[test]
fn a_bar_is_as_high_as_its_share() {
    let column = |share: f64| (0..2).rev().map(|below| bar(share, below, 2)).collect::<String>();
    assert_eq!(column(0.0), "  ");
    assert_eq!(column(0.001), " ▁");
    assert_eq!(column(0.5), " █");
    assert_eq!(column(0.75), "▄█");
    assert_eq!(column(1.0), "██");
    assert_eq!(BARS.len(), 9);
}
