//! Places to serve metrics at: the machine itself can reach them, and nobody else.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Text before the path of a Unix socket.
const UNIX: &[u8] = b"unix:";

/// The kernel has room for 108 bytes, one of which ends the path.
const LONGEST_PATH: usize = 107;

/// A place to serve metrics at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsAddress {
    /// A port of the loopback interface; port 0 stands for any free one.
    Loopback(SocketAddr),
    /// A Unix socket with this absolute path.
    Unix(PathBuf),
}

/// Why a text is no place to serve metrics at.
#[derive(Debug, thiserror::Error)]
pub enum MetricsAddressError {
    /// It is none.
    #[error("{0} is no address for metrics: choose PORT, 127.0.0.1:PORT, [::1]:PORT or unix:PATH")]
    Unknown(String),
    /// Others could reach it.
    #[error(
        "metrics name programs and ask for no password, so they are not served at {0}, which other machines could \
         reach: choose PORT, 127.0.0.1:PORT, [::1]:PORT or unix:PATH"
    )]
    Reachable(SocketAddr),
    /// The path does not fit.
    #[error("the path of a Unix socket has {LONGEST_PATH} bytes at most, and {} has {}", .0.display(), .0.as_os_str().len())]
    PathTooLong(PathBuf),
    /// The folder in which a relative path begins is unknown.
    #[error("cannot tell where {} lies: {error}", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
}

impl MetricsAddress {
    /// Reads `PORT`, `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`. A relative path begins in the current folder.
    pub fn parse(text: &OsStr) -> Result<MetricsAddress, MetricsAddressError> {
        if let Some(path) = text.as_bytes().strip_prefix(UNIX) {
            return unix(PathBuf::from(OsString::from_vec(path.to_vec())), text);
        }
        let unknown = || MetricsAddressError::Unknown(text.display().to_string());
        let text = text.to_str().ok_or_else(unknown)?;
        let address = match text.parse::<u16>() {
            Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
            }
            _ => text.parse().map_err(|_| unknown())?,
        };
        match address.ip().is_loopback() {
            true => Ok(MetricsAddress::Loopback(address)),
            false => Err(MetricsAddressError::Reachable(address)),
        }
    }

    /// The text that is read as this address, in whatever folder.
    pub fn to_os_string(&self) -> OsString {
        match self {
            MetricsAddress::Loopback(address) => address.to_string().into(),
            MetricsAddress::Unix(path) => OsString::from_vec([UNIX, path.as_os_str().as_bytes()].concat()),
        }
    }
}

fn unix(path: PathBuf, text: &OsStr) -> Result<MetricsAddress, MetricsAddressError> {
    if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
        return Err(MetricsAddressError::Unknown(text.display().to_string()));
    }
    let path =
        std::path::absolute(&path).map_err(|error| MetricsAddressError::NoFolder { path: path.clone(), error })?;
    match path.as_os_str().len() <= LONGEST_PATH {
        true => Ok(MetricsAddress::Unix(path)),
        false => Err(MetricsAddressError::PathTooLong(path)),
    }
}

/// As one asks for it.
impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetricsAddress::Loopback(address) => write!(f, "http://{address}/metrics"),
            MetricsAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MetricsAddress, MetricsAddressError> {
        MetricsAddress::parse(text.as_ref())
    }

    #[test]
    fn ports_loopback_addresses_and_unix_sockets_are_read_as_they_are_written() {
        for (text, shown) in [
            ("9400", "http://127.0.0.1:9400/metrics"),
            ("127.0.0.1:1", "http://127.0.0.1:1/metrics"),
            ("[::1]:65535", "http://[::1]:65535/metrics"),
            ("unix:/run/m.sock", "unix:/run/m.sock"),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(MetricsAddress::parse(&address.to_os_string()).unwrap(), address);
        }
    }

    #[test]
    fn a_relative_path_begins_in_the_current_folder() {
        let expected = std::env::current_dir().unwrap().join("m.sock");
        assert_eq!(parse("unix:m.sock").unwrap(), MetricsAddress::Unix(expected));
    }

    #[test]
    fn what_others_can_reach_is_refused() {
        for text in ["0.0.0.0:9400", "[::]:9400", "192.168.1.1:9400", "[::ffff:127.0.0.1]:9400", "8.8.8.8:0"] {
            assert!(matches!(parse(text), Err(MetricsAddressError::Reachable(_))), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "65536", "-1", "+1", "localhost:9400", "127.0.0.1", ":9400", "/run/m.sock", "unix:", "tcp:1"] {
            assert!(matches!(parse(text), Err(MetricsAddressError::Unknown(_))), "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(matches!(parse(&long), Err(MetricsAddressError::PathTooLong(_))));
        assert!(parse(&long[..long.len() - 1]).is_ok());
    }
}
