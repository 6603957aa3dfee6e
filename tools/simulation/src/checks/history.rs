//! Every owner reads their history page by page, through the production `messages`.

use std::collections::BTreeSet;
use std::sync::Arc;

use messages::Messages;
use serde_json::json;
use shared::supabase::rows::MessageResponse;
use uuid::Uuid;

use crate::actors::pages::Table;
use crate::model::world::World;

/// Reads all histories and returns the errors.
pub async fn read_all(world: &Arc<World>) -> Vec<String> {
    let owners: BTreeSet<Uuid> = world.lock().people.accounts();
    let mut errors = Vec::new();
    for owner in owners {
        let limit = world.lock().chance.between(1, 7);
        match read(world, owner, limit).await {
            Ok(shown) => {
                let state = world.lock();
                let mut rows: Vec<_> = (state.rows.iter())
                    .filter(|(_, row)| row.row.user_id == owner)
                    .map(|(id, row)| (Some(row.row.created_at), *id, row.status.as_deref()))
                    .collect();
                rows.sort_by_key(|row| std::cmp::Reverse(*row));
                let shown = shown
                    .iter()
                    .map(|row| (row.created_at.as_str().parse().ok(), row.id, row.status.as_deref()));
                let shown: Vec<_> = shown.collect();
                if shown != rows {
                    let (shown, rows) = (shown.len(), rows.len());
                    errors.push(format!("{owner} gets {shown} rows of {rows}, or in another order"));
                }
            }
            Err(error) => errors.push(format!("{owner}: {error}")),
        }
    }
    errors
}

/// Follows the pagination links.
async fn read(world: &Arc<World>, owner: Uuid, limit: u64) -> Result<Vec<MessageResponse>, String> {
    let messages = Messages::new(Table { world: world.clone() });
    let mut shown = Vec::new();
    let mut query = format!("limit={limit}");
    // More pages than rows: the loop must end even with a wrong link.
    let most = world.lock().rows.len() + 2;
    for _ in 0..most {
        let headers = json!({"authorization": format!("Bearer {owner}")});
        let event = shared_testing::event::http("$default", "GET", "/messages", &query, &headers).to_string();
        let request = shared::lambda::api::request(&event).map_err(|error| error.to_string())?;
        let response = messages.handle(request).await;
        if response.status() != 200 {
            return Err(format!("status {}", response.status()));
        }
        let page: Vec<MessageResponse> =
            serde_json::from_slice(response.body().as_ref()).map_err(|error| error.to_string())?;
        shown.extend(page);
        let Some(link) = response.headers().get("link") else { return Ok(shown) };
        let link = link.to_str().map_err(|error| error.to_string())?;
        let next = link.strip_prefix("</messages?").and_then(|link| link.strip_suffix(">; rel=\"next\""));
        query = next.ok_or_else(|| format!("an invalid link: {link}"))?.to_owned();
    }
    Err("the pagination does not end".to_owned())
}
