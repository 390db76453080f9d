//! The secrets of connections, for programs that decrypt captures.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::hex;
use crate::pcap::Tap;

/// A file in the NSS key log format, readable by its owner only.
pub(super) struct KeyLog(Mutex<File>);

impl KeyLog {
    /// Opens the file to append to it, and creates it where there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self(Mutex::new(file)))
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = line(label, client_random, secret);
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not break the connection, and there is nobody here to tell.
        let _ = file.write_all(line.as_bytes());
    }
}

impl std::fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyLog")
    }
}

/// Tells the capture of one connection, beside another key log.
#[derive(Debug)]
pub(super) struct CapturedKeyLog {
    tap: Tap,
    other: Arc<dyn rustls::KeyLog>,
}

impl CapturedKeyLog {
    pub(super) fn new(tap: &Tap, other: &Arc<dyn rustls::KeyLog>) -> Arc<Self> {
        Arc::new(Self { tap: tap.clone(), other: other.clone() })
    }
}

impl rustls::KeyLog for CapturedKeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.tap.secret(&line(label, client_random, secret));
        self.other.log(label, client_random, secret);
    }
}

/// A line of the NSS key log format.
fn line(label: &str, client_random: &[u8], secret: &[u8]) -> String {
    format!("{label} {} {}\n", hex(client_random), hex(secret))
}
