//! Running a server that is compared.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long a server may take until it accepts connections.
const START: Duration = Duration::from_secs(10);

/// A server that runs for as long as this lives.
pub(crate) struct Server {
    process: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Runs the command that `command` makes for a free address of loopback, and waits until the
    /// server accepts connections there.
    #[expect(
        clippy::disallowed_methods,
        reason = "processes are waited for by the clock on the wall"
    )]
    #[expect(clippy::disallowed_types, reason = "whether a server accepts is seen by connecting")]
    pub(crate) fn start(command: impl FnOnce(SocketAddr) -> Command) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = command(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().with_context(|| format!("running {command:?}"))?;
        let mut server = Self { process, address };
        let limit = Instant::now() + START;
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = server.process.try_wait()? {
                bail!("{command:?} ended with {status}");
            }
            if Instant::now() > limit {
                bail!("{command:?} does not accept connections");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address of loopback at which nobody listens.
#[expect(clippy::disallowed_types, reason = "the system knows which ports are free")]
fn free_address() -> anyhow::Result<SocketAddr> {
    let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(socket.local_addr()?)
}
