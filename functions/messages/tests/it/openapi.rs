//! `docs/openapi.yaml` and the function's responses agree. `.ci/openapi` compares the responses to real requests; these
//! tests cover the errors that it cannot cause, and the possible values of a row.

use std::collections::BTreeSet;

use http::Response;
use lambda_http::Body;
use messages::bearer::NoToken;
use messages::cursor::CursorError;
use messages::filter::Filter;
use messages::history::HistoryError;
use messages::page::PageError;
use messages::problem::Problem;
use serde_json::{Map, Value, json};
use shared::supabase::SupabaseError;
use shared::supabase::rows::MessageResponse;

fn description() -> Value {
    serde_saphyr::from_str(include_str!("../../../../docs/openapi.yaml")).expect("YAML")
}

/// The answers of `GET /messages` by their status.
fn answers() -> Map<String, Value> {
    let answers = &description()["paths"]["/messages"]["get"]["responses"];
    answers.as_object().expect("answers").clone()
}

/// The examples of a media type, whether it has one or several.
fn examples(media_type: &Value) -> Vec<Value> {
    let several =
        media_type["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
    media_type.get("example").into_iter().chain(several).cloned().collect()
}

fn names(list: &Value) -> BTreeSet<&str> {
    list.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name")).collect()
}

#[test]
fn the_fields_of_a_message_are_as_described() {
    let schema = &description()["components"]["schemas"]["Message"];
    let described: BTreeSet<_> =
        schema["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
    // Read for the log, and not shown.
    let columns: Vec<_> = MessageResponse::COLUMNS.split(',').filter(|name| *name != "wamids").collect();
    assert_eq!(described, columns.iter().copied().collect());

    let value = |name: &str| match name {
        "id" | "user_id" => json!("11111111-1111-4111-8111-111111111111"),
        "error_code" => json!(131_026),
        name if name.ends_with("_at") => json!("2026-11-24T03:05:00Z"),
        name => json!(name),
    };
    for &name in &columns {
        // The response when the column is null, compared with the description.
        let row = columns
            .iter()
            .map(|&other| (other.to_owned(), if other == name { Value::Null } else { value(other) }));
        let row = serde_json::from_value::<MessageResponse>(Value::Object(row.collect()));
        let shown = row.map(|row| serde_json::to_value(row).expect("JSON"));
        let is_required = names(&schema["required"]).contains(name);
        let can_be_null =
            schema["properties"][name]["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
        match shown {
            Err(_) => assert!(is_required && !can_be_null, "{name} is always a value"),
            Ok(row) if row.get(name) == Some(&Value::Null) => {
                assert!(is_required && can_be_null, "{name} can be null");
            }
            Ok(_) => assert!(!is_required && !can_be_null, "{name} is left out, and never null"),
        }
    }
}

#[test]
fn the_example_pages_are_rows_as_they_are_shown() {
    let pages = examples(&answers()["200"]["content"]["application/json"]);
    assert!(!pages.is_empty());
    for page in pages {
        let rows: Vec<MessageResponse> = serde_json::from_value(page.clone()).expect("rows");
        assert_eq!(serde_json::to_value(rows).expect("JSON"), page);
    }
}

/// All errors of a request to the route.
fn problems() -> Vec<Problem> {
    let rejected = |status| SupabaseError::Rejected { status, code: Some("X".to_owned()) };
    let page = [
        PageError::Limit,
        PageError::Repeated("limit"),
        PageError::Before(CursorError),
        PageError::Filter(Filter::parse(None, Some("")).expect_err("not a name")),
    ];
    let database = [
        SupabaseError::Timeout,
        SupabaseError::Unreachable,
        SupabaseError::Unsendable,
        SupabaseError::RefusedRole,
        rejected(401),
        rejected(403),
        rejected(404),
        rejected(429),
        rejected(500),
        rejected(503),
        rejected(504),
        SupabaseError::Rejected { status: 401, code: None },
    ];
    let mut problems = vec![Problem::NoToken(NoToken), Problem::History(HistoryError::Unreadable)];
    problems.push(Problem::History(HistoryError::Before(CursorError)));
    problems.extend(page.map(Problem::Page));
    problems.extend(database.map(|error| Problem::History(HistoryError::Supabase(error))));
    for problem in &problems {
        // A new variant must be added to the lists above.
        match problem {
            Problem::NotFound | Problem::Method | Problem::NoToken(_) => {}
            Problem::Page(
                PageError::Limit | PageError::Repeated(_) | PageError::Before(_) | PageError::Filter(_),
            ) => {}
            Problem::History(HistoryError::Unreadable | HistoryError::Before(_)) => {}
            Problem::History(HistoryError::Supabase(
                SupabaseError::Timeout
                | SupabaseError::Unreachable
                | SupabaseError::Unsendable
                | SupabaseError::RefusedRole
                | SupabaseError::Rejected { .. },
            )) => {}
        }
    }
    problems
}

#[test]
fn every_error_is_described_and_every_example_occurs() {
    let answers = answers();
    let mut seen = BTreeSet::new();
    for problem in problems() {
        let response: Response<Body> = problem.into_response();
        let status = response.status().as_str().to_owned();
        let answer = answers.get(&status).unwrap_or_else(|| panic!("{status} is not described"));

        let content_type = response.headers()["content-type"].to_str().expect("ASCII");
        let body: Value = serde_json::from_slice(response.body().as_ref()).expect("JSON");
        let examples = examples(&answer["content"][content_type]);
        assert!(examples.contains(&body), "{status} has no example {body}");
        seen.insert(body.to_string());

        let described = answer["headers"].as_object().cloned().unwrap_or_default();
        for (name, value) in response.headers().iter().filter(|(name, _)| *name != "content-type") {
            let header =
                described.iter().find(|(described, _)| name.as_str().eq_ignore_ascii_case(described));
            let (_, header) = header.unwrap_or_else(|| panic!("{status}: {name} is not described"));
            let value = value.to_str().expect("ASCII");
            let schema = &header["schema"];
            let number = schema["const"].as_u64().map(|number| number.to_string());
            let as_described = number.as_deref() == Some(value)
                || schema["enum"].as_array().is_some_and(|values| values.contains(&json!(value)));
            assert!(as_described, "{status}: {name}: {value}");
        }
        let sent = |name: &String| response.headers().contains_key(name);
        assert!(described.keys().all(sent), "{status} is without a described header");
    }
    let examples = answers.iter().filter(|(status, _)| *status != "200").flat_map(|(status, answer)| {
        let examples = examples(&answer["content"]["application/problem+json"]);
        assert!(!examples.is_empty(), "{status} has no example");
        examples
    });
    assert_eq!(examples.map(|example| example.to_string()).collect::<BTreeSet<_>>(), seen);
}
