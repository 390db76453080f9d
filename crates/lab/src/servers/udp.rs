//! `udp`: each datagram goes back to whom it came from.

use portolan_core::Scheme;
use portolan_net::fault::{Outbox, Plan};
use portolan_net::{Datagram, now};

use super::{Entry, Run, Stop};

pub(super) const ENTRY: Entry = Entry {
    name: "udp",
    scheme: Scheme::Udp,
    number: 1,
    alpn: &[],
    is_proxy: false,
    has_events: false,
    run: Run::Datagrams(|socket, plan, stop| Box::pin(run(socket, plan, stop))),
};

async fn run(socket: Datagram, plan: Plan, stop: Stop) {
    tokio::select! {
        () = echo(&socket, &plan) => {}
        () = stop => {}
    }
}

/// Echoes through the faults of connection 1, which all peers share.
async fn echo(socket: &Datagram, plan: &Plan) {
    let mut faults = plan.connection(1).datagrams();
    let mut outbox = Outbox::default();
    let mut buffer = vec![0; Datagram::MAX];
    loop {
        let due = outbox.due();
        let next_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        // An error here is about one peer, such as a port that was closed meanwhile.
        tokio::select! {
            received = socket.receive_from(&mut buffer) => {
                if let Ok((size, peer)) = received {
                    let mut datagram = buffer[..size].to_vec();
                    outbox.push(now(), faults.next(&mut datagram), (datagram, peer));
                }
            }
            () = next_due => {}
        }
        while let Some((datagram, peer)) = outbox.pop(now()) {
            let _ = socket.send_to(&datagram, &peer).await;
        }
    }
}
