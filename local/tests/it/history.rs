//! `messages` on a real database: tokens, pages and rows of other programs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Response};
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use lambda_http::Body;
use local_process::Guardian;
use local_supabase::{JWT_SECRET, Options, Supabase, USER_B};
use messages::Messages;
use messages::history::History;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

/// A project, and the function on it.
struct Project {
    supabase: Supabase,
    messages: Messages<History>,
    _guardian: Guardian,
}

/// Times outside the range of RFC 3339 and others, newest first: as inserted, and as returned.
const TIMES: [(&str, &str); 9] = [
    ("infinity", "infinity"),
    ("57873-10-06 05:22:00.123+00", "57873-10-06T05:22:00.123+00:00"),
    ("10000-01-01 00:00+00", "10000-01-01T00:00:00+00:00"),
    ("9999-12-31 23:59:59.999999+00", "9999-12-31T23:59:59.999999Z"),
    ("2026-11-24 03:05:00.5+00", "2026-11-24T03:05:00.500Z"),
    ("0001-01-01 00:00+00", "0001-01-01T00:00:00Z"),
    ("0001-12-31 23:59+00 BC", "0001-12-31T23:59:00+00:00 BC"),
    ("0044-03-15 00:00+00 BC", "0044-03-15T00:00:00+00:00 BC"),
    ("-infinity", "-infinity"),
];

/// A page: its rows, and the query of the next page.
struct Page {
    rows: Vec<Value>,
    next: Option<String>,
}

/// The function, with this project.
fn messages(url: &str, key: &str) -> Messages<History> {
    let (url, key) = (url.parse().expect("a URL"), key.parse().expect("a key"));
    let http = shared::http::client().expect("a client");
    Messages::new(History::new(shared::supabase::Supabase::new(&url, key, http)))
}

impl Project {
    async fn start(options: Options) -> Self {
        let guardian = Guardian::start().expect("a guardian");
        let supabase = Supabase::start(options, &guardian).await.expect("Supabase starts");
        let messages = messages(supabase.url(), supabase.publishable_key());
        Self { supabase, messages, _guardian: guardian }
    }

    async fn insert(&self, values: &str) {
        let insert = format!("insert into messages (user_id, channel, role, content, created_at) {values}");
        sqlx::query(AssertSqlSafe(insert)).execute(self.supabase.pool()).await.expect("inserted");
    }

    /// Writes two rows at each of the times, which are ordered by id.
    async fn insert_times(&self, times: &[(&str, &str)]) {
        for (time, _) in times {
            let rows =
                format!("select '{USER_B}', 'web', 'user', n, '{time}' from unnest(array['1', '2']) n");
            self.insert(&rows).await;
        }
    }

    async fn get(&self, query: &str, token: &str) -> Response<Body> {
        let event = json!({
            "rawPath": "/messages", "rawQueryString": query, "headers": {"authorization": format!("Bearer {token}")},
            "requestContext": {"http": {"method": "GET"}}
        });
        self.messages.handle(shared::lambda::api::request(&event.to_string()).expect("a request")).await
    }

    async fn page(&self, query: &str) -> Page {
        let token = self.supabase.user_token(USER_B, Duration::from_secs(600)).expect("a token");
        let response = self.get(query, &token).await;
        assert_eq!(response.status(), 200, "{query}: {:?}", response.body());
        // Lambda's response: the body as a JSON string. (Its limit is 6,291,556 bytes.)
        let body = serde_json::to_string(response.body()).expect("JSON");
        assert!(body.len() < 6_000_000, "{} bytes", body.len());
        let next = response.headers().get("link").map(|link| {
            let link = link.to_str().expect("ASCII");
            let query =
                link.strip_prefix("</messages?").and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
            query.unwrap_or_else(|| panic!("{link}")).to_owned()
        });
        Page { rows: serde_json::from_slice(response.body().as_ref()).expect("JSON"), next }
    }

    /// Returns all pages from the first on.
    async fn pages(&self, limit: usize) -> Vec<Vec<Value>> {
        let (mut pages, mut query) = (Vec::new(), format!("limit={limit}"));
        loop {
            let Page { rows, next } = self.page(&query).await;
            pages.push(rows);
            assert!(pages.len() < 100, "pages without an end");
            match next {
                Some(next) => query = next,
                None => return pages,
            }
        }
    }

