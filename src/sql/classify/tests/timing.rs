//! How long it takes; `cargo test --release -- --ignored --nocapture timing`.

use std::hint::black_box;
use std::time::Instant;

use super::*;

fn nanoseconds(work: impl Fn()) -> f64 {
    let rounds = (0..200).map(|_| {
        let start = Instant::now();
        (0..200).for_each(|_| work());
        start.elapsed().as_nanos() as f64 / 200.0
    });
    rounds.fold(f64::MAX, f64::min)
}

#[test]
#[ignore = "measures, asserts nothing"]
fn timing() {
    let condition = "AND (o.a = 17 OR LOWER(c.email) LIKE 'someone@example.com%') ".repeat(14);
    let long =
        format!("SELECT o.id, COUNT(*) FROM orders o JOIN customers c USING (id) WHERE o.b > 5 {condition}");
    let point = "SELECT id, name FROM customers WHERE id = 12345 LIMIT 1 -- x";
    for text in [point, long.as_str(), "SET NAMES utf8mb4", "BEGIN"] {
        let cache = ClassificationCache::new(20_000, 16 << 20, 16 << 10);
        let miss = nanoseconds(|| _ = black_box(classify(black_box(text.as_bytes()), &MYSQL)));
        let hit = nanoseconds(|| _ = black_box(cache.classify(black_box(text.as_bytes()), &MYSQL)));
        println!("{:5} bytes: miss {miss:7.1} ns, hit {hit:5.1} ns", text.len());
    }
}
