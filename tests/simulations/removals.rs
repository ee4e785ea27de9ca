//! A calendar that is connected again while its events are being removed.

use std::pin::pin;
use std::task::Poll;

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::ids::{CalendarId, UserId};
use shared::store::erasures::DueItem;
use shared::store::keys::{DUE_SHARDS, DueKind};
use shared::sync::erase_calendar;

use crate::harness::feeds::daily;
use crate::harness::{World, options_by_hand};

/// More events than one message removes.
const EVENTS: u32 = 5_200;

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_that_is_connected_again_during_its_removal_is_due() {
    let (options, clock) = options_by_hand("2026-03-01T00:00:00Z");
    let world = World::with(options).await;
    world
        .feeds
        .set_ics("a.ics", daily(EVENTS, "2026-03-01", "a"));
    let body = json!({ "url": world.feeds.url("a.ics") });
    let ada = world.sign_up("ada").await;
    for calls in [1, 2, 5, 60, 61, 160] {
        let connected = world
            .post(&ada, "/api/v1/calendar/ics/connect", body.clone())
            .await;
        assert_eq!(connected.status, 201, "{connected:?}");
        let id = connected.body["id"].as_str().unwrap();
        world.stack.work().await;
        let path = format!("/api/v1/calendar/calendars/{id}");
        let gone = world.call("DELETE", &path, Some(&ada.token), None).await;
        assert_eq!(gone.status, 204);
        let (user, calendar): (UserId, CalendarId) = (ada.id.parse().unwrap(), id.parse().unwrap());

        // The removal is as far as this many calls of DynamoDB, when the calendar is connected again.
        let worker = world.stack.worker(clock.clone()).unwrap();
        let mut removal = pin!(erase_calendar(&worker, user, calendar));
        let mut made = 0;
        let is_finished = std::future::poll_fn(|context| {
            made += worker.store.meter().take().2;
            if made >= calls {
                return Poll::Ready(false);
            }
            removal.as_mut().poll(context).map(|_| true)
        })
        .await;
        let again = world
            .post(&ada, "/api/v1/calendar/ics/connect", body.clone())
            .await;
        assert_eq!(again.status, 201, "{again:?}");
        // Every other removal is killed, and its message received again once the lease has expired.
        if !is_finished && calls % 2 == 0 {
            removal.await.unwrap();
        } else if !is_finished {
            clock.advance(TimeDelta::seconds(61));
        }
        let state = worker
            .store
            .calendar(user, calendar)
            .await
            .unwrap()
            .unwrap();
        assert!(state.calendar.is_connected);
        let later = clock.now() + TimeDelta::hours(1);
        let mut due = vec![];
        for shard in 0..DUE_SHARDS {
            let found = worker.store.due(DueKind::Feed, shard, later, 10).await;
            due.extend(found.unwrap());
        }
        let own = DueItem {
            user_id: user,
            calendar_id: Some(calendar),
        };
        assert!(due.contains(&own), "{calls} calls: it is due");
        world.stack.work().await;
        let shown = world.get(&ada, &path).await.body;
        assert_eq!(shown["syncStatus"], "SYNCED", "{calls} calls: {shown}");
        assert_eq!(shown["eventCount"], EVENTS, "{calls} calls: {shown}");
        let stored = worker
            .store
            .stored_event_hashes(user, calendar)
            .await
            .unwrap();
        assert_eq!(stored.len(), EVENTS as usize, "{calls} calls");
        let gone = world.call("DELETE", &path, Some(&ada.token), None).await;
        assert_eq!(gone.status, 204);
        world.stack.work().await;
    }
}
