//! URLs of WebSockets (RFC 6455, section 3): wss:// and ws://.
//!
//! Invariants
//! - Host and path hold nothing that could end a line or a word of the request that is made of them.

use iris_protocol::websocket::PATH;
use std::net::Ipv6Addr;

/// Ports of URLs that name none.
const PORT: u16 = 80;
const PORT_ENCRYPTED: u16 = 443;
/// Longest host: that of a name in DNS (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 255;
/// Longest path, its query included: with the longest host, less than the 4 KiB that a server takes as a request.
const PATH_BYTES_MAX: usize = 2048;

/// Why a URL is none that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme.
    #[error("it begins with neither wss:// nor ws://")]
    Scheme,
    /// A user or a password before the host.
    #[error("there is a user in it, but the token says who logs in")]
    User,
    /// No name and no address.
    #[error("no host, or one that is neither a name nor an address; an IPv6 one stands in brackets")]
    Host,
    /// Not 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// A path with a fragment, a character that must be escaped, or more than 2,048 bytes.
    #[error("a path has no fragment, no character that must be escaped, and at most 2048 bytes")]
    Path,
}

/// A URL's parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// wss:// instead of ws://.
    pub(super) is_encrypted: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// With its query; Iris's own if the URL ends before it.
    pub(super) path: String,
}

impl Url {
    /// `None`: no URL at all.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, UrlError> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
        let is_encrypted = scheme.eq_ignore_ascii_case("wss");
        if !is_encrypted && !scheme.eq_ignore_ascii_case("ws") {
            return Err(UrlError::Scheme);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let (host, port) = split(authority)?;
        let port = match port {
            None => usual_port(is_encrypted),
            Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return Err(UrlError::Port),
            Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)?,
        };
        Ok(Some(Self { is_encrypted, host: host.to_owned(), port, path: path_of(path)? }))
    }
}

/// The port of a URL without one.
pub(super) fn usual_port(is_encrypted: bool) -> u16 {
    if is_encrypted { PORT_ENCRYPTED } else { PORT }
}

/// Host and port, if there is one.
fn split(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(UrlError::Host)?;
        host.parse::<Ipv6Addr>().map_err(|_| UrlError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(UrlError::Host),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(is_allowed) {
        return Err(UrlError::Host);
    }
    Ok((host, port))
}

fn path_of(path: &str) -> Result<String, UrlError> {
    // RFC 3986, appendix A: what a path and a query are made of.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(&byte);
    if path.len() > PATH_BYTES_MAX || !path.bytes().all(is_allowed) {
        return Err(UrlError::Path);
    }
    Ok(match path.chars().next() {
        None => PATH.to_owned(),
        Some('?') => format!("{PATH}{path}"),
        Some(_) => path.to_owned(),
    })
}

#[cfg(test)]
mod tests;
