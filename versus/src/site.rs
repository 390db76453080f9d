//! A site of three files, and the servers that it is served by: each of one process or one worker,
//! without an access log.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::ensure;
use tempfile::TempDir;

use crate::program::Program;
use crate::server::Server;

/// The size of the small file.
const SMALL: usize = 1024;
/// The size of the medium file.
const MEDIUM: usize = 100 * 1024;
/// The size of the large file.
pub(crate) const LARGE: u64 = 1 << 30;

/// A site that is served for as long as this lives.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) version: String,
    speaks: Speaks,
    _files: TempDir,
}

/// What a site speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// HTTP/1.1, without TLS.
    Http1,
    /// HTTP/2, over TLS.
    Http2,
}

/// Who serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Portolan,
    Nginx,
    Caddy,
    /// `python -m http.server`, which speaks HTTP/1.0 without TLS.
    Python,
}

impl Site {
    /// The site of HTTP clients: nginx.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::served_by(Host::Nginx, Speaks::Http1)
    }

    pub(crate) fn served_by(host: Host, speaks: Speaks) -> anyhow::Result<Self> {
        let program = host.program()?;
        let files = tempfile::tempdir()?;
        let root = files.path();
        fs::write(root.join("small"), [b's'; SMALL])?;
        fs::write(root.join("medium"), vec![b'm'; MEDIUM])?;
        // With a hole for content, so that no disk is measured.
        File::create(root.join("large"))?.set_len(LARGE)?;
        if speaks == Speaks::Http2 {
            make_certificate(root)?;
        }
        let server = Server::start(|address| {
            let mut command = program.command();
            host.configure(&mut command, root, &address.to_string(), speaks)?;
            Ok(command)
        })?;
        Ok(Self { server, version: program.version, speaks, _files: files })
    }

    /// The URL of a file: `small`, `medium` or `large`.
    pub(crate) fn url(&self, file: &str) -> String {
        let scheme = match self.speaks {
            Speaks::Http1 => "http",
            Speaks::Http2 => "https",
        };
        format!("{scheme}://{}/{file}", self.server.address())
    }
}

impl Host {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Portolan => "portolan",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Python => "http.server",
        }
    }

    fn program(self) -> anyhow::Result<Program> {
        match self {
            Self::Portolan => Program::portolan(),
            Self::Nginx => {
                Program::find("nginx", "-v").or_else(|_| Program::find("/usr/sbin/nginx", "-v"))
            }
            Self::Caddy => Program::find("caddy", "version"),
            Self::Python => Program::find("python3", "--version"),
        }
    }

    /// Makes of the program's command one that serves the files in `root`.
    fn configure(
        self,
        command: &mut Command,
        root: &Path,
        address: &str,
        speaks: Speaks,
    ) -> anyhow::Result<()> {
        let with_tls = speaks == Speaks::Http2;
        let config = root.join("config");
        match self {
            Self::Portolan => {
                command.args(["serve", "http", "--no-config", "--workers", "1"]);
                command.args(["--access-log", "off", "--listen", address]).arg(root);
                if with_tls {
                    let [certificate, key] = certificate(root);
                    command.arg("--tls").arg(format!("{certificate},{key}"));
                }
            }
            Self::Nginx => {
                fs::write(&config, nginx(root, address, with_tls))?;
                command.arg("-e").arg("stderr").arg("-p").arg(root).arg("-c").arg(config);
            }
            Self::Caddy => {
                fs::write(&config, caddy(root, address, with_tls))?;
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
                command.env("GOMAXPROCS", "1").env("HOME", root);
            }
            Self::Python => {
                let (host, port) = address.rsplit_once(':').unwrap_or_default();
                command.args(["-m", "http.server", port, "--bind", host, "--directory"]).arg(root);
            }
        }
        Ok(())
    }
}

fn nginx(root: &Path, address: &str, with_tls: bool) -> String {
    let at = root.display();
    let [certificate, key] = certificate(root);
    let (listen, tls) = if with_tls {
        let tls = format!("ssl_certificate {certificate}; ssl_certificate_key {key};");
        (format!("{address} ssl http2"), tls)
    } else {
        (address.to_owned(), String::new())
    };
    format!(
        "daemon off; master_process off; pid {at}/pid; error_log stderr;
         worker_rlimit_nofile 32768; events {{ worker_connections 16384; }}
         http {{
             access_log off; sendfile on; tcp_nopush on; open_file_cache max=1000;
             keepalive_requests 1000000000; keepalive_timeout 300s;
             client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
             fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
             server {{ listen {listen}; {tls} root {at}; }}
         }}"
    )
}

fn caddy(root: &Path, address: &str, with_tls: bool) -> String {
    let at = root.display();
    let [certificate, key] = certificate(root);
    let (scheme, tls) = if with_tls {
        ("https", format!("tls {certificate} {key}"))
    } else {
        ("http", String::new())
    };
    format!(
        "{{\n admin off\n auto_https off\n}}\n\
         {scheme}://{address} {{\n bind 127.0.0.1\n root * {at}\n file_server\n {tls}\n}}\n"
    )
}

/// Where the certificate and its key are.
fn certificate(root: &Path) -> [String; 2] {
    ["certificate.pem", "key.pem"].map(|name| root.join(name).display().to_string())
}

/// Makes a certificate for loopback, with a key on P-256.
fn make_certificate(root: &Path) -> anyhow::Result<()> {
    let [certificate, key] = certificate(root);
    let mut command = Program::find("openssl", "version")?.command();
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    command.args(["-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    command.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    command.args(["-keyout", &key, "-out", &certificate]);
    let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "openssl ended with {status}");
    Ok(())
}
