//! Meta's side of the webhook: payloads that are posted, retried and duplicated.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::sleep;

use crate::actors::{payloads, webhook};
use crate::model::posts::{Post, again};
use crate::model::world::{State, World};

const DAY: u64 = 24 * 3_600_000;
/// Meta's retry period.
const RETRY_PERIOD: u64 = 7 * DAY;

/// Posts the pending statuses in a separate payload.
pub fn post_statuses(world: &Arc<World>) {
    let post = {
        let state = &mut *world.lock();
        let again = again(&mut state.chance, &state.plan);
        let request = OnceLock::from(payloads::request(state, &[], &[]));
        Post { after: 0, wamids: Vec::new(), events: Vec::new(), again, request }
    };
    start(world, vec![post]);
}

/// Posts every payload at its time.
pub fn start(world: &Arc<World>, posts: Vec<Post>) {
    for post in posts {
        let post = Arc::new(post);
        for (copy, later) in std::iter::once(0).chain(post.again.iter().copied()).enumerate() {
            world.lock().busy += 1;
            let (world, post) = (world.clone(), post.clone());
            tokio::spawn(async move {
                sleep(Duration::from_millis(post.after + later)).await;
                deliver(&world, &post, copy).await;
                world.done();
            });
        }
    }
}

/// Posts a payload once, at its time.
pub fn post_later(world: &Arc<World>, state: &mut State, post: Post) {
    state.busy += 1;
    let world = world.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(post.after)).await;
        deliver(&world, &post, 0).await;
        world.done();
    });
}

/// Posts a payload until it gets a 200: at once, then with backoff, for 7 days.
async fn deliver(world: &Arc<World>, post: &Post, copy: usize) {
    let request =
        post.request.get_or_init(|| payloads::request(&mut world.lock(), &post.wamids, &post.events));
    let start = {
        let mut state = world.lock();
        if copy > 0 {
            state.inject("duplicate delivery");
            state.note("Meta", format_args!("posts {} once more", request.what));
        }
        state.now
    };
    let mut wait = 1_000;
    loop {
        let status = webhook::invoke(world, &request.what, &request.event).await;
        let pause = {
            let state = &mut *world.lock();
            state.note("Meta", format_args!("{} got {status:?}", request.what));
            if status == Some(200) {
                state.people.deliver(&post.wamids);
                state.events.accept(&post.events);
                let updates = request.statuses.iter().cloned().map(|update| (update, true));
                state.statuses.updates.extend(updates);
                return;
            }
            if state.now - start > RETRY_PERIOD {
                return;
            }
            state.inject("redelivery");
            state.chance.millis(wait / 2, wait)
        };
        wait = (wait * 5).min(DAY / 4);
        sleep(pause).await;
    }
}
