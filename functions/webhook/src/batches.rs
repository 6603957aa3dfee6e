//! Packing entries into `SendMessageBatch` calls.
//!
//! Calls run in parallel, and SQS orders a group by arrival: two messages of one sender must not be in
//! two calls that race. Entries are therefore packed into lanes. The batches of a lane are sent one after
//! the other, lanes in parallel, and all messages of a group are in one lane.

use std::collections::HashMap;

use crate::entry::Entry;

/// Entries of one `SendMessageBatch` call at most. Source: Amazon SQS message quotas.
pub const MAX_ENTRIES: usize = 10;

/// Bytes of one entry and of all entries of one call together at most: 1 MiB. Source: as above.
///
/// Bodies and message attributes count, of which there are none here; group and deduplication ids do not.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A request's entries, packed.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Packed {
    /// What can be sent.
    pub lanes: Vec<Lane>,
    /// Entries of more than [`MAX_BYTES`], in order: no queue of SQS will ever take them.
    pub oversized: Vec<Entry>,
}

/// Entries of one call.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Batch {
    /// At least one, in order.
    pub entries: Vec<Entry>,
    bytes: usize,
}

/// Batches that must be sent one after the other.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Lane {
    /// At least one, in order.
    pub batches: Vec<Batch>,
}

impl Batch {
    fn has_room_for(&self, entry: &Entry) -> bool {
        self.entries.len() < MAX_ENTRIES && self.bytes + entry.body.len() <= MAX_BYTES
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.body.len();
        self.entries.push(entry);
    }
}

impl Lane {
    fn open_batch(&self) -> Option<&Batch> {
        self.batches.last()
    }

    fn push(&mut self, entry: Entry) {
        match self.batches.last_mut() {
            Some(batch) if batch.has_room_for(&entry) => batch.push(entry),
            _ => {
                let mut batch = Batch::default();
                batch.push(entry);
                self.batches.push(batch);
            }
        }
    }
}

/// Packs entries in one pass, in time linear in their number.
#[must_use]
pub fn pack(entries: Vec<Entry>) -> Packed {
    let (entries, oversized) =
        entries.into_iter().partition::<Vec<_>, _>(|entry| entry.body.len() <= MAX_BYTES);
    let mut lanes: Vec<Lane> = Vec::new();
    let mut lane_of_group: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let lane = match lane_of_group.get(&entry.message_group_id) {
            Some(&lane) => lane,
            None => {
                let last = lanes.len().checked_sub(1);
                let fits =
                    |lane: &usize| lanes[*lane].open_batch().is_some_and(|batch| batch.has_room_for(&entry));
                let lane = last.filter(fits).unwrap_or_else(|| {
                    lanes.push(Lane::default());
                    lanes.len() - 1
                });
                lane_of_group.insert(entry.message_group_id.clone(), lane);
                lane
            }
        };
        lanes[lane].push(entry);
    }
    Packed { lanes, oversized }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(group: u8, number: usize, bytes: usize) -> Entry {
        Entry {
            wamid: Some(number.to_string()),
            message_group_id: group.to_string(),
            deduplication_id: number.to_string(),
            body: "x".repeat(bytes),
        }
    }

    #[test]
    fn a_thousand_senders_fill_a_hundred_calls_in_parallel() {
        let entries: Vec<_> =
            (0..1000).map(|n| Entry { message_group_id: n.to_string(), ..entry(0, n, 300) }).collect();
        let lanes = pack(entries).lanes;
        assert_eq!(lanes.len(), 100);
        assert!(lanes.iter().all(|lane| lane.batches.len() == 1 && lane.batches[0].entries.len() == 10));
    }

    #[test]
    fn a_thousand_messages_of_one_sender_are_sent_one_call_after_the_other() {
        let lanes = pack((0..1000).map(|n| entry(1, n, 300)).collect()).lanes;
        assert_eq!(lanes.len(), 1);
        assert_eq!(lanes[0].batches.len(), 100);
    }

    #[test]
    fn an_entry_of_the_limit_is_a_batch_and_one_above_it_is_none() {
        let entries = vec![entry(1, 0, MAX_BYTES), entry(1, 1, MAX_BYTES + 1), entry(1, 2, 1)];
        let Packed { lanes, oversized } = pack(entries.clone());
        assert_eq!(oversized, entries[1..2]);
        let batches: Vec<_> =
            lanes.into_iter().flat_map(|lane| lane.batches).map(|batch| batch.entries).collect();
        assert_eq!(batches, [vec![entries[0].clone()], vec![entries[2].clone()]]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost_limits_hold_and_no_group_is_reordered(
            shape in proptest::collection::vec((0u8..12, 1usize..400_000, proptest::bool::weighted(0.05)), 0..120)
        ) {
            let shape = shape.into_iter().enumerate();
            let entries: Vec<_> = shape.map(|(n, (group, bytes, above))| {
                entry(group, n, if above { MAX_BYTES + bytes } else { bytes })
            }).collect();
            let Packed { lanes, oversized } = pack(entries.clone());
            let (entries, above): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.body.len() <= MAX_BYTES);
            proptest::prop_assert_eq!(oversized, above);
            let mut packed = Vec::new();
            for (number, lane) in lanes.iter().enumerate() {
                for batch in &lane.batches {
                    proptest::prop_assert!((1..=MAX_ENTRIES).contains(&batch.entries.len()));
                    proptest::prop_assert!(batch.entries.iter().map(|entry| entry.body.len()).sum::<usize>() <= MAX_BYTES);
                    packed.extend(batch.entries.iter().map(|entry| (number, entry.clone())));
                }
            }
            for group in 0u8..12 {
                let of_group = |entry: &Entry| entry.message_group_id == group.to_string();
                let before: Vec<_> = entries.iter().filter(|entry| of_group(entry)).collect();
                let after: Vec<_> = packed.iter().filter(|(_, entry)| of_group(entry)).collect();
                proptest::prop_assert_eq!(before, after.iter().map(|(_, entry)| entry).collect::<Vec<_>>());
                proptest::prop_assert!(after.windows(2).all(|pair| pair[0].0 == pair[1].0));
            }
        }
    }
}
