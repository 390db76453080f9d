//! Binding: the sockets that listen, the files of Unix sockets, and why it cannot be.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use portolan_core::{Blame, Endpoint, Error, Host, Kind};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::{Resolve, SystemResolver};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// A socket that listens, and that no runtime has seen yet.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, Option<SocketFile>),
    /// Bound but not listening: the system refuses every connection.
    Refusing(Socket),
    Closed,
}

/// A socket that listens within a runtime.
#[derive(Debug)]
pub(super) enum Registered {
    /// And our address in every connection, where that does not depend on the peer.
    Tcp(TcpListener, Option<SocketAddr>),
    Unix(UnixListener, Option<SocketFile>),
    Refusing(Socket),
    Closed,
}

impl Bound {
    /// Binds and listens.
    pub(super) async fn new(endpoint: &Endpoint) -> Result<Self, Error> {
        let bound = match &endpoint.host {
            Host::Path(path) => bind_path(path),
            Host::Abstract(name) => UnixListener::bind(format!("\0{name}"))
                .and_then(UnixListener::into_std)
                .map(|socket| Self::Unix(socket, None)),
            Host::Name(_) | Host::V4(_) | Host::V6(..) => {
                bind_tcp(&bind_addresses(endpoint).await?)
            }
        };
        bound.map_err(|error| cannot_listen(endpoint, error))
    }

    /// Holds the address and lets the system refuse everybody.
    pub(super) fn refusing(address: SocketAddr) -> Result<Self, Error> {
        let socket = bound_socket(address, false);
        socket.map(Self::Refusing).map_err(|error| cannot_listen(&address.into(), error))
    }

    /// Another socket that shares this one's address by SO_REUSEPORT (socket(7)); `None` for
    /// sockets whose address cannot be shared.
    pub(super) fn another(&self) -> io::Result<Option<Self>> {
        match self {
            Self::Tcp(socket) => {
                // Only now, so that an address which another server uses was refused before.
                socket2::SockRef::from(socket).set_reuse_port(true)?;
                let another = bound_socket(socket.local_addr()?, true)?;
                another.listen(BACKLOG)?;
                Ok(Some(Self::Tcp(another.into())))
            }
            Self::Unix(..) => Ok(None),
            Self::Refusing(_) | Self::Closed => Ok(Some(Self::Closed)),
        }
    }

    pub(super) fn register(self) -> io::Result<Registered> {
        Ok(match self {
            Self::Tcp(socket) => {
                let address = socket.local_addr().ok();
                let address = address.filter(|address| !address.ip().is_unspecified());
                Registered::Tcp(TcpListener::from_std(socket)?, address)
            }
            Self::Unix(socket, file) => Registered::Unix(UnixListener::from_std(socket)?, file),
            Self::Refusing(socket) => Registered::Refusing(socket),
            Self::Closed => Registered::Closed,
        })
    }
}

impl Registered {
    pub(super) fn deregister(self) -> io::Result<Bound> {
        Ok(match self {
            Self::Tcp(socket, _) => Bound::Tcp(socket.into_std()?),
            Self::Unix(socket, file) => Bound::Unix(socket.into_std()?, file),
            Self::Refusing(socket) => Bound::Refusing(socket),
            Self::Closed => Bound::Closed,
        })
    }

    /// The address, where there is one and it accepts.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket, _) => socket.local_addr().ok(),
            Self::Unix(..) | Self::Refusing(_) | Self::Closed => None,
        }
    }
}

/// A Unix socket's file, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl SocketFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Removes the file of a socket on which nobody listens any more.
    pub(crate) fn remove_stale(path: &Path) -> io::Result<()> {
        if !is_socket(path) {
            return Ok(());
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            _ => Ok(()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn is_socket(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket())
}

fn bind_path(path: &Path) -> io::Result<Bound> {
    SocketFile::remove_stale(path)?;
    let socket = UnixListener::bind(path)?.into_std()?;
    Ok(Bound::Unix(socket, Some(SocketFile::new(path.to_owned()))))
}

fn bind_tcp(addresses: &[SocketAddr]) -> io::Result<Bound> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match bound_socket(*address, false) {
            Ok(socket) => {
                socket.listen(BACKLOG)?;
                return Ok(Bound::Tcp(socket.into()));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A TCP socket that is bound and does not listen yet.
fn bound_socket(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    // What is accepted inherits it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The addresses to bind for an endpoint over IP.
pub(crate) async fn bind_addresses(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Error> {
    let addresses = match endpoint.host.ip() {
        Some(address) => vec![address],
        None => SystemResolver.resolve(&endpoint.host.bare()).await?,
    };
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, endpoint.port)).collect())
}

/// The error for an endpoint on which one cannot listen.
pub(crate) fn cannot_listen(endpoint: &Endpoint, error: io::Error) -> Error {
    let (kind, hint) = match &endpoint.host {
        Host::Path(path) => path_trouble(path, &error),
        Host::Abstract(_) => {
            (Kind::Connect, "another server uses the name: stop it, or choose another name")
        }
        Host::Name(_) | Host::V4(_) | Host::V6(..) => address_trouble(endpoint.port, &error),
    };
    Error::new(kind, format!("could not listen on {endpoint}"))
        .with_blame(Blame::Us)
        .with_endpoint(endpoint)
        .with_hint(hint)
        .with_source(error)
}

fn address_trouble(port: u16, error: &io::Error) -> (Kind, &'static str) {
    use io::ErrorKind as K;
    match error.kind() {
        K::AddrInUse => (
            Kind::Connect,
            "another server uses the port: stop it, or choose another one (0 for any)",
        ),
        K::AddrNotAvailable => (
            Kind::Connect,
            "the address is not one of this machine: choose 127.0.0.1, 0.0.0.0 for all, or one \
             that 'ip address' shows",
        ),
        K::PermissionDenied if port < 1024 => {
            (Kind::Denied, "ports below 1024 need privilege: choose a higher one")
        }
        K::PermissionDenied => (Kind::Denied, "a local policy forbids it: choose another port"),
        _ => (Kind::Connect, "check the address"),
    }
}

fn path_trouble(path: &Path, error: &io::Error) -> (Kind, &'static str) {
    use io::ErrorKind as K;
    match error.kind() {
        K::AddrInUse if is_socket(path) => {
            (Kind::Connect, "another server uses the socket: stop it, or choose another path")
        }
        K::AddrInUse => {
            (Kind::Write, "a file is there that is no socket: remove it, or choose another path")
        }
        K::PermissionDenied => (
            Kind::Denied,
            "this user may not write to the socket's directory: choose another path, or change \
             the directory's mode",
        ),
        K::NotFound => (Kind::Write, "the socket's directory does not exist: make it first"),
        K::NotADirectory => {
            (Kind::Write, "what should be the socket's directory is a file: check the path")
        }
        K::InvalidInput => {
            (Kind::Write, "a socket's path has at most 107 bytes: choose a shorter one")
        }
        _ => (Kind::Write, "check the path"),
    }
}
