//! Changes of a series' rule here, while something else changes there.

use serde_json::{Value, json};

use crate::harness::account::{connected, create, delete, put, titles};
use crate::harness::{EventChange, Person, ProviderHarness, World};

with_each_provider!(
    a_rule_whose_day_is_implied_is_changed_here,
    a_rule_is_changed_twice_after_an_occurrence_is_cancelled,
);

/// Creates a weekly series on Fridays of January here, and returns its id.
async fn fridays(world: &World, ada: &Person, calendar: &str, rule: &str) -> String {
    let series = json!({
        "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-01T09:00:00", "endTime": "2027-01-01T10:00:00",
        "timezone": "Europe/Berlin", "recurrenceRule": rule
    });
    let made = create(world, ada, series).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn change_rule(world: &World, ada: &Person, id: &str, rule: &str) {
    let changed = put(world, ada, id, json!({ "recurrenceRule": rule })).await;
    assert_eq!(changed["keptEdit"], Value::Null, "{changed}");
}

/// Changes the location of the only series there.
async fn relocate<S: ProviderHarness>(side: &S) {
    let all = side.all().await;
    let series = all.iter().find(|event| event.is_series).unwrap();
    let changed = side.change(&series.id, EventChange::Location("There"));
    assert!(changed.await.is_success());
}

async fn a_rule_whose_day_is_implied_is_changed_here<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let id = fridays(&world, &ada, &calendar, "FREQ=WEEKLY;COUNT=3").await;
    assert_eq!(side.in_january().await, 3);
    relocate(&side).await;
    change_rule(&world, &ada, &id, "FREQ=WEEKLY;COUNT=5").await;
    assert_eq!(side.in_january().await, 5);
    assert_eq!(titles(&world, &ada).await.len(), 5);
    let shown = world
        .get(&ada, &format!("/api/v1/calendar/events/{id}"))
        .await;
    assert_eq!(shown.body["location"], "There");
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

async fn a_rule_is_changed_twice_after_an_occurrence_is_cancelled<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let rule = |count: u32| format!("FREQ=WEEKLY;COUNT={count};BYDAY=FR");
    let id = fridays(&world, &ada, &calendar, &rule(3)).await;
    let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
    delete(&world, &ada, events[1]["id"].as_str().unwrap()).await;
    assert_eq!(side.in_january().await, 2);
    for count in [4, 5] {
        relocate(&side).await;
        change_rule(&world, &ada, &id, &rule(count)).await;
        let left = usize::try_from(count).unwrap() - 1;
        assert_eq!(side.in_january().await, left);
        assert_eq!(titles(&world, &ada).await.len(), left);
    }
    assert_eq!(side.violations().await, Vec::<Value>::new());
}
