//! The two users that a run needs in an external project, and restoring the project afterwards.
//!
//! Users A and B of the seed are used if they exist; otherwise they are created for the duration of the run. A killed
//! run leaves its users behind, marked with `CREATED_BY`; the next run removes them with their messages.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, Utc};
use local_supabase::{PHONE_A, PHONE_B, USER_A, USER_B};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

use super::CREATED_BY;
use super::linking::Linking;
use super::writes::{TABLES, Writes};

/// The advisory lock of PostgreSQL that a run holds, because another run would remove its users.
const LOCK: i64 = 0x6c6f_6361_6c73_7570;

/// A user's link, in all columns that `reply` changes.
type LinkColumns = (
    Uuid,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<DateTime<Utc>>,
    Option<String>,
    Option<DateTime<Utc>>,
);

/// The changes to undo. Dropping the value undoes them; [`Cleanup::run`] does the same and returns errors.
pub(super) struct Cleanup {
    database: PgConnectOptions,
    writes: Arc<Writes>,
    todo: Option<Todo>,
}

struct Todo {
    /// Holds the lock.
    connection: PgConnection,
    /// Links that existed before.
    links: Vec<LinkColumns>,
    /// Users that existed without a link.
    unlinked: Vec<Uuid>,
    linking: Linking,
    sessions: Vec<Uuid>,
}

impl Cleanup {
    /// Takes the lock, removes the rows of a killed run, and creates the missing users.
    ///
    /// # Errors
    /// When another run holds the lock, a number is linked to another user, or the database refuses.
    pub(super) async fn begin(database: &PgConnectOptions, writes: Arc<Writes>) -> anyhow::Result<Self> {
        let mut connection = database.connect().await?;
        let is_alone: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut connection)
            .await?;
        ensure!(is_alone, "another `local` is using it: two would remove each other's users");
        let mut transaction = connection.begin().await?;
        remove_created(&mut transaction).await?;
        let linking = Linking::read(&mut transaction).await?;
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
            let is_new = create(&mut transaction, user, email).await.context("a user cannot be created")?;
            let link: Option<LinkColumns> = sqlx::query_as(
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
                // A trigger of the project may have created the row.
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
        let todo = Some(Todo { connection, links, unlinked, linking, sessions: Vec::new() });
        Ok(Self { database: database.clone(), writes, todo })
    }

    /// Adds a session to end.
    pub(super) fn add_session(&mut self, session: Option<Uuid>) {
        if let Some(todo) = &mut self.todo {
            todo.sessions.extend(session);
        }
    }

    /// Undoes the changes.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        if let Some(todo) = &self.todo {
            undo(&self.database, &self.writes, todo).await?;
        }
        // Not before: a cancelled run starts again in `drop`.
        if let Some(todo) = self.todo.take() {
            todo.connection.close().await?;
        }
        Ok(())
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let Some(todo) = self.todo.take() else { return };
        // `drop` cannot await, and the current runtime may be shutting down: use another thread and another runtime.
        let (database, writes) = (self.database.clone(), Arc::clone(&self.writes));
        let done = std::thread::scope(|scope| {
            let cleaner = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(undo(&database, &writes, &todo))
            });
            cleaner.join()
        });
        if let Ok(Err(error)) = done {
            tracing::warn!("rows are left in the project of --supabase: {error:#}");
        }
    }
}

/// Creates a user that cannot sign in with any password. Returns whether the user is new.
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
    // The trigger does not change rows of this writer.
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
        // In a separate statement: together with another number the trigger would set the column.
        sqlx::query("update public.user_preferences set whatsapp_number_at = $2 where user_id = $1")
            .bind(user)
            .bind(number_at)
            .execute(&mut *transaction)
            .await?;
    }
    todo.linking.restore(&mut transaction).await?;
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

/// Removes the users that a run has created, with all their rows.
async fn remove_created(connection: &mut PgConnection) -> anyhow::Result<()> {
    let users = "select id from auth.users where raw_app_meta_data ->> 'created_by' = $1";
    let users: Vec<Uuid> = sqlx::query_scalar(users).bind(CREATED_BY).fetch_all(&mut *connection).await?;
    // An older table `messages` may have no foreign key to its users.
    sqlx::query("delete from public.messages where user_id = any($1)")
        .bind(&users)
        .execute(&mut *connection)
        .await?;
    unlink(connection, &users).await?;
    sqlx::query("delete from auth.users where id = any($1)").bind(&users).execute(connection).await?;
    Ok(())
}

/// Removes the users' links, after clearing their identities: on deletion of a link, a trigger deletes the rows with
/// its identity, which may belong to another user.
async fn unlink(connection: &mut PgConnection, users: &[Uuid]) -> sqlx::Result<()> {
    for statement in [
        "update public.user_preferences set whatsapp_phone = '', whatsapp_user_id = null where user_id = any($1)",
        "delete from public.user_preferences where user_id = any($1)",
    ] {
        sqlx::query(statement).bind(users).execute(&mut *connection).await?;
    }
    Ok(())
}
