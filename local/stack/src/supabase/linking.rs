//! The rows that linking adds to an external project, beside the links themselves.

use chrono::{DateTime, Utc};
use local_supabase::{USER_A, USER_B};
use sqlx::PgConnection;

/// The state before a run.
pub(super) struct Linking {
    began: DateTime<Utc>,
    /// The ids and numbers of `whatsapp.business_numbers`.
    ids: Vec<String>,
    numbers: Vec<String>,
}

impl Linking {
    pub(super) async fn read(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let began = sqlx::query_scalar("select clock_timestamp()").fetch_one(&mut *connection).await?;
        let known: Vec<(String, String)> =
            sqlx::query_as("select phone_number_id, number from whatsapp.business_numbers")
                .fetch_all(connection)
                .await?;
        let (ids, numbers) = known.into_iter().unzip();
        Ok(Self { began, ids, numbers })
    }

    /// Deletes the codes of users A and B and the pseudonyms of senders that were added since, and restores the business
    /// numbers. A pseudonym does not tell whose it is: one that another program has added meanwhile is deleted as well, and its sender
    /// may get the registration text once more.
    pub(super) async fn restore(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query("delete from whatsapp.link_codes where user_id in ($1, $2) and created_at >= $3")
            .bind(USER_A)
            .bind(USER_B)
            .bind(self.began)
            .execute(&mut *connection)
            .await?;
        sqlx::query("delete from whatsapp.sender_messages where at >= $1")
            .bind(self.began)
            .execute(&mut *connection)
            .await?;
        sqlx::query("delete from whatsapp.business_numbers where phone_number_id <> all($1)")
            .bind(&self.ids)
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "update whatsapp.business_numbers as changed set number = known.number
               from unnest($1::text[], $2::text[]) as known (id, number)
               where phone_number_id = known.id and changed.number <> known.number",
        )
        .bind(&self.ids)
        .bind(&self.numbers)
        .execute(connection)
        .await?;
        Ok(())
    }
}
