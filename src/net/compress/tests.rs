//! Frames, however they are cut, and the numbers that they have.

use super::*;
use tokio::io::AsyncReadExt;

const METHODS: [Method; 2] = [Method::Zlib, Method::Zstd(3)];

fn pair(capacity: usize, method: Method) -> (Compressed, Compressed) {
    let (near, far) = tokio::io::duplex(capacity);
    let end = |pipe| Compressed::new(Stream::Pipe(pipe), Buffer::default(), method);
    (end(near), end(far))
}

#[tokio::test]
async fn what_is_sent_arrives_however_it_is_cut() {
    let random: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let texts = [b"short".to_vec(), b"0123456789".repeat(30_000), random, vec![7; WORTH_IT]].concat();
    for (capacity, method) in [1, 7, 300, 1 << 20].into_iter().flat_map(|n| METHODS.map(|method| (n, method)))
    {
        let (mut near, mut far) = pair(capacity, method);
        let sent = texts.clone();
        let sender = tokio::spawn(async move {
            for piece in sent.chunks(70_001) {
                near.write_all(piece).await.unwrap();
                near.flush().await.unwrap();
            }
            near.shutdown().await.unwrap();
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        sender.await.unwrap();
        assert_eq!(got, texts, "{capacity} {method:?}");
        assert!(matches!(far.frame, Frame::Header) && far.input.is_empty());
    }
}

#[tokio::test]
async fn long_text_is_deflated_and_frames_are_numbered_on() {
    for method in METHODS {
        let (mut near, far) = pair(1 << 20, method);
        near.sequence = 255;
        for text in [&[b'x'; 1000][..], b"no"] {
            near.write_all(text).await.unwrap();
            near.flush().await.unwrap();
        }
        let mut wire = far.plain;
        let mut head = [0; HEADER];
        wire.read_exact(&mut head).await.unwrap();
        assert!(head[0] < 50 && head[3] == 255 && head[4..] == [0xe8, 3, 0], "{head:?}");
        let mut body = vec![0; head[0].into()];
        wire.read_exact(&mut body).await.unwrap();
        let mut last = [0; HEADER + 2];
        wire.read_exact(&mut last).await.unwrap();
        assert_eq!(last, *b"\x02\x00\x00\x00\x00\x00\x00no");
    }
}

#[tokio::test]
async fn malformed_frames_are_errors() {
    for method in METHODS {
        let mut zeros = vec![0; 100];
        let length = method.deflate(&[0; 100], &mut zeros).unwrap() as u8;
        let whole = &zeros[..length.into()];
        for (bytes, error) in [
            (&b"\x05\x00\x00\x00\x09\x00\x00hello"[..], io::ErrorKind::InvalidData),
            (&[&[length, 0, 0, 0, 99, 0, 0], whole].concat(), io::ErrorKind::InvalidData),
            (&[&[length, 0, 0, 0, 101, 0, 0], whole].concat(), io::ErrorKind::InvalidData),
            (&[&[length - 2, 0, 0, 0, 100, 0, 0], whole].concat(), io::ErrorKind::InvalidData),
            (&[&[length + 1, 0, 0, 0, 100, 0, 0], whole, &[0]].concat(), io::ErrorKind::InvalidData),
            (b"\x05\x00\x00\x00\x00\x00\x00hell", io::ErrorKind::UnexpectedEof),
            (b"\x05\x00", io::ErrorKind::UnexpectedEof),
        ] {
            let (near, mut far) = tokio::io::duplex(1000);
            far.write_all(bytes).await.unwrap();
            drop(far);
            let mut near = Compressed::new(Stream::Pipe(near), Buffer::default(), method);
            let got = near.read_to_end(&mut Vec::new()).await;
            assert_eq!(got.unwrap_err().kind(), error, "{bytes:?} {method:?}");
        }
    }
}

/// The next frame's number and what is in it.
async fn frame(wire: &mut Stream, method: Method) -> (u8, Vec<u8>) {
    let mut head = [0; HEADER];
    wire.read_exact(&mut head).await.unwrap();
    let mut bytes = vec![0; usize::from(head[0]) | usize::from(head[1]) << 8];
    wire.read_exact(&mut bytes).await.unwrap();
    let whole = [&head[..], &bytes].concat();
    let (_, near) = tokio::io::duplex(1);
    let mut reader = Compressed::new(Stream::Pipe(near), Buffer::from_bytes(whole), method);
    let mut inside = Vec::new();
    reader.read_to_end(&mut inside).await.unwrap();
    (head[3], inside)
}

#[tokio::test]
async fn each_command_has_frames_of_its_own_and_what_follows_is_numbered_on() {
    for method in METHODS {
        let (mut near, far) = pair(1 << 20, method);
        let mut server = far.plain;
        let (mut short, mut long) = (Vec::new(), Vec::new());
        packet::put(&mut short, b"\x0e", 0);
        packet::put(&mut long, &[b'x'; MOST + 100], 0);
        let begun = &long[..MOST + 9];
        near.send_commands(&[&short, &long, &short, begun].concat()).await.unwrap();
        near.write_all(&long[begun.len()..]).await.unwrap();
        near.flush().await.unwrap();
        for (number, expected) in [
            (0, &short[..]),
            (0, &long[..MOST]),
            (1, &long[MOST..]),
            (0, &short),
            (0, &begun[..MOST]),
            (1, &begun[MOST..]),
            (2, &long[begun.len()..]),
        ] {
            let (got, inside) = frame(&mut server, method).await;
            assert!(got == number && inside == expected, "{got} {number} {method:?}");
        }
        // The answer asks for a file, whose frames go on from there.
        server.write_all(b"\x02\x00\x00\x05\x00\x00\x00hi").await.unwrap();
        near.read_exact(&mut [0; 2]).await.unwrap();
        near.write_all(&short).await.unwrap();
        near.flush().await.unwrap();
        assert_eq!(frame(&mut server, method).await, (6, short.clone()));
        near.send_commands(&short).await.unwrap();
        assert_eq!(frame(&mut server, method).await, (0, short));
    }
}
