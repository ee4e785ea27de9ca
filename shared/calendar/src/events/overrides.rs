//! Updates the overrides of a series after a change of the series.

use calweave_domain::agenda::rule_yields;
use calweave_domain::event::Event;
use calweave_domain::ids::UserId;
use calweave_domain::recurrence::Series;
use calweave_store::{Store, StoreError, WriteOutcome};

/// Aligns the overrides of a series with a local change of the series. All overrides of a series that is being deleted
/// are hidden. Overrides that the changed rule no longer yields are hidden while the series has an edit, and removed
/// afterwards. An override with an edit of its own is kept: the push of that edit decides.
pub async fn realign_overrides(
    store: &Store,
    user: UserId,
    before: &Event,
    after: &Event,
) -> Result<(), StoreError> {
    let rule = |event: &Event| {
        (
            event.start,
            event.series.as_deref().map(Series::without_overrides),
        )
    };
    let is_settled = before.is_edited() && !after.is_edited();
    if before.series.is_none()
        || (rule(before) == rule(after)
            && before.is_deleting() == after.is_deleting()
            && !is_settled)
    {
        return Ok(());
    }
    for mut event in store.overrides(user, &after.id).await? {
        let is_placed = event.is_edited()
            || event
                .original_start()
                .is_none_or(|original| rule_yields(after, original));
        let is_hidden = after.is_deleting() || !is_placed;
        // The condition fails when another writer changes the override concurrently; that writer's result stays.
        if !is_placed && !after.is_edited() {
            let _: WriteOutcome = store.delete_event(user, &event).await?;
        } else if event.link.as_ref().is_some_and(|link| link.is_hidden) != is_hidden {
            event.link.get_or_insert_default().is_hidden = is_hidden;
            let _: WriteOutcome = store.put_event(user, &mut event).await?;
        }
    }
    Ok(())
}
