//! Responses while the database is down, and cleanup at the end.

use std::path::Path;
use std::time::{Duration, Instant};

use local_process::Guardian;
use local_supabase::{Options, Supabase};
use reqwest::StatusCode;
use sqlx::{Connection as _, PgConnection};

use crate::common::{Project, answer};

#[tokio::test]
async fn outage_returns_5xx_and_recovers() {
    let project = Project::start_with(Options { server: None, ..Options::default() }).await;
    let read = || project.get("messages").header("apikey", project.supabase.secret_key());
    assert_eq!(answer(read()).await.0, 200);

    project.supabase.database().stop().await.expect("it stops");
    for _ in 0..3 {
        let response = read().timeout(Duration::from_secs(20)).send().await.expect("an answer in time");
        assert!(response.status().is_server_error(), "{}", response.status());
    }

    project.supabase.database().start().await.expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while read().send().await.expect("an answer").status() != StatusCode::OK {
        assert!(Instant::now() < deadline, "still failing");
    }
    project.stop().await;
}

#[tokio::test]
async fn dropping_a_project_ends_its_server_and_deletes_its_data() {
    let project = Project::start_with(Options { server: None, ..Options::default() }).await;
    let data: String =
        sqlx::query_scalar("show data_directory").fetch_one(project.supabase.pool()).await.expect("a path");
    let url = project.supabase.database_url();
    assert!(Path::new(&data).exists());
    drop(project);
    assert!(!Path::new(&data).exists());
    PgConnection::connect(&url).await.expect_err("no listener");
}

#[tokio::test]
async fn used_port_is_an_error_with_its_number() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let guardian = Guardian::start().expect("a shell");
    let error = Supabase::start(Options { port, ..Options::default() }, &guardian).await.expect_err("taken");
    assert!(format!("{error:#}").contains(&format!("port {port} of 127.0.0.1")), "{error:#}");
}

#[tokio::test]
async fn database_is_created_and_removed_on_a_shared_server() {
    // A private cluster acts as the server.
    let host = Project::start_with(Options { server: None, ..Options::default() }).await;
    let server = host.supabase.database_url();
    let databases = || async {
        let count: i64 = sqlx::query_scalar(
            "select (select count(*) from pg_database where datname like 'local\\_%')
                  + (select count(*) from pg_roles where rolname like 'local\\_%')",
        )
        .fetch_one(host.supabase.pool())
        .await
        .expect("a number");
        count
    };
    assert_eq!(databases().await, 2, "the host's own database and login");

    let guardian = Guardian::start().expect("a shell");
    let options = Options { server: Some(server.into()), ..Options::default() };
    let (first, second) =
        tokio::join!(Supabase::start(options.clone(), &guardian), Supabase::start(options, &guardian));
    let (first, second) = (first.expect("it starts"), second.expect("it starts"));
    assert_eq!(databases().await, 6);
    first.database().stop().await.expect_err("a shared server");
    first.stop().await.expect("it stops");
    assert_eq!(databases().await, 4);
    drop(second);
    assert_eq!(databases().await, 2);
    host.stop().await;
}
