//! The two users that a run needs in somebody else's project, and leaving everything there as it was.
//!
//! Users A and B of the seed are used where they are; otherwise they are made, for as long as the run lasts. A run that
//! was killed leaves the users that it has made, by which the next one knows them and removes them with their messages.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use local_supabase::{PHONE_A, PHONE_B, USER_A, USER_B};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

use super::CREATED_BY;
use super::writes::{TABLES, Writes};

/// PostgreSQL's advisory lock that a run holds: another one would remove its users.
const LOCK: i64 = 0x6c6f_6361_6c73_7570;

/// A user's link, in all columns that `reply` changes.
type Link = (
    Uuid,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<DateTime<Utc>>,
    Option<String>,
    Option<DateTime<Utc>>,
);

/// What is to be undone. Dropping it undoes it, [`Cleanup::run`] does so and says what went wrong.
pub(super) struct Cleanup {
    database: PgConnectOptions,
    writes: Arc<Writes>,
    todo: Option<Todo>,
}

struct Todo {
    /// Holds the lock.
    connection: PgConnection,
    /// Links that were there.
    links: Vec<Link>,
    /// Users that were there without one.
    unlinked: Vec<Uuid>,
    sessions: Vec<Uuid>,
}

impl Cleanup {
    /// Takes the lock, removes what a killed run has left, and makes the users that are missing.
    ///
    /// # Errors
    /// When another run holds the lock, somebody else has a user's number, or the database refuses.
    pub(super) async fn begin(database: &PgConnectOptions, writes: Arc<Writes>) -> anyhow::Result<Self> {
        let mut connection = database.connect().await?;
        let is_alone: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut connection)
            .await?;
        ensure!(is_alone, "another `local` is using it: two would remove each other's users");
        let mut transaction = connection.begin().await?;
        remove_created(&mut transaction).await?;
        let (mut links, mut unlinked) = (Vec::new(), Vec::new());
        for (user, email, number) in [(USER_A, "a@example.com", PHONE_A), (USER_B, "b@example.com", PHONE_B)]
        {
            let owner: Option<Uuid> = sqlx::query_scalar(
                "select user_id from public.user_preferences
                   where regexp_replace(whatsapp_phone, '[^0-9]', '', 'g') = $1 and user_id <> $2",
            )
            .bind(number.trim_start_matches('+'))
            .bind(user)
            .fetch_optional(&mut *transaction)
            .await?;
            if let Some(owner) = owner {
                bail!("{number}, which the samples are from, is linked to its user {owner}: unlink it");
            }
            let is_new = create(&mut transaction, user, email).await.context("a user cannot be made")?;
            let link: Option<Link> = sqlx::query_as(
                "select user_id, whatsapp_phone, whatsapp_user_id, whatsapp_waba_id, whatsapp_identity_at,
                   whatsapp_link_state, whatsapp_number_at from public.user_preferences where user_id = $1",
            )
            .bind(user)
            .fetch_optional(&mut *transaction)
            .await?;
            match link {
                Some(link) if !is_new => {
                    let digits = |number: &str| number.trim_start_matches('+').to_owned();
                    let is_linked = link.1.as_deref().map(digits) == Some(digits(number));
                    ensure!(
                        is_linked,
                        "its user {user} is the seed's and not linked to {number}: link it, or delete the user"
                    );
                    links.push(link);
                    continue;
                }
                // A trigger of the project's own may have made the row.
                Some(_) => {}
                None if is_new => {}
                None => unlinked.push(user),
            }
            sqlx::query(
                "insert into public.user_preferences (user_id, whatsapp_phone) values ($1, $2)
                   on conflict (user_id) do update set whatsapp_phone = excluded.whatsapp_phone",
            )
            .bind(user)
            .bind(number)
            .execute(&mut *transaction)
            .await
            .context("a number cannot be linked")?;
        }
        transaction.commit().await?;
        let todo = Some(Todo { connection, links, unlinked, sessions: Vec::new() });
        Ok(Self { database: database.clone(), writes, todo })
    }

    /// Another session that is to be ended.
    pub(super) fn add_session(&mut self, session: Option<Uuid>) {
        if let Some(todo) = &mut self.todo {
            todo.sessions.extend(session);
        }
    }

    /// Undoes it.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        if let Some(todo) = &self.todo {
            undo(&self.database, &self.writes, todo).await?;
        }
        // Not before: who is interrupted meanwhile begins anew, by dropping it.
        if let Some(todo) = self.todo.take() {
            todo.connection.close().await?;
        }
        Ok(())
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let Some(todo) = self.todo.take() else { return };
        // Drop cannot await, and the runtime we are on may be ending: another thread, another runtime.
        let (database, writes) = (self.database.clone(), Arc::clone(&self.writes));
        let done = std::thread::scope(|scope| {
            let cleaner = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(undo(&database, &writes, &todo))
            });
            cleaner.join()
        });
        if let Ok(Err(error)) = done {
            tracing::warn!("rows stay behind in the project of --supabase: {error:#}");
        }
    }
}

