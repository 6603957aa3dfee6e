//! Packing entries into `SendMessageBatch` calls.
//!
//! Calls run in parallel, and SQS orders a message group by arrival: two messages of one sender must not be in
//! concurrent calls. Entries are therefore packed into lanes. The batches of a lane are sent sequentially, the lanes
//! in parallel, and all messages of a group are in one lane.
//!
//! A group that fills more than one batch has a lane of its own. Smaller groups share lanes of a single batch.
//! A message therefore waits only for messages of the same sender.

use std::collections::HashMap;

use crate::entry::Entry;

/// Maximum number of entries of one `SendMessageBatch` call. Source: Amazon SQS message quotas.
pub const MAX_ENTRIES: usize = 10;

/// Maximum size in bytes of one entry, and of all entries of one call together: 1 MiB. Source: as above.
///
/// Bodies and message attributes count (there are no attributes here); group and deduplication ids do not.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Entries of one call.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Batch {
    /// At least one, in order.
    pub entries: Vec<Entry>,
    bytes: usize,
}

/// Batches that must be sent sequentially.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Lane {
    /// At least one, in order.
    pub batches: Vec<Batch>,
}

/// Entries that stay together: all of one group, or a single one.
#[derive(Default)]
struct Bundle {
    entries: Vec<Entry>,
    bytes: usize,
}

impl Bundle {
    fn push(&mut self, entry: Entry) {
        self.bytes += entry.body.len();
        self.entries.push(entry);
    }

    fn fits_a_batch(&self) -> bool {
        Batch::default().fits(self)
    }
}

impl From<Entry> for Bundle {
    fn from(entry: Entry) -> Self {
        Self { bytes: entry.body.len(), entries: vec![entry] }
    }
}

impl Batch {
    fn fits(&self, bundle: &Bundle) -> bool {
        self.entries.len() + bundle.entries.len() <= MAX_ENTRIES && self.bytes + bundle.bytes <= MAX_BYTES
    }
}

/// Packs entries, in time linear in their number. Lanes of several batches come first, because they take longest.
#[must_use]
pub fn pack(entries: Vec<Entry>) -> Vec<Lane> {
    let (small, large): (Vec<_>, Vec<_>) = groups(entries).into_iter().partition(Bundle::fits_a_batch);
    let large =
        large.into_iter().map(|group| Lane { batches: fill(group.entries.into_iter().map(Bundle::from)) });
    let small = fill(small).into_iter().map(|batch| Lane { batches: vec![batch] });
    large.chain(small).collect()
}

/// The groups, in the order of their first entries.
fn groups(entries: Vec<Entry>) -> Vec<Bundle> {
    let mut groups: Vec<Bundle> = Vec::new();
    let mut positions: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let position = *positions.entry(entry.message_group_id.clone()).or_insert(groups.len());
        match groups.get_mut(position) {
            Some(group) => group.push(entry),
            None => groups.push(Bundle::from(entry)),
        }
    }
    groups
}

