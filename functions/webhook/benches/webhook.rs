//! The steps of `webhook` on a request body, next to a baseline on the same bytes: one hash, one pass of the JSON
//! parser.

use std::hint::black_box;

use chrono::Utc;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ring::digest::{SHA256, digest};
use secrecy::SecretString;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use webhook::entry::Entry;
use webhook::readable::Readable;
use webhook::signature::AppSecret;
use webhook::{batches, payload};

/// Messages per body.
const SIZES: [usize; 2] = [1, 1000];

/// A webhook body with `messages` messages, each of another sender.
fn body(messages: usize) -> Vec<u8> {
    let number = |n: usize| format!("1650{n:07}");
    let contact = |n| json!({"profile": {"name": "Sheena Nelson"}, "wa_id": number(n)});
    let message = |n| {
        json!({"from": number(n), "id": format!("wamid.HQsLMTY1MDU1NTEyMzQVAgASGBQ{n:020}AA="),
            "timestamp": "1795489498", "text": {"body": "Does it come in another color?"}, "type": "text"})
    };
    let value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
        "contacts": (0..messages).map(contact).collect::<Vec<Value>>(),
        "messages": (0..messages).map(message).collect::<Vec<Value>>()});
    let changes = json!([{"value": value, "field": "messages"}]);
    let entry = json!([{"id": "419561257915477", "changes": changes}]);
    json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes()
}

fn verify(criterion: &mut Criterion) {
    let secret = AppSecret::new(&SecretString::from("bench"));
    let mut group = criterion.benchmark_group("verify a signature");
    for messages in SIZES {
        let body = body(messages);
        let signature = secret.sign(&body);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::new("baseline: SHA-256", messages), &body, |bencher, body| {
            bencher.iter(|| digest(&SHA256, black_box(body)));
        });
        group.bench_with_input(BenchmarkId::new("verify", messages), &body, |bencher, body| {
            bencher.iter(|| secret.verify(black_box(body), Some(&signature)).is_ok());
        });
    }
    group.finish();
}

fn split(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse and split");
    for messages in SIZES {
        let body = body(messages);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("baseline: to RawValue", messages),
            &body,
            |bencher, body| {
                bencher.iter(|| serde_json::from_slice::<&RawValue>(black_box(body)).is_ok());
            },
        );
        group.bench_with_input(BenchmarkId::new("read", messages), &body, |bencher, body| {
            bencher.iter(|| payload::read(&Readable::of(black_box(body))).len());
        });
        group.bench_with_input(BenchmarkId::new("read, split and pack", messages), &body, |bencher, body| {
            bencher.iter(|| {
                let readable = Readable::of(black_box(body));
                let updates = payload::read(&readable);
                Entry::all(&updates, Utc::now()).map(batches::pack)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, verify, split);
criterion_main!(benches);