    async fn stop(self) {
        self.supabase.stop().await.expect("stopped");
    }
}

fn contents(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["content"].as_str().expect("a text")).collect()
}

fn times_of(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["created_at"].as_str().expect("a time")).collect()
}

fn shown_twice<'a>(times: &[(&str, &'a str)]) -> Vec<&'a str> {
    times.iter().flat_map(|(_, shown)| [*shown; 2]).collect()
}

/// Returns a page in PostgreSQL's own JSON, as PostgREST forwards it, because the emulated REST API cannot read all
/// times.
async fn forwarded(
    State((pool, zone)): State<(PgPool, &'static str)>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> String {
    let last = headers["range"].to_str().expect("ASCII").strip_prefix("0-").expect("the first rows");
    let limit = last.parse::<i64>().expect("a number") + 1;
    let time = query.get("created_at").map(|filter| filter.strip_prefix("lte.").expect("lte"));
    let id =
        query.get("or").map(|filter| filter.rsplit_once("id.lt.").expect("an id").1.trim_end_matches(')'));
    let statement = "select coalesce(json_agg(page), '[]')::text from (select * from messages \
        where $1::text is null or created_at <= $1::timestamptz and (created_at < $1::timestamptz or id < $2::uuid) \
        order by created_at desc, id desc limit $3) page";
    let mut transaction = pool.begin().await.expect("a transaction");
    sqlx::query("select set_config('timezone', $1, true)")
        .bind(zone)
        .execute(&mut *transaction)
        .await
        .expect("set");
    let page =
        sqlx::query_scalar(statement).bind(time).bind(id).bind(limit).fetch_one(&mut *transaction).await;
    page.expect("the database reads what it has written")
}

#[tokio::test]
async fn every_postgresql_time_is_returned_and_paginated() {
    let mut project = Project::start(Options::default()).await;
    sqlx::query("delete from messages").execute(project.supabase.pool()).await.expect("deleted");
    project.insert_times(&TIMES).await;
    for zone in ["UTC", "Europe/Amsterdam"] {
        let router = Router::new().fallback(forwarded).with_state((project.supabase.pool().clone(), zone));
        let server = local_lambda::HttpServer::start(router, 0).await.expect("a server");
        project.messages = messages(&server.url(), project.supabase.publishable_key());
        for limit in [1, 2, 3, 5, 200] {
            let shown = project.pages(limit).await.concat();
            let ids: BTreeSet<_> = shown.iter().map(|row| row["id"].as_str().expect("an id")).collect();
            assert_eq!(
                (shown.len(), ids.len()),
                (18, 18),
                "{zone}, limit={limit}: no row is lost or duplicated"
            );
            if zone == "UTC" {
                assert_eq!(times_of(&shown), shown_twice(&TIMES), "limit={limit}");
            }
        }
        server.stop().await;
    }
    project.stop().await;
}

fn signed(claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}

// The rows are made after a public bug report.
#[tokio::test]
async fn rows_at_any_time_and_of_any_size_are_shown() {
    let project = Project::start(Options { seed: true, ..Options::default() }).await;
    sqlx::query("delete from messages").execute(project.supabase.pool()).await.expect("deleted");

    // The emulated REST API cannot read `infinity`.
    // The emulated REST API reads neither infinity nor BC in a filter; the test above has them.
    let is_read = |time: &str| !time.contains("infinity") && !time.ends_with("BC");
    let times: Vec<_> = TIMES.into_iter().filter(|(time, _)| is_read(time)).collect();
    project.insert_times(&times).await;
    for limit in [1, 3, 200] {
        let shown = project.pages(limit).await.concat();
        assert_eq!(times_of(&shown), shown_twice(&times), "limit={limit}: no row is lost or duplicated");
    }
    sqlx::query("delete from messages").execute(project.supabase.pool()).await.expect("deleted");

    // 25 exchanges of the longest messages that WhatsApp accepts.
    let long = format!(
        "select '{USER_B}', 'whatsapp', r, n || repeat('长', 65536), now() + (n || ' ms')::interval \
        from generate_series(1, 25) n, unnest(array['user', 'assistant']) r"
    );
    project.insert(&long).await;
    for limit in [50, 200] {
        let pages = project.pages(limit).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [27, 23], "limit={limit}");
        let newest_first: Vec<_> = (1..=25).rev().flat_map(|n| [n; 2]).collect();
        let all = pages.concat();
        let numbers =
            contents(&all).into_iter().map(|text| text.trim_end_matches('长').parse().expect("a number"));
        assert_eq!(numbers.collect::<Vec<usize>>(), newest_first);
    }

    // One row that is too large, of both sizes: read completely, and not.
    let large =
        |size: usize, at: &str| format!("select '{USER_B}', 'web', 'user', repeat('\"', {size}), {at}");
    project.insert(&large(3_000_000, "now() + interval '1 hour'")).await;
    project.insert(&large(9_000_000, "now() - interval '1 hour'")).await;
    let pages = project.pages(200).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [1, 27, 23, 1]);
    for page in [&pages[0], &pages[3]] {
        assert_eq!(contents(page), ["[message too large]"]);
    }
    project.stop().await;
}

