//! Lines that are typed on a terminal and edited, below what else is written to it.

mod line;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::line::{Line, Pressed};
use super::terminal::Mode;
use crate::console::Console;

/// The columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;
/// The cursor to the top, and erase all (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What is typed, as lines that end with a line feed. The terminal shows the one that is edited
/// from the first reading until the input ends or this is dropped.
pub(super) struct Editor {
    stdin: Stdin,
    console: Console,
    keyboard: Option<Keyboard>,
    line: Line,
    /// Lines that are finished and have not been read.
    finished: Vec<u8>,
    has_ended: bool,
}

/// A terminal whose keys are read.
struct Keyboard {
    mode: Mode,
    /// It has another size.
    resized: Signal,
    /// A shell had it meanwhile, and may have left another mode.
    continued: Signal,
}

impl Keyboard {
    fn open() -> io::Result<Self> {
        let continued = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
        let (resized, continued) = (signal(SignalKind::window_change())?, signal(continued)?);
        Ok(Self { mode: Mode::keys()?, resized, continued })
    }

    /// Whether the line has to be drawn again; who asks is woken when it has.
    fn has_changed(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let is_resized = self.resized.poll_recv(cx).is_ready();
        let is_continued = self.continued.poll_recv(cx).is_ready();
        if is_continued {
            self.mode.renew()?;
        }
        Ok(is_resized || is_continued)
    }
}

impl Editor {
    pub(super) fn new(console: &Console) -> Self {
        Self {
            stdin: tokio::io::stdin(),
            console: *console,
            keyboard: None,
            line: Line::default(),
            finished: Vec::new(),
            has_ended: false,
        }
    }

    /// Reads keys until a line is finished or the input has ended.
    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.finished.is_empty() && !self.has_ended {
            if self.keyboard.is_none() {
                self.keyboard = Some(Keyboard::open()?);
                self.draw()?;
            }
            while let Some(keyboard) = &mut self.keyboard
                && keyboard.has_changed(cx)?
            {
                self.draw()?;
            }
            let mut bytes = [0; 4096];
            let mut piece = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stdin).poll_read(cx, &mut piece))?;
            match piece.filled() {
                // The terminal has hung up.
                [] => self.end()?,
                bytes => self.take(bytes)?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        for pressed in self.line.take(bytes) {
            match pressed {
                Pressed::Finish(line) => {
                    self.leave(&line)?;
                    self.finished.extend_from_slice(line.as_bytes());
                    self.finished.push(b'\n');
                }
                Pressed::Clear => self.console.keep_row(CLEAR.to_owned())?,
                Pressed::End => return self.end(),
            }
        }
        self.draw()
    }

    fn draw(&self) -> io::Result<()> {
        let columns = Some(self.console.width()).filter(|columns| *columns != usize::MAX);
        self.console.keep_row(self.line.row(columns.unwrap_or(COLUMNS)))
    }

    /// Leaves a line on the terminal as it is.
    fn leave(&self, line: &str) -> io::Result<()> {
        self.console.write(format!("{}\n", line::shown(line)).as_bytes())
    }

    fn end(&mut self) -> io::Result<()> {
        self.has_ended = true;
        self.keyboard = None;
        self.console.keep_row(String::new())
    }
}

impl AsyncRead for Editor {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let editor = self.get_mut();
        ready!(editor.poll_line(cx))?;
        let count = editor.finished.len().min(buffer.remaining());
        buffer.put_slice(&editor.finished[..count]);
        editor.finished.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        if self.keyboard.is_none() {
            return;
        }
        // What was typed and not sent is there to be copied.
        if let Some(line) = self.line.unfinished() {
            let _ = self.leave(line);
        }
        let _ = self.end();
    }
}

/// The terminal above the line that is edited.
pub(super) struct Above(pub(super) Console);

impl AsyncWrite for Above {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
