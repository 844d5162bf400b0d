//! What must hold whatever a peer sends: one function per target.

use dauphin_proto::{
    CapabilityFlags, ProtocolError,
    attributes::Attributes,
    bulk::{Bulk, TYPES_AT},
    command::{Command, Queries},
    connect::{AuthSwitch, ChangeUser, Greeting, Login},
    execute::Execute,
    packet::{self, HEADER},
    reply,
    response::{Part, Prepared, Shape, Tracker},
    session_track::changes,
};

/// A response is followed without a panic, to the same end however it is cut.
///
/// Input: the shape, a count of cuts, the cuts, the stream.
pub fn tracker(data: &[u8]) {
    let [head, count, rest @ ..] = data else { return };
    let shapes = [
        Shape::Query,
        Shape::Prepare,
        Shape::Rows,
        Shape::FieldList,
        Shape::Text,
        Shape::Status,
        Shape::Nothing,
    ];
    let (shape, insert_eof) = (shapes[usize::from(head >> 1) % shapes.len()], head & 1 == 1);
    let (cuts, stream) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let mut ends: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) % (stream.len() + 1)).collect();
    ends.sort_unstable();
    let whole = follow(stream, shape, insert_eof, &[]);
    let in_pieces = follow(stream, shape, insert_eof, &ends);
    match (&whole.failed, &in_pieces.failed) {
        (None, None) => assert_eq!(whole, in_pieces, "cut at {ends:?}"),
        // What stands before a fault may have gone out before the fault was seen, or not.
        (Some(one), Some(other)) => {
            assert_eq!(one, other, "cut at {ends:?}");
            assert!(
                in_pieces.out.starts_with(&whole.out) || whole.out.starts_with(&in_pieces.out),
                "cut at {ends:?}"
            );
        }
        _ => panic!("a fault depends on the cuts {ends:?}: {whole:?} {in_pieces:?}"),
    }
    let byte_by_byte: Vec<usize> = (0..stream.len().min(400)).collect();
    assert_eq!(follow(stream, shape, insert_eof, &byte_by_byte).failed, whole.failed);
}

#[derive(Debug, PartialEq, Eq)]
struct Followed {
    out: Vec<u8>,
    parts: Vec<Seen>,
    taken: usize,
    ended: bool,
    rows: u64,
    failed: Option<ProtocolError>,
}

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Packet(dauphin_proto::response::Kind, usize),
    Eof(u8),
}

fn follow(stream: &[u8], shape: Shape, insert_eof: bool, ends: &[usize]) -> Followed {
    let mut tracker = Tracker::new(shape, insert_eof);
    let mut followed =
        Followed { out: Vec::new(), parts: Vec::new(), taken: 0, ended: false, rows: 0, failed: None };
    let (mut buffer, mut fed) = (Vec::new(), 0);
    'pieces: for end in ends.iter().copied().chain([stream.len()]) {
        buffer.extend_from_slice(&stream[fed..end]);
        fed = end;
        loop {
            let given = buffer.len();
            let n = match tracker.next(&mut buffer) {
                Ok(Part::Bytes(n)) => {
                    assert!((1..=given).contains(&n), "{n} of {given} bytes");
                    n
                }
                Ok(Part::Packet { length, kind }) => {
                    assert!((HEADER..=given).contains(&length), "{length} of {given} bytes");
                    followed.parts.push(Seen::Packet(kind, length));
                    if kind == dauphin_proto::response::Kind::LocalInfile {
                        tracker.local_file_sent(buffer[3].wrapping_add(2));
                    }
                    length
                }
                Ok(Part::InsertEof(sequence)) => {
                    assert!(insert_eof);
                    followed.parts.push(Seen::Eof(sequence));
                    followed.out.push(sequence);
                    0
                }
                Ok(Part::Incomplete | Part::End) => break,
                Err(error) => {
                    followed.failed = Some(error);
                    break 'pieces;
                }
            };
            followed.out.extend(buffer.drain(..n));
            followed.taken += n;
        }
    }
    followed.ended = tracker.is_ended();
    followed.rows = tracker.rows();
    followed
}

/// Logins, COM_CHANGE_USER and switches are read without a panic, and what was read survives being written.
pub fn login(data: &[u8]) {
    if let Ok(login) = Login::parse(data) {
        let writable = CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA;
        if login.capabilities.intersects(writable) {
            let mut out = Vec::new();
            login.put(&mut out);
            assert_eq!(Login::parse(&out), Ok(login));
        }
    }
    if let Ok(switch) = AuthSwitch::parse(data) {
        let mut out = Vec::new();
        switch.put(&mut out);
        assert_eq!(AuthSwitch::parse(&out), Ok(switch));
    }
    for capabilities in [CapabilityFlags::empty(), CapabilityFlags::all()] {
        let _ = ChangeUser::parse(data, capabilities);
    }
}

/// Every change lies in the block, and the block ends.
pub fn session_track(data: &[u8]) {
    let block = data.as_ptr_range();
    let mut count = 0;
    for change in changes(data) {
        count += 1;
        assert!(count <= data.len(), "more changes than bytes");
        if let Ok((change, entry)) = change {
            let entry = entry.as_ptr_range();
            assert!(block.start <= entry.start && entry.end <= block.end);
            assert!(!change.to_string().is_empty());
        }
    }
}

