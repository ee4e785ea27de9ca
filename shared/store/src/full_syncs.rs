//! Records of full syncs that do not fit into one invocation: what has been read, so that the next invocation goes on, and knows
//! in the end what the provider has not sent.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use calweave_domain::ids::{CalendarId, UserId};
use calweave_domain::sync_state::{FullSync, SyncState};
use chrono::TimeDelta;

use super::events::BATCH;
use super::expression::UpdateExpression;
use super::leases::Lease;
use super::{Item, Result, Store, StoreError, WriteOutcome, keys, n, value};

/// How long a record is kept.
const LIFETIME: TimeDelta = TimeDelta::days(7);
/// How many hashes an item holds, of eight bytes each.
const HASHES: usize = 30_000;
/// How many texts an item holds: ids of up to two hundred bytes.
const TEXTS: usize = 1_000;

/// What one step of a full sync has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FullSyncRecord {
    /// Hashes of what the provider has sent.
    pub seen: Vec<u64>,
    /// The remote ids of the series that the page names and that have not been read.
    pub series: Vec<String>,
    /// The occurrences whose series has not been seen so far, as event ids.
    pub orphans: Vec<String>,
}

impl Store {
    /// Stores the record of a step. Repeating it replaces the record.
    pub async fn put_full_sync_record(
        &self,
        user: UserId,
        calendar: CalendarId,
        progress: &FullSync,
        record: &FullSyncRecord,
    ) -> Result<()> {
        let operation = "store the record of a full sync";
        let until = self.clock.now() + LIFETIME;
        let mut parts: Vec<(&str, AttributeValue)> = Vec::new();
        for hashes in record.seen.chunks(HASHES) {
            let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_be_bytes()).collect();
            parts.push(("seen", AttributeValue::B(Blob::new(bytes))));
        }
        for (name, texts) in [("series", &record.series), ("orphans", &record.orphans)] {
            for texts in texts.chunks(TEXTS) {
                parts.push((name, value(operation, &texts)?));
            }
        }
        let (generation, number) = (progress.generation, progress.records);
        let request = |(index, (name, part)): (usize, (&str, AttributeValue))| {
            let key = keys::full_sync_record(user, calendar, generation, number, index);
            let mut item: Item = key.attributes();
            item.insert(name.to_owned(), part);
            item.insert(keys::TTL.to_owned(), n(until.timestamp()));
            let put = PutRequest::builder().set_item(Some(item)).build();
            let put = put.map_err(|error| StoreError::new(operation, error))?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        let requests: Vec<WriteRequest> = parts
            .into_iter()
            .enumerate()
            .map(request)
            .collect::<Result<_>>()?;
        for requests in requests.chunks(BATCH) {
            self.batch(operation, &self.calendar, requests.to_vec())
                .await?;
        }
        Ok(())
    }

    /// Returns what all steps of a full sync have read: everything that was sent, and the series and orphans of the last page.
    pub async fn full_sync_records(
        &self,
        user: UserId,
        calendar: CalendarId,
        progress: &FullSync,
    ) -> Result<FullSyncRecord> {
        let operation = "read the records of a full sync";
        let prefix = keys::full_sync_prefix(progress.generation);
        let query = self
            .query(
                &self.calendar,
                keys::full_sync_partition(user, calendar),
                &prefix,
            )
            .consistent_read(true);
        let mut all = FullSyncRecord::default();
        let (mut last_series, mut last_orphans) = (String::new(), String::new());
        for mut item in self.all(operation, query).await? {
            let sort = item.remove(keys::SK);
            let sort = sort.and_then(|sort| sort.as_s().ok().cloned());
            let Some((record, _)) = sort.as_deref().and_then(|sort| sort.rsplit_once('#')) else {
                continue;
            };
            // The record of a step whose checkpoint was not stored: the step is repeated.
            if record
                >= keys::full_sync_record_prefix(progress.generation, progress.records).as_str()
            {
                continue;
            }
            if let Some(AttributeValue::B(bytes)) = item.remove("seen") {
                let hashes = bytes.as_ref().chunks_exact(8);
                let hash = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes);
                all.seen.extend(hashes.filter_map(|bytes| hash(bytes).ok()));
            }
            for (name, last, texts) in [
                ("series", &mut last_series, &mut all.series),
                ("orphans", &mut last_orphans, &mut all.orphans),
            ] {
                let Some(part) = item.remove(name) else {
                    continue;
                };
                if last.as_str() != record {
                    record.clone_into(last);
                    texts.clear();
                }
                let part: Vec<String> = serde_dynamo::from_attribute_value(part)
                    .map_err(|error| StoreError::new(operation, error))?;
                texts.extend(part);
            }
        }
        Ok(all)
    }

    /// Stores how far a full sync has come, or that there is none, and the sync state if there is a new one. The condition fails when
    /// another worker has acquired the lease.
    pub async fn checkpoint(
        &self,
        lease: &Lease,
        progress: Option<&FullSync>,
        state: Option<&SyncState>,
    ) -> Result<WriteOutcome> {
        let operation = "store the progress of a sync";
        let mut update = UpdateExpression::default();
        match progress {
            Some(progress) => update.set("fullSync", value(operation, progress)?),
            None => update.remove("fullSync"),
        };
        if let Some(state) = state {
            update.set("syncState", value(operation, state)?);
        }
        update.remove("interruptions");
        self.done(operation, update.apply(self.update_as_holder(lease)))
            .await
    }

    /// Removes at most `limit` records of a calendar's full syncs. Returns whether none are left.
    pub async fn erase_full_syncs(
        &self,
        user: UserId,
        calendar: CalendarId,
        limit: i32,
    ) -> Result<bool> {
        let partition = keys::full_sync_partition(user, calendar);
        self.erase_items("erase the records of full syncs", partition, limit)
            .await
    }
}