#[tokio::test]
async fn a_cap_on_rows_is_not_the_end_of_the_history() {
    let project = Project::start(Options { seed: true, max_rows: 7, ..Options::default() }).await;
    sqlx::query("delete from messages").execute(project.supabase.pool()).await.expect("deleted");
    let rows = format!(
        "select '{USER_B}', 'web', 'user', n, now() - (n || ' s')::interval from generate_series(1, 21) n"
    );
    project.insert(&rows).await;
    for limit in [50, 6, 7, 1, 10] {
        let pages = project.pages(limit).await;
        let all = pages.concat();
        let expected: Vec<_> = (1..=21).map(|n| n.to_string()).collect();
        assert_eq!(contents(&all), expected, "limit={limit}");
        assert!(pages.iter().all(|page| !page.is_empty()), "an empty page");
    }
    project.stop().await;
}

#[tokio::test]
async fn a_token_without_a_user_is_rejected() {
    let project = Project::start(Options::default()).await;
    let exp = Utc::now().timestamp() + 600;
    let user = json!({"sub": USER_B, "role": "authenticated", "aud": "authenticated", "exp": exp});
    let with = |name: &str, value: Value| {
        let mut claims = user.clone();
        claims[name] = value;
        signed(&claims, JWT_SECRET)
    };
    let without = |name: &str| {
        let mut claims = user.clone();
        claims.as_object_mut().expect("claims").remove(name);
        signed(&claims, JWT_SECRET)
    };
    let good = signed(&user, JWT_SECRET);
    assert_eq!(project.get("", &good).await.status(), 200);
    let [_, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let tokens = [
        ("a sub that is no UUID", with("sub", json!("auth0|123"))),
        ("a sub that is a number", with("sub", json!(5))),
        ("a sub that is an object", with("sub", json!({}))),
        ("a claim that jsonb cannot hold", with("name", json!("\0"))),
        ("an unknown role", with("role", json!("nobody"))),
        ("a role that the API may not be", with("role", json!("postgres"))),
        ("a role that is a number", with("role", json!(5))),
        ("expired", with("exp", json!(1))),
        ("not yet", with("nbf", json!(exp))),
        ("another secret's", signed(&user, "another secret with at least 32 characters")),
        ("alg none", format!("eyJhbGciOiJub25lIn0.{claims}.")),
        ("alg none, signed", format!("eyJhbGciOiJub25lIn0.{claims}.{signature}")),
        ("no claims", signed(&json!([]), JWT_SECRET)),
        ("no JWT", "x.y.z".to_owned()),
    ];
    for (what, token) in tokens {
        let response = project.get("", &token).await;
        assert_eq!(response.status(), 401, "{what}: {:?}", response.body());
        assert_eq!(response.headers()["www-authenticate"], r#"Bearer error="invalid_token""#, "{what}");
    }
    // A role without rows, or without permission to read any.
    for (what, token, status) in [
        ("no sub", without("sub"), 200),
        ("a sub that is null", with("sub", Value::Null), 200),
        ("an empty sub", with("sub", json!("")), 401),
        ("no role", without("role"), 401),
    ] {
        let response = project.get("", &token).await;
        assert_eq!(response.status(), status, "{what}");
        assert!(status == 401 || response.body() == &Body::from("[]"), "{what}: {:?}", response.body());
    }
    project.stop().await;
}
