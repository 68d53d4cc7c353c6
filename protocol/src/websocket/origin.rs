//! Which web pages may connect.
//!
//! Invariants
//! - An origin matches as a whole or not at all; there is no pattern.

/// Why a text is not an origin that a browser sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an origin: write scheme://host[:port] in lower case, as https://chat.example.org")]
pub struct OriginError {
    /// What was given.
    pub text: String,
}

/// The origins whose pages may connect. Who sends none is no web page, and may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Takes origins as browsers write them: `https://chat.example.org`, `http://localhost:8080`.
    ///
    /// # Errors
    /// [`OriginError`] for anything else, `*` and `null` included.
    pub fn parse<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginError> {
        let checked = origins.into_iter().map(|text| {
            is_origin(text).then(|| text.to_owned()).ok_or_else(|| OriginError { text: text.to_owned() })
        });
        Ok(Self(checked.collect::<Result<_, _>>()?))
    }

    /// True for an origin of the list.
    pub fn allow(&self, origin: &[u8]) -> bool {
        self.0.iter().any(|allowed| allowed.as_bytes() == origin)
    }
}

fn is_origin(text: &str) -> bool {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or_default())),
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let is_host = if rest.starts_with('[') {
        host.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    let is_scheme = scheme.bytes().enumerate().all(|(index, b)| {
        b.is_ascii_lowercase() || (index > 0 && (b.is_ascii_digit() || b"+-.".contains(&b)))
    });
    is_host && !scheme.is_empty() && is_scheme && port.is_none_or(|port| is_port(scheme, port))
}

/// A port as a browser writes it: a scheme's own is left out.
fn is_port(scheme: &str, port: &str) -> bool {
    let own = match scheme {
        "http" => "80",
        "https" => "443",
        _ => "",
    };
    port != own
        && !port.starts_with('0')
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests;
