//! The vault with tables and KMS, used by several functions at once.

use futures::future::join_all;
use shared::calendar::AccountContext;
use shared::clock::Clock;
use shared::domain::ids::{ConnectionId, UserId};
use shared::domain::secret::Secret;
use shared::store::WriteOutcome;
use shared::vault::{FEED_URL, SecretLocation, VaultError};

use crate::harness::World;

/// Returns the context of another function: the same tables and key, but empty caches.
fn another(world: &World) -> AccountContext {
    world.stack.worker(Clock::System).unwrap().accounts
}

fn location(user: UserId) -> SecretLocation {
    SecretLocation {
        user,
        connection: ConnectionId::new(&Clock::System),
        field: FEED_URL,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_seal_at_once_share_one_key() {
    let world = World::new().await;
    let user = UserId::new(&Clock::System);
    let locations: Vec<SecretLocation> = (0..8).map(|_| location(user)).collect();
    let functions: Vec<AccountContext> = locations.iter().map(|_| another(&world)).collect();
    let secrets: Vec<Secret> = (0..8)
        .map(|number| Secret::new(format!("https://example.org/{number}")))
        .collect();
    let sealing = functions
        .iter()
        .zip(&locations)
        .zip(&secrets)
        .map(|((function, location), secret)| function.vault.put(*location, secret));
    join_all(sealing)
        .await
        .into_iter()
        .for_each(|sealed| sealed.unwrap());
    let reader = another(&world);
    for (number, location) in locations.iter().enumerate() {
        let opened = reader.vault.get(*location).await.unwrap().unwrap();
        assert_eq!(opened.expose(), format!("https://example.org/{number}"));
    }
    assert!(!world.dump().await.contains("example.org"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_moved_to_another_person_does_not_open() {
    let world = World::new().await;
    let (ada, eve) = (UserId::new(&Clock::System), UserId::new(&Clock::System));
    world
        .stack
        .context
        .vault
        .put(location(ada), &Secret::new("of ada".into()))
        .await
        .unwrap();
    let eves = location(eve);
    world
        .stack
        .context
        .vault
        .put(eves, &Secret::new("of eve".into()))
        .await
        .unwrap();
    let store = &world.stack.context.store;
    let wrapped = store.wrapped_key(ada).await.unwrap().unwrap();
    store.shred_key(eve).await.unwrap();
    assert_eq!(
        store.create_wrapped_key(eve, &wrapped).await.unwrap(),
        WriteOutcome::Written
    );
    let opened = another(&world).vault.get(eves).await;
    assert!(matches!(opened, Err(VaultError::Kms(_))), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shredded_never_opens_again() {
    let world = World::new().await;
    let user = UserId::new(&Clock::System);
    let location = location(user);
    world
        .stack
        .context
        .vault
        .put(location, &Secret::new("gone".into()))
        .await
        .unwrap();
    world.stack.context.vault.shred(user).await.unwrap();
    for function in [&world.stack.accounts(), &another(&world)] {
        let opened = function.vault.get(location).await;
        assert!(matches!(opened, Err(VaultError::Shredded)), "{opened:?}");
    }
}
