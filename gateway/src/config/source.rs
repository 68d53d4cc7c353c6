//! Where values come from: the file, above it the environment, above that `--set`.
//!
//! Invariants
//! - An unknown key is refused by its name, wherever it comes from; nothing is ignored in silence.
//! - An error names the key and the place that set it.

use super::Config;
use super::text::default_values;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Begin of the names of environment variables that set keys.
const ENV_PREFIX: &str = "IRIS__";
/// Between section and key in these names.
const ENV_SEPARATOR: &str = "__";

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration file.
    File(PathBuf),
    /// In this environment variable.
    Environment(String),
    /// By `--set`.
    Flag,
    /// Nowhere: it is the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag => f.write_str("--set"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why, over several lines.
        message: String,
    },
    /// No such key.
    #[error("unknown key {key} ({origin}); `iris-gateway config default` lists every key")]
    UnknownKey {
        /// The key, as `section.key`.
        key: String,
        /// Who set it.
        origin: Origin,
    },
    /// Not a value for this key.
    #[error("{key} ({origin}): {message}")]
    Value {
        /// The key, as `section.key`.
        key: String,
        /// Who set it.
        origin: Origin,
        /// What is wrong.
        message: String,
    },
    /// The values do not go together, or a file they name is not what it should be.
    #[error("{key}: {message}")]
    Rule {
        /// The key, as `section.key`.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
}

/// Everything that sets keys, lowest first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not begin with `IRIS__` are left alone.
    pub environment: Vec<(String, String)>,
    /// Pairs of `section.key` and value, from `--set`.
    pub settings: Vec<(String, String)>,
}

impl Sources {
    /// A file, this process's environment and what `--set` said.
    pub fn of_process(file: Option<PathBuf>, settings: Vec<(String, String)>) -> Self {
        let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
        let environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self { file, environment, settings }
    }

    /// Reads and merges everything. Rules between values are not looked at yet: see [`Config::problems`].
    ///
    /// # Errors
    /// [`ConfigError`], the first that was found.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut merged = Merged { values: default_values(), origins: BTreeMap::new() };
        if let Some(path) = &self.file {
            merged.file(path)?;
        }
        let mut environment: Vec<_> =
            self.environment.iter().filter(|(n, _)| n.starts_with(ENV_PREFIX)).collect();
        environment.sort();
        for (name, value) in environment {
            let origin = Origin::Environment(name.clone());
            let key = name.trim_start_matches(ENV_PREFIX).to_lowercase().replacen(ENV_SEPARATOR, ".", 1);
            merged.text(&key, value, origin)?;
        }
        for (key, value) in &self.settings {
            merged.text(key, value, Origin::Flag)?;
        }
        merged.typed()
    }
}

/// Values by section and key, complete from the start, with the origin of those that were set.
struct Merged {
    values: Table,
    origins: BTreeMap<String, Origin>,
}

impl Merged {
    fn file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let syntax =
            |e: toml::de::Error| ConfigError::Syntax { path: path.to_owned(), message: e.to_string() };
        let table: Table = text.parse().map_err(syntax)?;
        let origin = Origin::File(path.to_owned());
        for (section, keys) in table {
            let Value::Table(keys) = keys else {
                return Err(ConfigError::UnknownKey { key: section, origin });
            };
            if !self.values.contains_key(&section) {
                return Err(ConfigError::UnknownKey { key: format!("[{section}]"), origin });
            }
            for (key, value) in keys {
                self.set(&format!("{section}.{key}"), value, origin.clone())?;
            }
        }
        Ok(())
    }

    /// Sets a key from a text, which is read as the kind of value that the default is; commas separate those of a list.
    fn text(&mut self, key: &str, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let wrong = |message: &str| ConfigError::Value {
            key: key.to_owned(),
            origin: origin.clone(),
            message: format!("{text:?} is not {message}"),
        };
        let value = match self.slot(key) {
            Some(Value::Integer(_)) => Value::Integer(text.parse().map_err(|_| wrong("a whole number"))?),
            Some(Value::Boolean(_)) => Value::Boolean(text.parse().map_err(|_| wrong("true or false"))?),
            Some(Value::Array(_)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
            }
            Some(_) | None => Value::String(text.to_owned()),
        };
        self.set(key, value, origin)
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin) -> Result<(), ConfigError> {
        let Some(slot) = self.slot(key) else {
            return Err(ConfigError::UnknownKey { key: key.to_owned(), origin });
        };
        *slot = value;
        self.origins.insert(key.to_owned(), origin);
        Ok(())
    }

    /// The place of a key, if there is such a key.
    fn slot(&mut self, key: &str) -> Option<&mut Value> {
        let (section, key) = key.split_once('.')?;
        self.values.get_mut(section)?.as_table_mut()?.get_mut(key)
    }

    /// The typed configuration. A value that does not fit is found by trying the keys that were set one by one.
    fn typed(self) -> Result<Config, ConfigError> {
        let complete = match Config::deserialize_table(self.values.clone()) {
            Ok(config) => return Ok(config),
            Err(message) => message,
        };
        for (key, origin) in self.origins {
            let (section, name) = key.split_once('.').unwrap_or((&key, ""));
            let value = self.values.get(section).and_then(|keys| keys.get(name)).cloned();
            let alone = value.map(|v| Table::from_iter([(name.to_owned(), v)])).unwrap_or_default();
            let alone = Table::from_iter([(section.to_owned(), Value::Table(alone))]);
            if let Err(message) = Config::deserialize_table(alone) {
                return Err(ConfigError::Value { key, origin, message });
            }
        }
        Err(ConfigError::Value {
            key: "configuration".to_owned(),
            origin: Origin::Default,
            message: complete,
        })
    }
}

impl Config {
    /// The configuration of a table, or what is wrong with it, in one line.
    fn deserialize_table(table: Table) -> Result<Self, String> {
        table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }
}