/// OK, ERR and COM_STMT_PREPARE_OK are read without a panic, and what was read survives being written.
pub fn ok_err(data: &[u8]) {
    if let Ok(ok) = reply::Ok::parse(data) {
        let mut out = Vec::new();
        ok.put(&mut out, true);
        let again = reply::Ok::parse(&out).expect("what was written can be read");
        let fields = |ok: &reply::Ok<'_>| (ok.header, ok.affected_rows, ok.last_insert_id, ok.warnings);
        assert_eq!(fields(&again), fields(&ok));
        assert_eq!((again.info, again.state), (ok.info, ok.state));
        assert_eq!((again.status ^ ok.status) & !reply::status::STATE_CHANGED, 0);
        out.clear();
        ok.put(&mut out, false);
        let silent = reply::Ok::parse(&out).expect("what was written can be read");
        assert!(silent.state.is_empty() && silent.info == ok.info);
    }
    if let Ok(error) = reply::Err::parse(data) {
        let mut out = Vec::new();
        error.put(&mut out);
        assert_eq!(reply::Err::parse(&out), Ok(error));
    }
    let _ = Prepared::parse(data);
    let mut framed = Vec::new();
    packet::put(&mut framed, data, 0);
    assert_eq!(packet::whole(&framed).map(|packet| &packet[HEADER..]), Some(data));
}

/// The attributes of a COM_QUERY are read without a panic; all of them lie in front of the text.
pub fn attributes(data: &[u8]) {
    let Ok((attributes, text_at)) = Attributes::of_query(data) else { return };
    let block = data[..text_at].as_ptr_range();
    for attribute in attributes.iter() {
        let name = attribute.name.as_ptr_range();
        assert!(block.start <= name.start && name.end <= block.end);
    }
    // The text is no part of what is read.
    let cut = Attributes::of_query(&data[..text_at]);
    assert_eq!(cut, Ok((attributes, text_at)));
}

/// Commands and COM_STMT_EXECUTE are read without a panic; types that are written in can be read again.
///
/// Input: the number of parameters, whether there may be attributes, the payload.
pub fn execute(data: &[u8]) {
    let [low, high, payload @ ..] = data else { return };
    if let Ok(command) = Command::parse(payload) {
        let _ = command.shape();
    }
    // Mostly few, sometimes many.
    let parameters = if *high == 0xff { u16::from_le_bytes([*low, *high]) } else { u16::from(low % 24) };
    let queries = if high % 2 == 0 { Queries::Plain } else { Queries::WithAttributes };
    let Ok(execute) = Execute::parse(payload, parameters, queries) else { return };
    let (None, Some(at)) = (&execute.types, execute.bind_flag_at) else { return };
    let types: Vec<u8> = (0..2 * usize::from(parameters)).map(|at| at as u8).collect();
    let mut told = payload[..at].to_vec();
    execute.put_types(&mut told, &types, queries);
    let values_at = told.len();
    told.extend_from_slice(&payload[at + 1..]);
    let again = Execute::parse(&told, parameters, queries).expect("what was written can be read");
    assert_eq!(again.types.as_deref(), Some(&types[..types.len().min(2 * execute.values)]));
    assert_eq!(
        (again.statement_id, again.flags, again.values, again.bind_flag_at),
        (execute.statement_id, execute.flags, execute.values, Some(at))
    );
    assert_eq!(told[values_at..], payload[at + 1..], "the values follow");
}

/// COM_STMT_BULK_EXECUTE is read without a panic; types that are written in can be read again, and the rows follow.
///
/// Input: the number of parameters, the payload.
pub fn bulk(data: &[u8]) {
    let [low, high, payload @ ..] = data else { return };
    let parameters = if *high == 0xff { u16::from_le_bytes([*low, *high]) } else { u16::from(low % 24) };
    let Ok(bulk) = Bulk::parse(payload, parameters) else { return };
    let types: Vec<u8> = match bulk.types {
        Some(types) => types.to_vec(),
        None => (0..2 * usize::from(parameters)).map(|at| at as u8).collect(),
    };
    let rows = &payload[TYPES_AT + bulk.types.map_or(0, <[u8]>::len)..];
    let mut told = Vec::new();
    bulk.put_head(&mut told, bulk.statement_id, &types);
    told.extend_from_slice(rows);
    let again = Bulk::parse(&told, parameters).expect("what was written can be read");
    assert_eq!((again.statement_id, again.types), (bulk.statement_id, Some(&types[..])));
    assert_eq!(again.wants_unit_results(), bulk.wants_unit_results());
    assert!(told.ends_with(rows), "the rows follow");
    if bulk.types.is_some() {
        assert_eq!(told[1..], payload[1..], "nothing was to be added");
    }
}

/// Greetings are read without a panic, and what was read survives being written.
pub fn greeting(data: &[u8]) {
    if let Ok(greeting) = Greeting::parse(data) {
        let mut out = Vec::new();
        greeting.put(&mut out);
        assert_eq!(Greeting::parse(&out), Ok(greeting));
    }
}
