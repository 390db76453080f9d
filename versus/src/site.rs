//! A site that every HTTP client is measured with: nginx, with a small file and a large one.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::program::Program;
use crate::server::Server;

/// The size of the small file.
const SMALL: usize = 1024;
/// The size of the large file.
pub(crate) const LARGE: u64 = 1 << 30;

/// nginx of one process, which serves for as long as this lives.
pub(crate) struct Site {
    server: Server,
    _files: TempDir,
}

impl Site {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let nginx =
            Program::find("nginx", "-v").or_else(|_| Program::find("/usr/sbin/nginx", "-v"))?;
        let files = tempfile::tempdir()?;
        fs::write(files.path().join("small"), [b's'; SMALL])?;
        // With a hole for content, so that no disk is measured.
        File::create(files.path().join("large"))?.set_len(LARGE)?;
        let server = Server::start(|address| {
            let config = files.path().join("nginx.conf");
            fs::write(&config, configuration(files.path(), &address.to_string()))?;
            let mut command = Command::new(&nginx.path);
            command.arg("-e").arg("stderr").arg("-p").arg(files.path()).arg("-c").arg(config);
            Ok(command)
        })?;
        Ok(Self { server, _files: files })
    }

    /// The URL of a file, `small` or `large`.
    pub(crate) fn url(&self, file: &str) -> String {
        format!("http://{}/{file}", self.server.address())
    }
}

fn configuration(root: &Path, address: &str) -> String {
    let at = root.display();
    format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr;
         events {{ worker_connections 1024; }}
         http {{
             access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
             fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
             server {{ listen {address}; root {at}; }}
         }}"
    )
}
