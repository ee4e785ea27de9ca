//! What `cargo run -- --demo` begins with.

use local::demo;
use local::stack::Options;

use crate::harness::{Person, World};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_begins_with_a_filled_week() {
    let google = demo::google().await.unwrap();
    let microsoft = demo::microsoft().await.unwrap();
    let options = Options {
        google: Some(google.url.clone()),
        microsoft: Some(microsoft.url.clone()),
        ..Options::default()
    };
    let world = World::with(options).await;
    let prepared = demo::prepare(&world.stack, &google.url, &microsoft.url);
    prepared.await.unwrap();
    let sign_in = serde_json::json!({ "email": demo::EMAIL, "password": demo::PASSWORD });
    let tokens = world
        .call("POST", "/api/v1/auth/login", None, Some(sign_in))
        .await;
    let person = Person::from(demo::EMAIL, &tokens.body);
    let week = world
        .get(&person, "/api/v1/calendar/events/upcoming?limit=100")
        .await;
    let events = week.body["events"].as_array().unwrap();
    for title in [
        "Sprint planning",
        "Plant the apple tree",
        "Roadmap notes",
        "Release review",
    ] {
        assert!(
            events.iter().any(|event| event["title"] == title),
            "{title}"
        );
    }
}
