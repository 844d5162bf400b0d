//! The same answer however the bytes of a response are cut.

use dauphin_proto::{
    packet,
    reply::{self, marker, status},
    response::{Kind, Numbering, Part, Shape, Tracker},
};
use proptest::prelude::*;

/// Runs `stream` through a tracker in pieces that end at `cuts`, as a relay does; answers what the client gets.
fn relay(stream: &[u8], shape: Shape, insert_eof: bool, cuts: &[usize]) -> (Vec<u8>, Vec<Kind>, usize) {
    relay_by(Tracker::new(shape, insert_eof), stream, insert_eof, cuts)
}

fn relay_by(
    mut tracker: Tracker,
    stream: &[u8],
    insert_eof: bool,
    cuts: &[usize],
) -> (Vec<u8>, Vec<Kind>, usize) {
    let (mut out, mut kinds) = (Vec::new(), Vec::new());
    let (mut buffer, mut taken) = (Vec::new(), 0);
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut fed = 0;
    for end in ends {
        buffer.extend_from_slice(&stream[fed..end]);
        fed = end;
        loop {
            let n = match tracker.next(&mut buffer).expect("a valid stream") {
                Part::Bytes(n) => {
                    out.extend_from_slice(&buffer[..n]);
                    n
                }
                Part::Packet { length, kind } => {
                    kinds.push(kind);
                    translate(&buffer[..length], kind, insert_eof, &mut out);
                    length
                }
                Part::InsertEof(sequence) => {
                    packet::put_with(&mut out, sequence, |out| reply::put_eof(out, 0, status::AUTOCOMMIT));
                    0
                }
                Part::Incomplete | Part::End => break,
            };
            buffer.drain(..n);
            taken += n;
        }
    }
    assert!(tracker.is_ended(), "the response ends with the stream");
    (out, kinds, taken)
}

fn translate(packet: &[u8], kind: Kind, insert_eof: bool, out: &mut Vec<u8>) {
    if kind == Kind::RowsEnd && insert_eof {
        let ok = reply::Ok::parse(&packet[packet::HEADER..]).expect("a valid OK packet");
        packet::put_with(out, packet[3], |out| reply::put_eof(out, ok.warnings, ok.status));
    } else {
        out.extend_from_slice(packet);
    }
}

fn ok(header: u8, status: u16) -> Vec<u8> {
    let mut payload = Vec::new();
    let ok =
        reply::Ok { header, affected_rows: 0, last_insert_id: 0, status, warnings: 0, info: b"", state: b"" };
    ok.put(&mut payload, true);
    payload
}

/// Packets of a result set as a server sends it to us.
fn result_set(rows: &[Vec<u8>], status: u16) -> Vec<Vec<u8>> {
    let mut packets = vec![vec![2], b"\x03def-first".to_vec(), b"\x03def-second".to_vec()];
    packets.extend(rows.iter().cloned());
    packets.push(ok(marker::EOF, status));
    packets
}

fn stream(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sequence = 1;
    for payload in packets {
        sequence = packet::put(&mut out, payload, sequence);
    }
    out
}

fn sequences(mut stream: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    while let Some(packet) = packet::whole(stream) {
        found.push(packet[3]);
        stream = &stream[packet.len()..];
    }
    found
}

fn row() -> impl Strategy<Value = Vec<u8>> {
    (0u8..=0xfb, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        rest
    })
}

