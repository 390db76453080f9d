//! The arguments of `connect`.

use clap::Args;
use portolan::Url;
use portolan::relay::Exec;

use super::dial::DialArgs;
use super::stdio::StdioArgs;
use super::values::target;
use super::websocket::WebSocketArgs;

/// Where to connect, and what to join it to.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "On a terminal, texts for a WebSocket are typed on a line below what comes. The arrow keys and
those of Emacs edit it, Up and Down call up earlier lines, which are kept in memory only; Ctrl-D
ends the input, Ctrl-C the command. With --binary, --base64, --length-prefix, --hex, --json,
--recv-only or TERM=dumb nothing is edited.

Examples:
  portolan connect tcp://localhost:7001
  printf 'GET / HTTP/1.0\\r\\n\\r\\n' | portolan connect tls://example.org:443
  portolan connect udp://127.0.0.1:7001 --hex < questions.txt
  portolan connect wss://example.org/chat --ping 20s --subprotocol chat
  portolan connect ws://127.0.0.1:7080/ws/ticks --recv-only --json
  portolan connect unix:/run/app.sock --exec 'sh -c \"date; cat\"'"
)]
pub struct ConnectArgs {
    /// Where to connect: tcp:, tls:, unix:, udp:, ws: or wss:; host:port is tcp:
    #[arg(value_name = "URL", value_parser = target)]
    pub url: Url,
    /// Join this command's input and output to the connection, in place of ours
    #[arg(long, value_name = "CMD", conflicts_with_all = ["hex", "crlf", "send_only", "recv_only", "no_shutdown"])]
    pub exec: Option<Exec>,
    /// Connect again whenever the connection has ended, until the input has
    #[arg(long)]
    pub reconnect: bool,
    /// How stdin is sent, and how what comes is shown.
    #[command(flatten)]
    pub stdio: StdioArgs,
    /// How a WebSocket is opened and kept.
    #[command(flatten)]
    pub websocket: WebSocketArgs,
    /// How to connect.
    #[command(flatten)]
    pub dial: DialArgs,
}
