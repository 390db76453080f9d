//! A chat: what one says, all hear. `cargo run -p portolan-ws --example server [URL]`
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use portolan_core::Error;
use portolan_net::{Context, Listener};
use portolan_ws::{Config, Deflate, Info, Policy, Room, Server, WebSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws:7001".to_owned()).parse()?;
    let listener = Listener::bind(&url).await?;
    println!("listening on {}", listener.local_url());

    let room = Room::new(256, Policy::Close);
    let chat = move |socket: WebSocket, info: Info, _: Context| {
        let room = room.clone();
        async move {
            room.send(format!("{} joined", info.connection.peer));
            let mut member = room.join(socket);
            while let Some(message) = member.receive().await? {
                room.send(message);
            }
            Ok::<(), Error>(())
        }
    };
    let config = Config { deflate: Some(Deflate::default()), ..Config::default() };
    let shutdown = async { drop(tokio::signal::ctrl_c().await) };
    Server::new(chat).with_config(config).serve(listener, shutdown).await;
    Ok(())
}
