use std::io;
use std::time::Duration;

use portolan_core::Transport;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use super::stream::WINDOW;
use super::*;

fn plan(faults: &[&str]) -> Plan {
    let parse = |text: &&str| text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    Plan::new(faults.iter().map(parse).collect(), 7)
}

fn error(text: &str) -> String {
    match text.parse::<Fault>() {
        Ok(fault) => panic!("{text} was read as {fault}"),
        Err(error) => error.to_string(),
    }
}

/// A server's stream with these faults, and the client's end of it.
fn pair(faults: &[&str], capacity: usize) -> (Stream, DuplexStream) {
    let (near, far) = tokio::io::duplex(capacity);
    (plan(faults).connection(1).wrap(Stream::boxed(near)), far)
}

/// All that the client gets when the server writes `bytes` in pieces of `size`, and closes.
async fn sent(faults: &[&str], bytes: &[u8], size: usize) -> Vec<u8> {
    let (mut server, mut client) = pair(faults, 4096);
    let write = async {
        for piece in bytes.chunks(size) {
            if server.write_all(piece).await.is_err() {
                return;
            }
        }
        server.shutdown().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, read) = tokio::join!(write, client.read_to_end(&mut got));
    read.unwrap();
    got
}

mod words {
    use super::*;

    #[test]
    fn canonical_words_are_printed_as_they_were_read() {
        for text in [
            "reset",
            "latency=100ms,jitter=20ms,bandwidth=64KiB/s,corrupt=1/1000",
            "cut=10KiB,reset",
            "smtp RCPT=2: reply=421,latency=3s",
            "http conn=2..5 10% GET=2 /slow: reply=503 not: now, or ever,latency=1ms",
            "http-proxy 1/3: reply=502",
            "udp: loss=5%,duplicate=1/1000,reorder=100%",
            "conn=3: refuse",
        ] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_spellings_mean_the_same() {
        let same = |one: &str, other: &str| {
            assert_eq!(one.parse::<Fault>().unwrap().to_string(), other);
        };
        same("  RCPT=2   smtp :reply = 421 , latency=3000ms ", "smtp RCPT=2: reply=421,latency=3s");
        same("12.5%: stall", "125/1000: stall");
        same("conn=4..4: cut=1024,stall", "conn=4: cut=1KiB,stall");
        same("RCPT: reply=550 no , latency=1s", "RCPT: reply=550 no,latency=1s");
        same("RCPT: reply=550 no, reset all", "RCPT: reply=550 no, reset all");
    }

    #[test]
    fn errors_say_what_is_allowed() {
        assert_eq!(
            error("smtp: slow"),
            "'slow' is not an action; one of latency, jitter, bandwidth, cut, reset, stall, \
             refuse, reply, corrupt, loss, duplicate, reorder is"
        );
        assert_eq!(
            error("latency=x"),
            "latency takes a duration such as 250ms, at most 24h, not 'x'"
        );
        assert_eq!(error("cut"), "cut takes a size such as 10KiB, not ''");
        assert_eq!(error("reset=1"), "reset takes no value, not '1'");
        assert_eq!(
            error("latency=1s,latency=2s"),
            "latency is given twice; one fault says it once"
        );
        assert_eq!(
            error("refuse,bandwidth=1/s"),
            "refuse and bandwidth do not go together; what is refused comes to nothing else"
        );
        assert!(error("conn=0: reset").starts_with("'conn=0' picks nothing; "));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bad in [
            "",
            ":",
            ": reset",
            "smtp",
            "conn=5..2: reset",
            "0%: reset",
            "101%: reset",
            "2/1: reset",
            "smtp ftp: reset",
            "GET POST: reply=500",
            "RCPT=0: reply=421",
            "Smtp: reset",
            "reply=99",
            "reply=1000",
            "reply=421 a\u{1}b",
            "reply=421,slow",
            "bandwidth=0/s",
            "latency=25h",
            "reset,stall",
            "reset,latency=1s",
            "stall,corrupt=1/2",
            "loss=1%,bandwidth=1KiB/s",
            "GET: cut=1KiB",
            "GET: refuse",
            "reply=421,reset",
            "reply=421,cut=1",
        ] {
            assert!(!error(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn faults_know_their_servers_events_and_transports() {
        let plan =
            plan(&["smtp RCPT=2: reply=421", "udp: loss=1%", "latency=1s", "10%: reply=503"]);
        assert_eq!(plan.servers().collect::<Vec<_>>(), ["smtp", "udp"]);
        let events: Vec<_> = plan.events().map(Fault::to_string).collect();
        assert_eq!(events, ["smtp RCPT=2: reply=421", "10%: reply=503"]);
        assert_eq!(plan.for_server("udp").faults().count(), 3);
        let fits = |text: &str, transport| text.parse::<Fault>().unwrap().fits(transport);
        assert!(fits("loss=1%,latency=1s", Transport::Udp));
        assert!(!fits("loss=1%,latency=1s", Transport::Tls));
        assert!(!fits("cut=1", Transport::Udp));
    }

    fn any_action() -> impl Strategy<Value = String> {
        let share = prop_oneof![
            (1..=100_u32).prop_map(|n| format!("{n}%")),
            (1..99_u32, 1..99_u32).prop_map(|(n, more)| format!("{n}/{}", n + more)),
        ];
        prop_oneof![
            (0..10_000_000_u64).prop_map(|us| format!("latency={us}us")),
            (1..u64::MAX).prop_map(|rate| format!("bandwidth={rate}/s")),
            any::<u64>().prop_map(|size| format!("cut={size}")),
            Just("reset".to_owned()),
            Just("stall".to_owned()),
            Just("refuse".to_owned()),
            (100..1000_u16, "( [!-~ä,:= ]{0,12})?")
                .prop_map(|(code, t)| format!("reply={code}{t}")),
            share.clone().prop_map(|share| format!("corrupt={share}")),
            share.prop_map(|share| format!("reorder={share}")),
        ]
    }

    fn any_fault() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            "[a-z][a-z0-9-]{0,6}",
            "conn=[1-9][0-9]?(\\.\\.[1-9][0-9]{2})?",
            "[1-9][0-9]?(\\.[0-9]{1,2})?%",
            "[A-Z]{1,4}(=[1-9])?( /[!-9;-~]{0,6})?",
        ];
        let place = prop::collection::vec(word, 0..4).prop_map(|words| words.join(" "));
        (place, prop::collection::vec(any_action(), 1..3)).prop_map(|(place, actions)| {
            let colon = if place.is_empty() { "" } else { ": " };
            format!("{place}{colon}{}", actions.join(","))
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(text in any_fault()) {
            if let Ok(fault) = text.parse::<Fault>() {
                prop_assert_eq!(fault.to_string().parse(), Ok(fault));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            if let Err(error) = text.parse::<Fault>() {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}

mod choices {
    use super::*;

    fn resets(plan: &Plan) -> Vec<u64> {
        (1..=10_000).filter(|n| plan.connection(*n).opening() == Opening::Reset).collect()
    }

    #[test]
    fn a_share_is_met_and_is_the_same_for_the_same_seed() {
        let plan = plan(&["10%: reset"]);
        let chosen = resets(&plan);
        assert!((900..=1100).contains(&chosen.len()), "{}", chosen.len());
        assert_eq!(resets(&plan), chosen);
        let other = Plan::new(plan.faults().cloned().collect(), 8);
        assert_ne!(resets(&other), chosen);
    }

    #[test]
    fn connections_are_picked_by_number() {
        assert_eq!(resets(&plan(&["conn=2..4: refuse", "conn=9: reset"])), [2, 3, 4, 9]);
        assert_eq!(plan(&["conn=1: stall"]).connection(1).opening(), Opening::Stall);
        assert_eq!(plan(&["cut=1,reset"]).connection(1).opening(), Opening::Serve);
    }

    #[test]
    fn only_an_unconditional_refusal_keeps_from_listening() {
        assert!(plan(&["tcp: refuse"]).for_server("tcp").refuses_all());
        assert!(!plan(&["tcp: refuse"]).for_server("udp").refuses_all());
        assert!(!plan(&["10%: refuse", "conn=1: refuse", "reset"]).refuses_all());
        assert!(Plan::default().is_empty() && !Plan::default().refuses_all());
    }
}

mod events {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_nth_event_is_answered_late() {
        let faults = plan(&["RCPT=2: reply=421 busy,latency=3s"]).connection(1);
        let started = Instant::now();
        assert_eq!(faults.event("RCPT").await, None);
        assert_eq!(faults.event("MAIL").await, None);
        assert_eq!(started.elapsed(), Duration::ZERO);
        let reply = Reply { code: 421, text: Some("busy".to_owned()) };
        assert_eq!(faults.clone().event("RCPT").await, Some(reply));
        assert_eq!(started.elapsed(), Duration::from_secs(3));
        assert_eq!(faults.event("RCPT").await, None);
    }

    #[tokio::test]
    async fn a_path_narrows_the_event() {
        let faults = plan(&["GET /slow: reply=503"]).connection(1);
        assert_eq!(faults.event("GET /fast").await, None);
        assert_eq!(faults.event("POST /slow").await, None);
        assert_eq!(faults.event("GET /slow").await.map(|reply| reply.code), Some(503));
        let faults = plan(&["GET: reply=500", "reply=418"]).connection(1);
        assert_eq!(faults.event("GET /any").await.map(|reply| reply.code), Some(418));
        assert_eq!(faults.event("PUT /any").await.map(|reply| reply.code), Some(418));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_resets_the_stream_under_a_waiting_reader() {
        let faults = plan(&["QUIT: reset"]).connection(1);
        let (near, mut client) = tokio::io::duplex(64);
        let mut server = faults.wrap(Stream::boxed(near));
        let mut byte = [0];
        tokio::select! {
            _ = faults.event("QUIT") => panic!("a reset event returned"),
            read = server.read(&mut byte) => {
                assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            }
        }
        assert_eq!(client.read(&mut byte).await.unwrap(), 0);
    }
}

mod streams {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn latency_delays_what_the_server_sends_and_nothing_else() {
        let (mut server, mut client) = pair(&["latency=100ms"], 64);
        let started = Instant::now();
        let mut word = [0; 4];
        client.write_all(b"ping").await.unwrap();
        server.read_exact(&mut word).await.unwrap();
        assert!(started.elapsed() < Duration::from_millis(2));
        server.write_all(b"pong").await.unwrap();
        let (flushed, read) = tokio::join!(server.flush(), client.read_exact(&mut word));
        flushed.and(read).unwrap();
        let elapsed = started.elapsed().as_millis();
        assert!((100..=102).contains(&elapsed), "{elapsed} ms");
        assert_eq!(&word, b"pong");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_arrives_after_the_stream_is_dropped() {
        let (mut server, mut client) = pair(&["latency=100ms"], 64);
        server.write_all(b"ahoy").await.unwrap();
        drop(server);
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "ahoy");
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_stays_within_its_bounds_and_keeps_the_order() {
        let (mut server, mut client) = pair(&["latency=100ms,jitter=50ms"], 64);
        let mut delays = std::collections::BTreeSet::new();
        for n in 0..50 {
            let started = Instant::now();
            server.write_u8(n).await.unwrap();
            let (_, byte) = tokio::join!(server.flush(), client.read_u8());
            assert_eq!(byte.unwrap(), n);
            delays.insert(started.elapsed().as_millis());
        }
        assert!(delays.first() >= Some(&50) && delays.last() <= Some(&152), "{delays:?}");
        assert!(delays.len() > 10, "{delays:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn bandwidth_paces() {
        let started = Instant::now();
        let got = sent(&["bandwidth=64KiB/s"], &vec![1; 1 << 20], 16384).await;
        let elapsed = started.elapsed().as_secs_f64();
        assert_eq!(got.len(), 1 << 20);
        assert!((15.9..16.1).contains(&elapsed), "{elapsed}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_is_exact() {
        for (size, cut) in [(1, 10), (7, 10), (4096, 10_000), (100_000, 0), (100_000, 99_999)] {
            let bytes: Vec<u8> = (0..100_000).map(|n| n as u8).collect();
            for slow in ["latency=1us", "bandwidth=1GiB/s", "latency=1s,bandwidth=64KiB/s"] {
                let got = sent(&[&format!("cut={cut}"), slow], &bytes, size).await;
                assert!(got == bytes[..cut], "{} of {cut} bytes in pieces of {size}", got.len());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_cut_writes_fail_and_reads_end() {
        let (mut server, mut client) = pair(&["cut=2"], 64);
        client.write_all(b"more").await.unwrap();
        let error = server.write_all(b"abc").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(server.read(&mut [0; 4]).await.unwrap(), 0);
        let mut got = String::new();
        client.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "ab");
    }

    #[tokio::test]
    async fn a_cut_with_reset_resets_tcp() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::net::TcpStream::connect(address);
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (mut client, accepted) = (client.unwrap(), accepted.unwrap().0);
        let mut server = plan(&["cut=4,reset"]).connection(1).wrap(Stream::from(accepted));
        let error = server.write_all(b"abcdef").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_for_ever() {
        let (mut server, mut client) = pair(&["cut=3,stall"], 64);
        client.write_all(b"more").await.unwrap();
        server.write_all(b"abc").await.unwrap();
        let hour = Duration::from_secs(3600);
        tokio::select! {
            _ = server.write_all(b"d") => panic!("a stalled stream took a byte"),
            () = tokio::time::sleep(hour) => {}
        }
        tokio::select! {
            _ = server.read_u8() => panic!("a stalled stream gave a byte"),
            () = tokio::time::sleep(hour) => {}
        }
        let mut got = [0; 3];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"abc");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_is_bounded() {
        let (mut server, _client) = pair(&["latency=1h"], 64);
        let mut taken = 0;
        let fill = async {
            loop {
                taken += server.write(&[0; 1000]).await.unwrap();
            }
        };
        tokio::select! {
            () = fill => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
        assert_eq!(taken, WINDOW);
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_and_a_reader_on_different_tasks_do_not_starve_each_other() {
        let (server, client) = pair(&["latency=1s,bandwidth=64KiB/s"], 64);
        let (mut reader, mut writer) = tokio::io::split(server);
        let (mut from_server, mut to_server) = tokio::io::split(client);
        let reading = tokio::spawn(async move { reader.read_u8().await });
        let writing = tokio::spawn(async move {
            writer.write_all(&vec![1; 2 * WINDOW]).await.unwrap();
            writer.shutdown().await
        });
        let mut got = Vec::new();
        from_server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), 2 * WINDOW);
        writing.await.unwrap().unwrap();
        to_server.write_u8(5).await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), 5);
    }

    #[tokio::test]
    async fn a_stream_without_faults_is_not_wrapped() {
        let (near, _far) = tokio::io::duplex(64);
        let meter = Arc::default();
        let stream = Stream::boxed(near).metered(Arc::clone(&meter));
        let faults = plan(&["conn=2: latency=1s", "RCPT: reply=421"]).connection(1);
        let _wrapped = faults.wrap(stream);
        assert!(!faults.effects.concern_streams());
        assert_eq!(Arc::strong_count(&meter), 2);
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn bytes_arrive_whole_and_in_order(
            bytes in prop::collection::vec(any::<u8>(), 0..20_000),
            size in 1..5000_usize,
            latency in 0..500_u32,
            jitter in 0..500_u32,
            rate in 1000..100_000_u32,
        ) {
            let slow = format!("latency={latency}ms,jitter={jitter}ms,bandwidth={rate}/s");
            prop_assert!(run(sent(&[&slow], &bytes, size)) == bytes);
        }

        #[test]
        fn corruption_does_not_depend_on_chunks(size in 1..5000_usize, share in 2..500_u32) {
            let corrupt = format!("corrupt=1/{share}");
            let whole = run(sent(&[&corrupt], &[0; 10_000], 10_000));
            let pieces = run(sent(&[&corrupt, "bandwidth=20000/s"], &[0; 10_000], size));
            prop_assert!(whole.iter().any(|byte| *byte != 0));
            prop_assert!(whole.iter().all(|byte| byte.count_ones() <= 1));
            prop_assert!(whole == pieces);
        }
    }
}

mod datagrams {
    use super::*;

    fn fates(faults: &[&str], count: usize) -> Vec<Fate> {
        let mut faults = plan(faults).connection(1).datagrams();
        (0..count).map(|n| faults.next(&mut vec![0; n % 3])).collect()
    }

    #[test]
    fn shares_are_met_and_repeatable() {
        let words = ["loss=10%,duplicate=20%,reorder=30%,latency=50ms,jitter=10ms"];
        let all = fates(&words, 10_000);
        let share = |is: fn(&Fate) -> bool| all.iter().filter(|fate| is(fate)).count();
        assert!((900..=1100).contains(&share(|fate| fate.copies == 0)));
        assert!((1650..=1950).contains(&share(|fate| fate.copies == 2)));
        assert!((2800..=3200).contains(&share(|fate| fate.overtaken)));
        let jitter = Duration::from_millis(40)..=Duration::from_millis(60);
        assert!(all.iter().all(|fate| jitter.contains(&fate.delay)));
        assert_eq!(fates(&words, 10_000), all);
        assert!(fates(&["stall"], 3).iter().all(|fate| fate.copies == 0));
    }

    #[test]
    fn bits_are_flipped() {
        let mut datagram = [0; 1000];
        plan(&["corrupt=1/10"]).connection(1).datagrams().next(&mut datagram);
        let flipped = datagram.iter().filter(|byte| byte.count_ones() == 1).count();
        assert!((60..=140).contains(&flipped), "{flipped}");
    }

    #[test]
    fn an_overtaken_datagram_follows_the_next_one() {
        let now = crate::now();
        let fate = |overtaken| Fate { copies: 1, delay: Duration::ZERO, overtaken };
        let mut outbox = Outbox::default();
        outbox.push(now, fate(true), 1);
        assert_eq!(outbox.pop(now), None);
        outbox.push(now, fate(false), 2);
        outbox.push(now, fate(false), 3);
        let order: Vec<_> = std::iter::from_fn(|| outbox.pop(now)).collect();
        assert_eq!(order, [2, 1, 3]);
        outbox.push(now, fate(true), 4);
        let due = outbox.due().unwrap();
        assert_eq!((due - now, outbox.pop(due)), (Duration::from_millis(100), Some(4)));
    }

    #[test]
    fn the_outbox_is_bounded() {
        let now = crate::now();
        let mut outbox = Outbox::default();
        for n in 0..5000 {
            outbox.push(now, Fate { copies: 2, delay: Duration::ZERO, overtaken: false }, n);
        }
        assert_eq!(std::iter::from_fn(|| outbox.pop(now)).count(), 1024);
    }
}
