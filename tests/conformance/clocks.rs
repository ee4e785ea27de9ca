//! Changes of the clocks.

use serde_json::json;

use crate::harness::account::{by_hand, synced};
use crate::harness::{EventChange, ProviderHarness};

with_each_provider!(a_changed_occurrence_inside_a_gap,);

/// An occurrence that the clocks skip is named by the instant that it moves to.
async fn a_changed_occurrence_inside_a_gap<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let (start, end) = ("2027-03-26T02:30:00", "2027-03-26T03:00:00");
    let rule = Some("FREQ=DAILY;COUNT=5");
    let series = side.insert("Night", start, end, rule).await;
    let other = side.insert("Other", start, end, rule).await;
    let gap = S::occurrence(&series, "2027-03-28T02:30:00");
    assert!(
        side.change(&gap, EventChange::Title("Changed there"))
            .await
            .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let shown = async || {
        let events = world.events(&ada, "2027-03-26", "2027-04-01").await;
        let mut shown: Vec<String> = events
            .iter()
            .map(|event| format!("{} {}", event["title"], event["startTime"]))
            .map(|text| text.replace('"', ""))
            .filter(|text| text.contains("03-28"))
            .collect();
        assert_eq!(events.len(), 10, "{events:#?}");
        shown.sort();
        (shown, events)
    };
    let (titles, events) = shown().await;
    let at = "2027-03-28T03:30:00+02:00";
    assert_eq!(
        titles,
        [format!("Changed there {at}"), format!("Other {at}")]
    );

    // The other series' occurrence is changed here.
    let found = events
        .iter()
        .find(|event| event["title"] == "Other" && event["startTime"] == at)
        .unwrap();
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        found["id"].as_str().unwrap()
    );
    let body = json!({ "title": "Changed here" });
    let changed = world.call("PUT", &path, Some(&ada.token), Some(body)).await;
    assert_eq!(changed.status, 202, "{changed:?}");
    for _ in 0..2 {
        let state = synced(&world, &ada, &calendar).await;
        assert_eq!(state["syncStatus"], "SYNCED", "{state}");
        let (titles, _) = shown().await;
        let expected = [format!("Changed here {at}"), format!("Changed there {at}")];
        assert_eq!(titles, expected);
    }
    let remote = side
        .read(&S::occurrence(&other, "2027-03-28T02:30:00"))
        .await;
    assert_eq!(remote.title, "Changed here");

    // Both are cancelled: one there, one here.
    assert!(side.remove(&gap).await.is_success());
    world.call("DELETE", &path, Some(&ada.token), None).await;
    synced(&world, &ada, &calendar).await;
    let events = world.events(&ada, "2027-03-26", "2027-04-01").await;
    assert_eq!(events.len(), 8, "{events:#?}");
}
