//! The socket that metrics are served at.

use super::address::MetricsAddress;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How many clients may wait to be let in.
const BACKLOG: i32 = 64;

/// Metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MetricsSocketError {
    /// Somebody else listens there.
    #[error("metrics cannot be served at {0}, where another process serves something: choose another place, or end it")]
    Taken(MetricsAddress),
    /// There is something else.
    #[error("metrics cannot be served at {}, as this file is there and no socket: choose another path", .0.display())]
    NoSocket(PathBuf),
    /// The system refused.
    #[error("metrics cannot be served at {address}: {error}")]
    Io {
        /// The address.
        address: MetricsAddress,
        /// The system's answer.
        error: io::Error,
    },
}

/// A socket that clients can connect to. Its file, if it has one, goes with it.
#[derive(Debug)]
pub struct MetricsSocket {
    socket: Socket,
    address: MetricsAddress,
    _file: Option<SocketFile>,
}

impl MetricsSocket {
    /// Listens at the address. A Unix socket is this user's alone; one that a dead process left there is replaced.
    pub fn bind(address: MetricsAddress) -> Result<MetricsSocket, MetricsSocketError> {
        match &address {
            MetricsAddress::Loopback(wanted) => match listen_on_port(*wanted) {
                Ok((socket, got)) => Ok(MetricsSocket { socket, address: MetricsAddress::Loopback(got), _file: None }),
                Err(error) if error.kind() == ErrorKind::AddrInUse => Err(MetricsSocketError::Taken(address)),
                Err(error) => Err(MetricsSocketError::Io { address, error }),
            },
            MetricsAddress::Unix(path) => {
                let io = |error| MetricsSocketError::Io { address: address.clone(), error };
                match fs::symlink_metadata(path) {
                    Ok(found) if !found.file_type().is_socket() => {
                        return Err(MetricsSocketError::NoSocket(path.clone()));
                    }
                    Ok(_) if !is_dead(path).map_err(io)? => return Err(MetricsSocketError::Taken(address)),
                    Ok(_) => fs::remove_file(path).map_err(io)?,
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(io(error)),
                }
                let (socket, file) = listen_on_file(path).map_err(io)?;
                Ok(MetricsSocket { socket, address, _file: Some(file) })
            }
        }
    }

    /// The address that it listens at: never port 0.
    pub fn address(&self) -> &MetricsAddress {
        &self.address
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }
}

fn listen_on_port(wanted: SocketAddr) -> io::Result<(Socket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(wanted), Type::STREAM.nonblocking().cloexec(), None)?;
    // A port of which only connections that have ended are left is free.
    socket.set_reuse_address(true)?;
    socket.bind(&wanted.into())?;
    socket.listen(BACKLOG)?;
    let got = socket.local_addr()?.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
    Ok((socket, got))
}

fn listen_on_file(path: &Path) -> io::Result<(Socket, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    // Before it listens, so that nobody was let in meanwhile.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    Ok((socket, file))
}

/// Whether nobody listens at a socket's file any more. Asks without waiting, as a stopped process lets nobody in.
fn is_dead(path: &Path) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(true),
        // Another user's.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error),
        _ => Ok(false),
    }
}

/// A socket's file, which is removed when dropped, unless another has its name by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    made: Metadata,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), made: fs::symlink_metadata(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |found: &Metadata| (found.dev(), found.ino()) == (self.made.dev(), self.made.ino());
        if fs::symlink_metadata(&self.path).is_ok_and(|found| same(&found)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_socket_is_its_users_alone_and_goes_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let socket = MetricsSocket::bind(MetricsAddress::Unix(path.clone())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_another_process_put_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let socket = MetricsSocket::bind(MetricsAddress::Unix(path.clone())).unwrap();
        // Under another name first, so that the two are there at one time and cannot have the same number.
        let _other = UnixListener::bind(folder.path().join("other")).unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        drop(socket);
        assert!(path.exists());
    }

    #[test]
    fn only_a_dead_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let bind = || MetricsSocket::bind(MetricsAddress::Unix(path.clone()));
        let living = UnixListener::bind(&path).unwrap();
        assert!(matches!(bind(), Err(MetricsSocketError::Taken(_))));
        drop(living);
        drop(bind().unwrap());
        fs::write(&path, "mine").unwrap();
        assert!(matches!(bind(), Err(MetricsSocketError::NoSocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
        assert!(matches!(bind(), Err(MetricsSocketError::NoSocket(_))));
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }
}
