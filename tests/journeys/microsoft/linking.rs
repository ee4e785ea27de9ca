//! Accounts, admin consent, and an expired client secret.

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::calendar::ProviderKind;
use shared::domain::ids::UserId;

use crate::harness::ProviderHarness;
use crate::harness::World;
use crate::harness::account::{by_hand, synced};
use crate::harness::microsoft::{BERLIN, MicrosoftHarness};
use crate::harness::options;

#[tokio::test(flavor = "multi_thread")]
async fn administrators_consent_for_everybody_and_secrets_expire() {
    let (world, side) = World::beside::<MicrosoftHarness>(options()).await;
    let ada = world.sign_up("ada").await;
    let bob = json!({ "email": "bob@contoso.test", "name": "Bob", "timeZone": BERLIN, "needsAdmin": true });
    side.control("people", bob).await;
    let page = world
        .link(&side, &ada, "bob@contoso.test", "allow", &[])
        .await;
    assert!(
        page.query().unwrap().contains("error=consent_required"),
        "{page}"
    );
    let login = world
        .get(
            &ada,
            "/api/v1/calendar/oauth/microsoft/login?adminConsent=true",
        )
        .await;
    let url = login.body["authUrl"].as_str().unwrap();
    assert!(
        url.contains("/organizations/v2.0/adminconsent?client_id="),
        "{url}"
    );
    let cookie = login.headers["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let back = side.client.get(url).send().await.unwrap().headers()["location"]
        .to_str()
        .unwrap()
        .to_owned();
    let page = world.come_back(&back, &cookie).await;
    assert!(
        page.query().unwrap().contains("adminConsent=granted"),
        "{page}"
    );
    let page = world
        .link(&side, &ada, "bob@contoso.test", "allow", &[])
        .await;
    assert!(page.query().unwrap().contains("session="), "{page}");
    let none = World::with_google().await;
    let eve = none.0.sign_up("eve").await;
    assert_eq!(
        none.0
            .get(
                &eve,
                "/api/v1/calendar/oauth/google/login?adminConsent=true"
            )
            .await
            .status,
        422
    );
    assert_eq!(
        none.0
            .get(&eve, "/api/v1/calendar/oauth/microsoft/login")
            .await
            .status,
        503,
        "not known there"
    );
    assert_eq!(
        none.0
            .get(&eve, "/api/v1/calendar/oauth/yahoo/login")
            .await
            .status,
        404
    );

    // An expired client secret is the operator's problem: the connection stays ACTIVE.
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    side.control("secret", json!(true)).await;
    clock.advance(TimeDelta::hours(2));
    let ada = world.sign_in(&ada).await;
    let failed = synced(&world, &ada, &calendar).await;
    assert!(
        failed["lastError"]
            .as_str()
            .unwrap()
            .contains("AADSTS7000222"),
        "{failed}"
    );
    let linked = world
        .get(&ada, "/api/v1/calendar/oauth/connections")
        .await
        .body["connections"][0]
        .clone();
    assert_eq!(linked["status"], "ACTIVE");
    side.control("secret", json!(false)).await;
    assert_eq!(
        synced(&world, &ada, &calendar).await["syncStatus"],
        "SYNCED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_accounts_are_told_apart_by_tenant_and_object() {
    let (world, side) = World::beside::<MicrosoftHarness>(options()).await;
    let ada = world.sign_up("ada").await;
    let person = json!({ "email": "grace@outlook.test", "name": "Grace", "timeZone": "India Standard Time", "isPersonal": true });
    let calendar = side.control("people", person).await["primary"]
        .as_str()
        .unwrap()
        .to_owned();
    world
        .connect_account(&side, &ada, "grace@outlook.test", &[&calendar])
        .await;
    let user: UserId = ada.id.parse().unwrap();
    let connection = world
        .stack
        .context
        .store
        .connections(user)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(connection.provider, ProviderKind::Microsoft);
    assert_eq!(
        connection.account_id,
        "9188040d-6c67-4c5b-b112-36a304b66dad.00000000-0000-4000-a000-000000000001"
    );
}
