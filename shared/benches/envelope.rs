//! Writing and reading an envelope, next to a baseline: one pass of the JSON parser over it.

use std::hint::black_box;

use chrono::DateTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use shared::meta::envelope::{Envelope, ReceivedMessage, V1};
use shared::meta::sender::Sender;

fn raw(value: Value) -> Box<RawValue> {
    to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn envelope(criterion: &mut Criterion) {
    let (waba_id, field) = (raw(json!("419561257915477")), raw(json!("messages")));
    let metadata = raw(json!({"display_phone_number": "15550783881", "phone_number_id": "106540352242922"}));
    let contact = raw(json!({"profile": {"name": "Sheena Nelson"}, "wa_id": "16505551234"}));
    let message = raw(
        json!({"from": "16505551234", "id": "wamid.HQsLMTY1MDU1NTEyMzQVAgASGBQyOTI3QjQ2NDlDRjQzMDdGOTkwMAA=",
        "timestamp": "1795489498", "text": {"body": "Does it come in another color?"}, "type": "text"}),
    );
    let envelope = Envelope::V1(V1::Message(ReceivedMessage {
        received_at: DateTime::UNIX_EPOCH,
        waba_id: Some(&waba_id),
        field: Some(&field),
        metadata: Some(&metadata),
        contact: Some(&contact),
        sender: Sender::parse("16505551234"),
        truncation: None,
        message: &message,
    }));
    let body = envelope.to_body().unwrap_or_default();
    let mut group = criterion.benchmark_group("envelope");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("baseline: to RawValue", |bencher| {
        bencher.iter(|| serde_json::from_str::<&RawValue>(black_box(&body)).is_ok());
    });
    group.bench_function("write", |bencher| bencher.iter(|| black_box(&envelope).to_body()));
    group.bench_function("read", |bencher| bencher.iter(|| Envelope::from_body(black_box(&body)).is_ok()));
    group.finish();
}

criterion_group!(benches, envelope);
criterion_main!(benches);
