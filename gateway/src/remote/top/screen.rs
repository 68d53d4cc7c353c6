//! The terminal of `top`: takes it over, listens to keys, signals and the gateway, draws, and gives it back.
//!
//! Invariants
//! - The terminal is given back however it ends: on every return, on a panic of any thread, on a signal that can be caught.
//! - Keys are heard while an answer is awaited: a thread asks the gateway.

use super::draw::{Palette, draw, rows_visible};
use super::figures::Figures;
use super::watch::{Flow, Input, Key, Look, Watch};
use crate::exit::ExitStatus;
use crate::remote::show::items;
use crate::remote::{Remote, RemoteError, Seen, gather};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use iris_protocol::Mono;
use ratatui::DefaultTerminal;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The screen is drawn at least so often: it tells how long an answer is missing.
const REDRAW: Duration = Duration::from_secs(1);
/// Happenings that wait to be taken; who has another one waits.
const HAPPENINGS_MAX: usize = 64;

/// What the other threads tell.
enum Happening {
    /// For the figures.
    Input(Input),
    /// The terminal has another size.
    Resized,
    /// The terminal has gone, or a signal wants an end.
    Ended,
}

/// Until somebody leaves.
pub(super) fn run(remote: &Remote, interval: Duration) -> Result<ExitStatus, RemoteError> {
    // Before the screen is taken: what is wrong with the URL is said where it stays.
    let first = look(gather(remote)?);
    let started = Instant::now();
    let watch = Watch::new(remote.admin.clone(), interval, first, Mono(0));
    let (tell, hear) = crossbeam_channel::bounded(HAPPENINGS_MAX);
    spawn_signals(tell.clone()).map_err(|source| RemoteError::Terminal { source })?;
    let screen = Screen::take();
    let outcome = screen.and_then(|mut screen| {
        spawn_keys(tell.clone());
        spawn_looks(remote.clone(), interval, tell);
        screen.serve(watch, started, &hear)
    });
    outcome.map(|()| ExitStatus::Ok).map_err(|source| RemoteError::Terminal { source })
}

/// The terminal while it is ours.
struct Screen {
    terminal: DefaultTerminal,
    palette: Palette,
    /// False once a thread has panicked: the terminal is back, and nobody draws on it.
    is_ours: Arc<AtomicBool>,
}

impl Screen {
    fn take() -> io::Result<Self> {
        let is_coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let terminal = ratatui::try_init();
        if terminal.is_err() {
            ratatui::restore();
        }
        let is_ours = Arc::new(AtomicBool::new(true));
        give_back_at_panic(Arc::clone(&is_ours));
        Ok(Self { terminal: terminal?, palette: Palette { is_coloured }, is_ours })
    }

    fn serve(&mut self, mut watch: Watch, started: Instant, hear: &Receiver<Happening>) -> io::Result<()> {
        let now = || Mono(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
        loop {
            if self.is_ours.load(Ordering::Acquire) {
                watch.fit(rows_visible(self.terminal.size()?, &watch));
                self.terminal.draw(|frame| draw(frame, &watch, now(), self.palette))?;
            }
            match hear.recv_timeout(REDRAW) {
                Ok(Happening::Input(input)) => match watch.handle(now(), input) {
                    Flow::Stay => {}
                    Flow::Leave => return Ok(()),
                },
                Ok(Happening::Ended) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Ok(Happening::Resized) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The cursor is shown when the terminal is dropped.
        ratatui::restore();
    }
}

/// Nothing is dropped where a panic aborts. The screen itself is left by ratatui's hook, which is called in here.
fn give_back_at_panic(is_ours: Arc<AtomicBool>) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        is_ours.store(false, Ordering::Release);
        hook(panic);
        let _nobody_sees = execute!(stdout(), Show);
    }));
}

fn spawn_signals(tell: Sender<Happening>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if tell.send(Happening::Ended).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn spawn_keys(tell: Sender<Happening>) {
    std::thread::spawn(move || {
        loop {
            let happening = match event::read() {
                Ok(Event::Key(key)) => match meaning(key) {
                    Some(key) => Happening::Input(Input::Key(key)),
                    None => continue,
                },
                Ok(Event::Resize(..)) => Happening::Resized,
                Ok(Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_)) => continue,
                Err(_) => Happening::Ended,
            };
            let is_end = matches!(happening, Happening::Ended);
            if tell.send(happening).is_err() || is_end {
                return;
            }
        }
    });
}

fn spawn_looks(remote: Remote, interval: Duration, tell: Sender<Happening>) {
    std::thread::spawn(move || {
        let mut next = Instant::now();
        loop {
            // What an answer took too long is not made up for.
            next = (next + interval).max(Instant::now());
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            let input = match gather(&remote) {
                Ok(seen) => Input::Looked(look(seen)),
                Err(error) => Input::Failed(brief(&error)),
            };
            if tell.send(Happening::Input(input)).is_err() {
                return;
            }
        }
    });
}

fn look(seen: Seen) -> Look {
    let shards = items(&seen.shards).iter().map(Figures::of).collect();
    Look { is_ready: seen.is_ready, checks: seen.checks, shards }
}

/// Without the URL and the advice, which the screen has no room for.
fn brief(error: &RemoteError) -> String {
    if let RemoteError::Unreachable { source, .. } = error { source.to_string() } else { error.to_string() }
}

/// What a key wants.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other key of a keyboard means nothing")]
fn meaning(key: KeyEvent) -> Option<Key> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c') if is_control => Some(Key::Leave),
        KeyCode::Char(_) if is_control => None,
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Leave),
        KeyCode::Char('p' | ' ') => Some(Key::Pause),
        KeyCode::Char('r') => Some(Key::Reverse),
        KeyCode::Left | KeyCode::BackTab => Some(Key::Left),
        KeyCode::Right | KeyCode::Tab => Some(Key::Right),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Home => Some(Key::Home),
        KeyCode::End => Some(Key::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