/// Fills batches with bundles that each fit one batch: a bundle that does not fit into the last batch begins the next.
fn fill(bundles: impl IntoIterator<Item = Bundle>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for bundle in bundles {
        match batches.last_mut() {
            Some(batch) if batch.fits(&bundle) => {
                batch.bytes += bundle.bytes;
                batch.entries.extend(bundle.entries);
            }
            _ => batches.push(Batch { entries: bundle.entries, bytes: bundle.bytes }),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::entry::{MAX_BODY, Subject};

    fn entry(group: u8, number: usize, bytes: usize) -> Entry {
        Entry {
            subject: Subject {
                update: shared::lambda::names::UpdateKind::Message,
                wamid: Some(number.to_string()),
                name: None,
                original_bytes: None,
            },
            message_group_id: group.to_string(),
            deduplication_id: number.to_string(),
            body: "x".repeat(bytes),
        }
    }

    #[test]
    fn a_thousand_senders_fill_a_hundred_calls_in_parallel() {
        let entries: Vec<_> =
            (0..1000).map(|n| Entry { message_group_id: n.to_string(), ..entry(0, n, 300) }).collect();
        let lanes = pack(entries);
        assert_eq!(lanes.len(), 100);
        assert!(lanes.iter().all(|lane| lane.batches.len() == 1 && lane.batches[0].entries.len() == 10));
    }

    #[test]
    fn messages_of_one_sender_are_sent_in_sequential_calls() {
        let lanes = pack((0..1000).map(|n| entry(1, n, 300)).collect());
        assert_eq!(lanes.len(), 1);
        assert_eq!(lanes[0].batches.len(), 100);
    }

    #[test]
    fn bursts_of_several_senders_do_not_wait_for_one_another() {
        let interleaved = |n: usize| entry(u8::try_from(n % 10).expect("a digit"), n, 300);
        let lanes = pack((0..1000).map(interleaved).collect());
        assert_eq!(lanes.iter().map(|lane| lane.batches.len()).collect::<Vec<_>>(), [10; 10]);
    }

    #[test]
    fn a_burst_of_one_sender_delays_no_other_sender() {
        let entries = (0..60)
            .map(|n| if n % 2 == 0 { entry(0, n, 300) } else { entry(u8::try_from(n).expect("60"), n, 300) });
        let lanes = pack(entries.collect());
        assert_eq!(lanes.iter().map(|lane| lane.batches.len()).collect::<Vec<_>>(), [3, 1, 1, 1]);
    }

    #[test]
    fn the_largest_entries_are_a_batch_each() {
        const { assert!(MAX_BODY <= MAX_BYTES) };
        let entries = vec![entry(1, 0, MAX_BODY), entry(1, 1, MAX_BODY), entry(1, 2, 1)];
        let batches: Vec<_> = pack(entries.clone())
            .into_iter()
            .flat_map(|lane| lane.batches)
            .map(|batch| batch.entries)
            .collect();
        assert_eq!(batches, [vec![entries[0].clone()], entries[1..].to_vec()]);
    }

    proptest::proptest! {
        #[test]
        fn packing_keeps_every_entry_the_limits_and_the_group_order(
            senders in 1u8..40, largest in 1usize..400_000,
            shape in proptest::collection::vec((0u8..40, 0usize..400_000, proptest::bool::weighted(0.05)), 0..120),
        ) {
            let shape = shape.into_iter().enumerate();
            let entries: Vec<_> = shape.map(|(n, (group, bytes, at_the_limit))| {
                entry(group % senders, n, if at_the_limit { MAX_BODY } else { bytes % largest })
            }).collect();
            let lanes = pack(entries.clone());
            let mut packed = Vec::new();
            for (number, lane) in lanes.iter().enumerate() {
                let groups: HashSet<_> =
                    lane.batches.iter().flat_map(|batch| &batch.entries).map(|entry| &entry.message_group_id).collect();
                proptest::prop_assert!(lane.batches.len() == 1 || (lane.batches.len() > 1 && groups.len() == 1));
                for batch in &lane.batches {
                    proptest::prop_assert!((1..=MAX_ENTRIES).contains(&batch.entries.len()));
                    proptest::prop_assert!(batch.entries.iter().map(|entry| entry.body.len()).sum::<usize>() <= MAX_BYTES);
                    packed.extend(batch.entries.iter().map(|entry| (number, entry.clone())));
                }
            }
            proptest::prop_assert_eq!(packed.len(), entries.len());
            for group in 0..senders {
                let of_group = |entry: &Entry| entry.message_group_id == group.to_string();
                let before: Vec<_> = entries.iter().filter(|entry| of_group(entry)).collect();
                let after: Vec<_> = packed.iter().filter(|(_, entry)| of_group(entry)).collect();
                proptest::prop_assert_eq!(before, after.iter().map(|(_, entry)| entry).collect::<Vec<_>>());
                proptest::prop_assert!(after.windows(2).all(|pair| pair[0].0 == pair[1].0));
            }
        }
    }
}