/// Makes a user who can sign in with no password, unless there is one with this id.
async fn create(connection: &mut PgConnection, user: Uuid, email: &str) -> sqlx::Result<bool> {
    let metadata = json!({"provider": "email", "providers": ["email"], "created_by": CREATED_BY});
    let made = sqlx::query(
        // Supabase Auth reads the tokens as text and fails on null.
        "insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
           confirmation_token, recovery_token, email_change_token_new, email_change,
           raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
         values ('00000000-0000-0000-0000-000000000000', $1, 'authenticated', 'authenticated', $2, '', now(),
           '', '', '', '', $3::jsonb, '{}', now(), now())
         on conflict (id) do nothing",
    )
    .bind(user)
    .bind(email)
    .bind(metadata.to_string())
    .execute(&mut *connection)
    .await?;
    if made.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "insert into auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
         values ($1::text, $1, jsonb_build_object('sub', $1::text, 'email', $2, 'email_verified', true), 'email',
           now(), now())",
    )
    .bind(user)
    .bind(email)
    .execute(connection)
    .await?;
    Ok(true)
}

async fn undo(database: &PgConnectOptions, writes: &Writes, todo: &Todo) -> anyhow::Result<()> {
    let made = writes.close().await;
    let mut connection = database.connect().await?;
    let mut transaction = connection.begin().await?;
    for table in TABLES {
        let ids: Vec<Uuid> = made.get(table).into_iter().flatten().copied().collect();
        let delete = AssertSqlSafe(format!("delete from public.{table} where id = any($1)"));
        sqlx::query(delete).bind(ids).execute(&mut *transaction).await?;
    }
    remove_created(&mut transaction).await?;
    unlink(&mut transaction, &todo.unlinked).await?;
    // The trigger takes it as it is.
    sqlx::query("select set_config('whatsapp.writer', 'keep_identity_event', true)")
        .execute(&mut *transaction)
        .await?;
    for (user, number, user_id, waba_id, identity_at, state, number_at) in &todo.links {
        sqlx::query(
            "update public.user_preferences set whatsapp_phone = $2, whatsapp_user_id = $3, whatsapp_waba_id = $4,
               whatsapp_identity_at = $5, whatsapp_link_state = $6 where user_id = $1",
        )
        .bind(user)
        .bind(number)
        .bind(user_id)
        .bind(waba_id)
        .bind(identity_at)
        .bind(state)
        .execute(&mut *transaction)
        .await?;
        // By itself: with another number the trigger would set it.
        sqlx::query("update public.user_preferences set whatsapp_number_at = $2 where user_id = $1")
            .bind(user)
            .bind(number_at)
            .execute(&mut *transaction)
            .await?;
    }
    let has_sessions: bool = sqlx::query_scalar("select to_regclass('auth.sessions') is not null")
        .fetch_one(&mut *transaction)
        .await?;
    if has_sessions {
        let sessions = sqlx::query("delete from auth.sessions where id = any($1)").bind(&todo.sessions);
        sessions.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}

/// Removes the users that a run has made, with all that is theirs.
async fn remove_created(connection: &mut PgConnection) -> anyhow::Result<()> {
    let users = "select id from auth.users where raw_app_meta_data ->> 'created_by' = $1";
    let users: Vec<Uuid> = sqlx::query_scalar(users).bind(CREATED_BY).fetch_all(&mut *connection).await?;
    // An older table of messages may not refer to its users.
    sqlx::query("delete from public.messages where user_id = any($1)")
        .bind(&users)
        .execute(&mut *connection)
        .await?;
    unlink(connection, &users).await?;
    sqlx::query("delete from auth.users where id = any($1)").bind(&users).execute(connection).await?;
    Ok(())
}

/// Removes the users' links, of whom nothing is known then: a trigger would delete what names a person whose link is
/// deleted, and that may be somebody's.
async fn unlink(connection: &mut PgConnection, users: &[Uuid]) -> sqlx::Result<()> {
    for statement in [
        "update public.user_preferences set whatsapp_phone = '', whatsapp_user_id = null where user_id = any($1)",
        "delete from public.user_preferences where user_id = any($1)",
    ] {
        sqlx::query(statement).bind(users).execute(&mut *connection).await?;
    }
    Ok(())
}
