//! Says what it is told, and prints what comes back for a second.
//! `cargo run -p portolan-ws --example client ws://127.0.0.1:7001 ahoy`
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use std::time::Duration;

use portolan_core::Timeouts;
use portolan_net::{Context, Dialer};
use portolan_ws::{Client, CloseCode, Config};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("which URL?")?.parse()?;
    let cx = Context::new(Timeouts::default());
    let (mut socket, info) = Client::connect(&Dialer::new(), &url, &Config::default(), &cx).await?;
    println!("connected to {}", info.connection.peer);
    println!("round trip: {:.1} ms", socket.ping().await?.as_secs_f64() * 1000.0);

    for word in args {
        socket.feed(word).await?;
    }
    let second = cx.limited(Some(Duration::from_secs(1)));
    while let Some(message) = second.until_deadline(socket.receive()).await {
        match message? {
            Some(message) => println!("{}", message.as_str().unwrap_or("(bytes)")),
            None => return Ok(()),
        }
    }
    socket.close(CloseCode::NORMAL, "").await?;
    Ok(())
}
