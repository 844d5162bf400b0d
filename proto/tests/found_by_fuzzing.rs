//! What fuzzing has found, each as the smallest input that shows it.

use dauphin_proto::{
    packet::{self, HEADER},
    response::{Part, Shape, Tracker},
};

/// A result set's head, then a row of this many bytes.
fn head_and_row(length: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut head, mut row) = (Vec::new(), Vec::new());
    let next = packet::put(&mut head, &[1], 1);
    let next = packet::put(&mut head, b"\x03def", next);
    packet::put(&mut row, &vec![b'x'; length], next);
    (head, row)
}

#[test]
fn a_row_of_more_than_a_mebibyte_may_be_cut_behind_its_header() {
    let (mut head, row) = head_and_row(3 << 20);
    let mut tracker = Tracker::new(Shape::Query, false);
    let mut taken = 0;
    while let Ok(Part::Bytes(n)) = tracker.next(&mut head[taken..]) {
        taken += n;
    }
    assert_eq!(taken, head.len());
    assert_eq!(
        tracker.next(&mut row[..HEADER].to_vec()),
        Ok(Part::Incomplete),
        "it may be a row: that is not known yet"
    );
    assert_eq!(tracker.next(&mut row[..HEADER + 1].to_vec()), Ok(Part::Bytes(HEADER + 1)));
}

#[test]
fn an_empty_definition_is_an_error_whatever_follows() {
    let (mut head, mut row) = (Vec::new(), Vec::new());
    let next = packet::put(&mut head, &[1], 1);
    let next = packet::put(&mut head, b"", next);
    packet::put(&mut row, b"\x01a", next);
    let verdict = |pieces: &[&[u8]]| {
        let (mut tracker, mut buffer) = (Tracker::new(Shape::Query, false), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match tracker.next(&mut buffer) {
                    Ok(Part::Bytes(n)) => drop(buffer.drain(..n)),
                    Ok(Part::Incomplete) => break,
                    other => return Some(other),
                }
            }
        }
        None
    };
    assert_eq!(verdict(&[&head, &row]), verdict(&[&[&head[..], &row].concat()]));
}