proptest! {
    #[test]
    fn result_sets(rows in prop::collection::vec(row(), 0..12), cuts: Vec<usize>, insert_eof: bool) {
        let mut packets = result_set(&rows, status::AUTOCOMMIT | status::MORE_RESULTS);
        packets.extend(result_set(&rows, status::AUTOCOMMIT | status::MORE_RESULTS));
        packets.push(ok(marker::OK, status::AUTOCOMMIT));
        let stream = stream(&packets);
        let whole = relay(&stream, Shape::Query, insert_eof, &[]);
        prop_assert_eq!(&relay(&stream, Shape::Query, insert_eof, &cuts), &whole);
        prop_assert_eq!(whole.2, stream.len());
        prop_assert_eq!(&whole.1, &[Kind::RowsEnd, Kind::RowsEnd, Kind::Ok]);
        let count = packets.len() + if insert_eof { 2 } else { 0 };
        prop_assert_eq!(sequences(&whole.0), (1..=count as u8).collect::<Vec<_>>());
    }

    #[test]
    fn results_with_and_without_definitions(
        rows in prop::collection::vec(row(), 0..12),
        cuts: Vec<usize>,
        insert_eof: bool,
        with_first: bool,
    ) {
        let flagged = |status, defined: bool| {
            let mut packets = result_set(&rows, status);
            packets[0].push(u8::from(defined));
            if !defined {
                packets.drain(1..3);
            }
            packets
        };
        let mut packets = flagged(status::AUTOCOMMIT | status::MORE_RESULTS, with_first);
        packets.extend(flagged(status::AUTOCOMMIT, !with_first));
        let stream = stream(&packets);
        let whole = relay(&stream, Shape::Query, insert_eof, &[]);
        prop_assert_eq!(&relay(&stream, Shape::Query, insert_eof, &cuts), &whole);
        prop_assert_eq!(&whole.1, &[Kind::RowsEnd, Kind::RowsEnd]);
        // Behind the count there is an EOF packet also where no definition is.
        let count = packets.len() + if insert_eof { 2 } else { 0 };
        prop_assert_eq!(sequences(&whole.0), (1..=count as u8).collect::<Vec<_>>());
    }

    #[test]
    fn whatever_numbers_frames_give_the_client_gets_its_own(
        rows in prop::collection::vec(row(), 0..12),
        numbers in prop::collection::vec(any::<u8>(), 40),
        cuts: Vec<usize>,
        insert_eof: bool,
    ) {
        let plain = stream(&result_set(&rows, status::AUTOCOMMIT));
        let (mut numbered, mut at) = (plain.clone(), 0);
        for number in numbers {
            let Some(packet) = packet::whole(&plain[at..]) else { break };
            numbered[at + 3] = number;
            at += packet.len();
        }
        let tracker = Tracker::new(Shape::Query, insert_eof).from_server(Numbering::ByFrames);
        prop_assert_eq!(relay_by(tracker, &numbered, insert_eof, &cuts), relay(&plain, Shape::Query, insert_eof, &[]));
    }

    #[test]
    fn prepared_statements(
        parameters in 0u16..5,
        columns in 0u16..5,
        cuts: Vec<usize>,
        insert_eof: bool,
        flag: Option<bool>,
    ) {
        let mut first = vec![0, 1, 0, 0, 0];
        first.extend_from_slice(&columns.to_le_bytes());
        first.extend_from_slice(&parameters.to_le_bytes());
        first.extend_from_slice(&[0, 0, 0]);
        first.extend(flag.map(u8::from));
        let mut packets = vec![first];
        let definitions = if flag == Some(false) { 0 } else { usize::from(parameters + columns) };
        packets.extend(std::iter::repeat_n(b"\x03def".to_vec(), definitions));
        let stream = stream(&packets);
        let whole = relay(&stream, Shape::Prepare, insert_eof, &[]);
        prop_assert_eq!(&relay(&stream, Shape::Prepare, insert_eof, &cuts), &whole);
        let eofs = if insert_eof { usize::from(parameters > 0) + usize::from(columns > 0) } else { 0 };
        prop_assert_eq!(sequences(&whole.0).len(), packets.len() + eofs);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(mut bytes: Vec<u8>, shape in 0usize..6, insert_eof: bool) {
        let shapes = [Shape::Query, Shape::Prepare, Shape::Rows, Shape::FieldList, Shape::Text, Shape::Status];
        let mut tracker = Tracker::new(shapes[shape], insert_eof);
        let mut at = 0;
        for _ in 0..bytes.len() + 8 {
            match tracker.next(&mut bytes[at..]) {
                Ok(Part::Bytes(n) | Part::Packet { length: n, .. }) => at += n,
                Ok(Part::InsertEof(_)) => {}
                _ => break,
            }
        }
        prop_assert!(at <= bytes.len());
    }
}

#[test]
fn an_opened_cursor_gets_one_eof_packet() {
    let stream = stream(&result_set(&[], status::AUTOCOMMIT | status::CURSOR_EXISTS));
    let (out, kinds, _) = relay(&stream, Shape::Query, true, &[3, 20, 30]);
    assert_eq!((sequences(&out), kinds), (vec![1, 2, 3, 4], vec![Kind::RowsEnd]));
}

#[test]
fn so_does_one_without_definitions() {
    let stream = stream(&[vec![2, 0], ok(marker::EOF, status::AUTOCOMMIT | status::CURSOR_EXISTS)]);
    let (out, kinds, _) = relay(&stream, Shape::Query, true, &[3, 8]);
    assert_eq!((sequences(&out), kinds), (vec![1, 2], vec![Kind::RowsEnd]));
}

#[test]
fn an_error_in_the_middle_of_rows_ends_the_response() {
    let mut packets = result_set(&[b"\x01a".to_vec()], 0);
    packets.pop();
    packets.push(b"\xff\x25\x05#70100Query execution was interrupted".to_vec());
    let (_, kinds, taken) = relay(&stream(&packets), Shape::Query, true, &[]);
    assert_eq!((kinds, taken), (vec![Kind::Err], stream(&packets).len()));
}

#[test]
fn a_row_of_several_packets_is_not_mistaken_for_an_end() {
    // A value of 16 MiB and more has a length of nine bytes that begins with 0xfe, and its next packet may begin with 0xff.
    let mut long = vec![0xff; packet::MAX_PAYLOAD + 5];
    long[0] = 0xfe;
    let packets = result_set(&[long, b"\x01a".to_vec()], status::AUTOCOMMIT);
    let stream = stream(&packets);
    let (out, kinds, _) = relay(&stream, Shape::Query, true, &[1 << 20, packet::MAX_PAYLOAD + 60]);
    assert_eq!((out.len(), kinds), (stream.len() + 9 + 5 - 7, vec![Kind::RowsEnd]));
}
