//! What dauphin-proto costs per packet: `cargo bench -p dauphin-bench`.

use std::{hint::black_box, time::Instant};

use dauphin_proto::{
    command::Command,
    packet, reply,
    response::{Part, Shape, Tracker},
};

/// Runs a batch long enough to time, several times; prints the median and the fastest.
fn time(name: &str, bytes: usize, mut run: impl FnMut()) {
    const BATCHES: usize = 15;
    let mut iterations = 1u32;
    while batch(iterations, &mut run) < 0.02 {
        iterations *= 2;
    }
    let mut ns: Vec<f64> =
        (0..BATCHES).map(|_| batch(iterations, &mut run) * 1e9 / f64::from(iterations)).collect();
    ns.sort_by(f64::total_cmp);
    let (fastest, median) = (ns[0], ns[BATCHES / 2]);
    println!("{name:44} {median:9.1} ns (fastest {fastest:.1}), {:.2} GB/s", bytes as f64 / median);
}

fn batch(iterations: u32, run: &mut impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..iterations).for_each(|_| run());
    start.elapsed().as_secs_f64()
}

/// A result of two columns and so many rows of so many bytes, as a server with DEPRECATE_EOF sends it.
fn result(rows: usize, length: usize) -> Vec<u8> {
    let rows = vec![vec![Some("12345678".to_owned()), Some("c".repeat(length))]; rows];
    let dialect = reply::Dialect {
        deprecate_eof: true,
        session_track: true,
        extended_metadata: false,
        definitions: reply::Definitions::Always,
    };
    let mut out = Vec::new();
    reply::put_result_set(&mut out, 1, &["id", "c"], &rows, reply::status::AUTOCOMMIT, dialect);
    out
}

/// Follows a response, `insert_eof` as for a client of the old dialect; cut into pieces as a socket might.
fn follow(tracker: &mut Tracker, bytes: &mut [u8]) {
    let mut at = 0;
    loop {
        match tracker.next(&mut bytes[at..]).expect("a valid response") {
            Part::Bytes(n) | Part::Packet { length: n, .. } => at += n,
            Part::InsertEof(_) => {}
            Part::Incomplete | Part::End => break,
        }
    }
    assert_eq!(black_box(at), bytes.len());
}

fn follow_responses(name: &str, original: &[u8]) {
    for insert_eof in [false, true] {
        // The tracker renumbers in place: each time starts with the server's bytes.
        let mut bytes = original.to_vec();
        let dialect = if insert_eof { " for an old client" } else { "" };
        time(&format!("tracker: {name}{dialect}"), original.len(), || {
            if insert_eof {
                bytes.copy_from_slice(original);
            }
            follow(&mut Tracker::new(Shape::Query, insert_eof), &mut bytes);
        });
    }
}

fn main() {
    follow_responses("1 row", &result(1, 120));
    follow_responses("100 rows", &result(100, 120));
    follow_responses("1 row of 1 MiB", &result(1, 1 << 20));
    follow_responses("10,000 rows of 20 bytes", &result(10_000, 8));

    let ok = [0x00, 0x01, 0x00, 0x02, 0x00, 0x00, 0x00];
    time("OK packet", ok.len(), || {
        black_box(reply::Ok::parse(black_box(&ok)).expect("an OK packet"));
    });
    let mut with_gtid = vec![0x00, 0x01, 0x00, 0x02, 0x40, 0x00, 0x00, 0x00, 0x2d, 0x03, 0x2b, 0x00, 0x29];
    with_gtid.extend_from_slice(b"819b2208-0000-0000-0000-000000000000:5770");
    time("OK packet with a GTID", with_gtid.len(), || {
        let ok = reply::Ok::parse(black_box(&with_gtid)).expect("an OK packet");
        black_box(dauphin_proto::session_track::changes(ok.state).count());
    });
    let mut query = Vec::new();
    packet::put(&mut query, b"\x03SELECT id, c FROM bench WHERE id = 4711", 0);
    time("command: whole packet, parsed", query.len(), || {
        let packet = packet::whole(black_box(&query)).expect("a packet");
        black_box(Command::parse(&packet[packet::HEADER..]).expect("a command").shape());
    });
}
