//! Session tickets: a client that comes back, over a restart of the process too, needs neither certificate nor signature.
//!
//! A ticket is the name of its key, a nonce, and what rustls wants to know again, sealed with AES-256-GCM. The keys lie in a file of
//! the data directory that only its owner may read. A key seals for one period and opens for one more.
//!
//! Invariants
//! - A ticket that was touched, or whose key is gone, opens to nothing: the client is given a full handshake.
//! - A key that has sealed for a period never seals again, and after another period it is in no file and no memory.

use crate::commands::now;
use crate::secret_file;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use iris_protocol::Wall;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How long a key seals. 6 h: a client that was away for a night has a full handshake, which costs it a tenth more.
const PERIOD: Duration = Duration::from_hours(6);
/// Bytes of a key's name, in front of its tickets.
const NAME_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
/// The first line of the file.
const HEADER: &str = "iris ticket keys 1";

/// Why keys are not to be had, or not kept.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not one of ticket keys.
    #[error("{}: not a file of ticket keys", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The keys, shared by all cores.
pub struct Tickets {
    /// The newest first; at most two.
    keys: RwLock<Arc<[Key]>>,
    file: Option<PathBuf>,
    random: SystemRandom,
}

#[derive(Clone)]
struct Key {
    name: [u8; NAME_BYTES],
    secret: [u8; SECRET_BYTES],
    made: Wall,
    sealing: LessSafeKey,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Tickets {
    /// Keys that nobody else knows and that end with the process.
    ///
    /// # Errors
    /// [`TicketError::Random`].
    pub fn in_memory() -> Result<Arc<Self>, TicketError> {
        let tickets = Self { keys: RwLock::new(Arc::new([])), file: None, random: SystemRandom::new() };
        tickets.rotate(now())?;
        Ok(Arc::new(tickets))
    }

    /// The keys of a file, which is made if it is missing, and made anew if it is damaged.
    ///
    /// # Errors
    /// [`TicketError::Random`], or [`TicketError::File`] if the file cannot be replaced.
    pub fn open(file: &Path, now: Wall) -> Result<Arc<Self>, TicketError> {
        let keys = read(file).unwrap_or_else(|error| {
            tracing::warn!(%error, "ticket keys are made anew: returning clients have one full handshake each");
            Vec::new()
        });
        let keys = RwLock::new(Arc::from(keys));
        let tickets = Self { keys, file: Some(file.to_owned()), random: SystemRandom::new() };
        tickets.keep(now)?;
        Ok(Arc::new(tickets))
    }

    /// Makes a new key if the newest one's period is over. To be called every few minutes.
    ///
    /// # Errors
    /// [`TicketError`]; new keys are in force all the same, unless there were no random bytes.
    pub fn keep(&self, now: Wall) -> Result<(), TicketError> {
        let is_fresh = self.keys().first().is_some_and(|key| age(key, now) < PERIOD);
        if is_fresh { Ok(()) } else { self.rotate(now) }
    }

    fn rotate(&self, now: Wall) -> Result<(), TicketError> {
        let previous = self.keys().first().filter(|key| age(key, now) < 2 * PERIOD).cloned();
        let keys: Arc<[Key]> = [self.new_key(now)?].into_iter().chain(previous).collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&keys);
        match &self.file {
            Some(file) => {
                write(file, &keys).map_err(|source| TicketError::File { path: file.clone(), source })
            }
            None => Ok(()),
        }
    }

    fn new_key(&self, made: Wall) -> Result<Key, TicketError> {
        let (mut name, mut secret) = ([0; NAME_BYTES], [0; SECRET_BYTES]);
        let filled = self.random.fill(&mut name).and_then(|()| self.random.fill(&mut secret));
        filled.ok().and_then(|()| Key::new(name, secret, made)).ok_or(TicketError::Random)
    }

    fn keys(&self) -> Arc<[Key]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys();
        let key = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        key.sealing.seal_in_place_append_tag(unique, Aad::empty(), &mut sealed).ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn unseal(&self, ticket: &[u8], now: Wall) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.keys();
        let key = keys.iter().find(|key| key.name == *name && age(key, now) < 2 * PERIOD)?;
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let bytes = key.sealing.open_in_place(nonce, Aad::empty(), &mut plain).ok()?.len();
        plain.truncate(bytes);
        Some(plain)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(PERIOD.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.unseal(cipher, now())
    }
}

impl Key {
    fn new(name: [u8; NAME_BYTES], secret: [u8; SECRET_BYTES], made: Wall) -> Option<Self> {
        let sealing = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &secret).ok()?);
        Some(Self { name, secret, made, sealing })
    }
}

fn age(key: &Key, now: Wall) -> Duration {
    Duration::from_millis(now.0.saturating_sub(key.made.0))
}

fn read(path: &Path) -> Result<Vec<Key>, TicketError> {
    let text = match secret_file::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(TicketError::File { path: path.to_owned(), source }),
    };
    parse(&text).ok_or_else(|| TicketError::Damaged { path: path.to_owned() })
}

fn parse(text: &str) -> Option<Vec<Key>> {
    text.strip_prefix(HEADER)?.strip_prefix('\n')?.lines().map(parse_key).collect()
}

fn parse_key(line: &str) -> Option<Key> {
    let (made, key) = line.split_once(' ')?;
    let bytes = STANDARD_NO_PAD.decode(key).ok()?;
    let (name, secret) = bytes.split_first_chunk::<NAME_BYTES>()?;
    Key::new(*name, secret.try_into().ok()?, Wall(made.parse().ok()?))
}

/// Replaces the file as a whole: written beside, synced, renamed, directory synced.
fn write(path: &Path, keys: &[Key]) -> io::Result<()> {
    let mut text = format!("{HEADER}\n");
    for key in keys {
        let bytes = [&key.name[..], &key.secret].concat();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{} {}", key.made.0, STANDARD_NO_PAD.encode(bytes));
    }
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    secret_file::write_new(&beside, text.as_bytes())?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
