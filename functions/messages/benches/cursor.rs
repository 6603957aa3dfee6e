//! Parsing and writing a cursor, next to a baseline: base64 of the same number of bytes.

use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use messages::cursor::Cursor;

fn cursor(criterion: &mut Criterion) {
    // 2026-11-24, and an id.
    let mut bytes = [0x5a; 24];
    bytes[..8].copy_from_slice(&1_795_489_500_000_000_i64.to_be_bytes());
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let Ok(cursor) = text.parse::<Cursor>() else { return };
    let mut group = criterion.benchmark_group("cursor");
    group.bench_function("baseline: base64, decode", |bencher| {
        bencher.iter(|| URL_SAFE_NO_PAD.decode(black_box(&text)));
    });
    group.bench_function("parse", |bencher| bencher.iter(|| black_box(&text).parse::<Cursor>()));
    group.bench_function("baseline: base64, encode", |bencher| {
        bencher.iter(|| URL_SAFE_NO_PAD.encode(black_box(bytes)));
    });
    group.bench_function("write", |bencher| bencher.iter(|| black_box(&cursor).to_string()));
    group.finish();
}

criterion_group!(benches, cursor);
criterion_main!(benches);
