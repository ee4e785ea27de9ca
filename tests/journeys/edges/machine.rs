//! The data folder of a local installation.

use local::stack::Options;

use crate::harness::World;
use crate::harness::feeds::daily;

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_belongs_to_one_backend() {
    let folder = std::env::temp_dir().join(format!("calweave-test-lock-{}", std::process::id()));
    let options = |reset| Options {
        data: Some(folder.clone()),
        reset,
        ..Options::default()
    };
    let world = World::with(options(false)).await;
    let second = local::stack::Stack::start(
        &local::template::Template::bundled().unwrap(),
        options(true),
    )
    .await;
    assert!(
        second
            .err()
            .unwrap()
            .to_string()
            .contains("another calweave is using it")
    );
    assert_eq!(
        world
            .call("GET", "/api/v1/health/ready", None, None)
            .await
            .status,
        200
    );
    world.stack.stop().await;
    std::fs::remove_file(folder.join("keys.json")).unwrap();
    let keyless = local::stack::Stack::start(
        &local::template::Template::bundled().unwrap(),
        options(false),
    )
    .await;
    assert!(
        keyless
            .err()
            .unwrap()
            .to_string()
            .contains("keys.json is missing")
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_there_after_a_restart() {
    let folder = std::env::temp_dir().join(format!("calweave-test-{}", std::process::id()));
    let options = || Options {
        data: Some(folder.clone()),
        ..Options::default()
    };
    let world = World::with(options()).await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(2, "2026-03-02", "a"));
    let id = world.connect(&ada, "f.ics").await;
    let feeds = world.feeds.clone();
    world.stack.stop().await;
    let mut world = World::with(options()).await;
    world.feeds = feeds;
    assert_eq!(
        world.events(&ada, "2026-03-01", "2026-04-01").await.len(),
        2,
        "the token still stands, too"
    );
    world.feeds.set_ics("f.ics", daily(3, "2026-03-02", "a"));
    assert_eq!(
        world.sync(&ada, &id).await["stats"]["created"],
        1,
        "the address still opens"
    );
    world.stack.stop().await;
    std::fs::remove_dir_all(&folder).unwrap();
}
