//! Slots of a user. A revision counts their changes: a slot is written only if the revision is still the one that was
//! read. Of several concurrent writers one succeeds, and the others read the slots again.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use calweave_domain::ids::{SlotId, UserId};
use calweave_domain::slot::Slot;
use serde::{Deserialize, Serialize};

use super::accounts::put;
use super::{Result, Store, StoreError, WriteOutcome, from_item, keys, n, to_item};

/// A user's slots and the revision that they were read at.
#[derive(Clone, Debug, Default)]
pub struct SlotBook {
    /// The slots, in the order of their creation.
    pub slots: Vec<Slot>,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct Book {
    revision: u64,
}

impl Store {
    /// Reads all slots of a user.
    pub async fn slot_book(&self, user: UserId) -> Result<SlotBook> {
        let operation = "read slots";
        // Read before the slots: if a slot is written in between, the next write with this revision fails.
        let book: Option<Book> = self
            .get(operation, &self.calendar, keys::slot_book(user), true)
            .await?;
        let query = self
            .query(
                &self.calendar,
                keys::user_partition(user),
                keys::SLOT_PREFIX,
            )
            .consistent_read(true);
        let slots: Result<Vec<Slot>> = self
            .all(operation, query)
            .await?
            .into_iter()
            .map(|item| from_item(operation, item))
            .collect();
        Ok(SlotBook {
            slots: slots?,
            revision: book.map_or(0, |book| book.revision),
        })
    }

    /// Returns one slot.
    pub async fn slot(&self, user: UserId, slot: SlotId) -> Result<Option<Slot>> {
        self.get("read a slot", &self.calendar, keys::slot(user, slot), true)
            .await
    }

    /// Writes a slot. The condition fails when another slot of the user was written since the book was read.
    pub async fn put_slot(
        &self,
        user: UserId,
        book: &SlotBook,
        slot: &Slot,
    ) -> Result<WriteOutcome> {
        let operation = "write a slot";
        let item = to_item(
            operation,
            keys::slot_book(user),
            &Book {
                revision: book.revision + 1,
            },
        )?;
        let next = Put::builder()
            .table_name(&self.calendar)
            .set_item(Some(item));
        let next = next.condition_expression("attribute_not_exists(pk) OR revision = :revision");
        let next = next
            .expression_attribute_values(":revision", n(book.revision))
            .build();
        let next = next.map_err(|error| StoreError::new(operation, error))?;
        let slot = put(
            &self.calendar,
            to_item(operation, keys::slot(user, slot.id), slot)?,
            None,
        )?;
        self.transact(
            operation,
            vec![TransactWriteItem::builder().put(next).build(), slot],
        )
        .await
    }

    /// Removes a slot.
    pub async fn delete_slot(&self, user: UserId, slot: SlotId) -> Result<()> {
        self.delete("remove a slot", &self.calendar, keys::slot(user, slot))
            .await
    }
}
