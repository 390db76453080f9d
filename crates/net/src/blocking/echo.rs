//! Echo, the simplest of servers.

use std::io::{self, Read, Write};

use super::Stream;

/// Sends back what comes in, until the peer half-closes; how many bytes.
///
/// # Errors
/// The stream's.
pub fn echo(mut stream: Stream) -> io::Result<u64> {
    let mut buffer = [0; 16 * 1024];
    let mut echoed = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                stream.write_all(&buffer[..count])?;
                echoed += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    stream.shutdown()?;
    Ok(echoed)
}
