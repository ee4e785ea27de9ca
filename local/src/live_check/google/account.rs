//! The sign-in, the account and its calendars.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Google, SCOPES};
use crate::live_check::openid;
use crate::live_check::random_id;
use crate::live_check::report::{Checked, Findings};
use crate::live_check::sign_in::decoded;
use crate::live_check::wire::{Call, below};

/// How long a revocation may take to spread.
const SPREADING: Duration = Duration::from_secs(60);

/// The tokens that the sign-in has returned.
pub(super) async fn tokens(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Sign-in");
    let tokens = &google.signed_in.tokens;
    openid::exchange(&google.signed_in, findings);
    let granted: Vec<&str> = tokens.text("scope").split(' ').collect();
    findings.check(
        "the granted scopes are listed, separated by spaces",
        SCOPES[3..].iter().all(|scope| granted.contains(scope)),
        tokens,
    );
    findings.check(
        "an access token lives for about an hour",
        tokens.body["expires_in"]
            .as_i64()
            .is_some_and(|seconds| (3_000..=4_200).contains(&seconds)),
        tokens,
    );
    let (header, claims) = decoded(tokens.text("id_token"));
    let shown = tokens.showing(json!({ "header": header, "claims": claims }));
    let own = google.setup.endpoint.as_deref();
    let issuer = claims["iss"].as_str().unwrap_or_default();
    findings.check(
        "the ID token names Google as its issuer, the client as its audience, and the nonce",
        [
            own.unwrap_or("https://accounts.google.com"),
            "accounts.google.com",
        ]
        .contains(&issuer)
            && claims["aud"] == google.setup.client_id
            && claims["nonce"] == google.signed_in.nonce,
        &shown,
    );
    let keys = google.get(google.urls.keys.clone()).await?;
    openid::signature(&header, &keys, findings);
    let user = google.get(google.urls.userinfo.clone()).await?;
    findings.check(
        "userinfo and the ID token name the same subject",
        user.is(200) && !user.text("sub").is_empty() && user.body["sub"] == claims["sub"],
        &user,
    );
    Ok(())
}

/// Refreshing a grant, and what is refused.
pub(super) async fn refreshing(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Refreshing");
    let (setup, token) = (google.setup, &google.urls.oauth.token);
    let refresh_token = google.signed_in.refresh_token();
    let fresh = setup.refresh(token, refresh_token).await?;
    findings.check(
        "a refresh returns another access token",
        fresh.is(200)
            && !fresh.text("access_token").is_empty()
            && fresh.text("access_token") != google.signed_in.access_token(),
        &fresh,
    );
    findings.check(
        "a refresh token is not rotated",
        fresh.is(200) && fresh.body["refresh_token"].is_null(),
        &fresh,
    );
    let resource = below(&google.urls.api, &["users", "me", "calendarList"]);
    let prefixes = ("1//", "ya29.");
    openid::refusals(
        setup,
        token,
        &google.signed_in,
        prefixes,
        resource,
        findings,
    )
    .await?;
    findings.skip(
        "quotaExceeded is the project's limit, the other rate limits are a user's",
        "a quota would have to be used up",
    );
    Ok(())
}

/// The list of calendars.
pub(super) async fn calendars(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Calendars");
    let url = below(&google.urls.api, &["users", "me", "calendarList"]);
    let call = Call::get(url)
        .query("maxResults", "250")
        .query("showHidden", "true");
    let listed = google.send(call).await?;
    let items = listed.list("items");
    let own = items.iter().find(|item| item["id"] == google.calendar());
    let own = own.cloned().unwrap_or_default();
    findings.check(
        "the list has a new calendar, with its name and its zone, and the role owner",
        own["summary"] == google.setup.calendar_names[0]
            && own["timeZone"] == "Europe/Berlin"
            && own["accessRole"] == "owner",
        &listed.showing(own.clone()),
    );
    let color = own["backgroundColor"].as_str().unwrap_or_default();
    findings.check(
        "the background colour of a calendar is a number sign and six hexadecimal digits",
        color.len() == 7 && color.starts_with('#'),
        &listed.showing(own.clone()),
    );
    let is_primary = |item: &&Value| item["primary"] == true;
    findings.check(
        "one calendar of the list is primary",
        items.iter().filter(is_primary).count() == 1,
        &listed,
    );
    let unknown = below(&google.urls.api, &["calendars", &random_id(), "events"]);
    let unknown = google.get(unknown).await?;
    findings.check(
        "an unknown calendar is answered with 404",
        unknown.is(404),
        &unknown,
    );
    Ok(())
}

/// Revoking the grant. This comes last.
pub(super) async fn revocation(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Revocation");
    let refresh_token = google.signed_in.refresh_token();
    if !google.setup.revoke {
        let reason = "it ends all that the account has granted to the project; pass --revoke";
        findings.skip("revoking the refresh token is answered with 200", reason);
        findings.skip(
            "a revoked refresh token is refused with invalid_grant",
            reason,
        );
        findings.skip(
            "a second revocation is an error that is not the server's",
            reason,
        );
        return Ok(());
    }
    let revoke = || {
        let call = Call::post(google.urls.revoke.clone());
        let call = call.form(&[("token", refresh_token)]);
        google.setup.wire.send(call)
    };
    let revoked = revoke().await?;
    findings.require(
        "revoking the refresh token is answered with 200",
        revoked.is(200),
        &revoked,
    )?;
    let token = &google.urls.oauth.token;
    let end = std::time::Instant::now() + SPREADING;
    let mut refused = google.setup.refresh(token, refresh_token).await?;
    while refused.is(200) && std::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(5)).await;
        refused = google.setup.refresh(token, refresh_token).await?;
    }
    findings.check(
        "a revoked refresh token is refused with invalid_grant",
        refused.is_refusal(400, "invalid_grant"),
        &refused,
    );
    let again = revoke().await?;
    findings.check(
        "a second revocation is an error that is not the server's",
        (400..500).contains(&again.status),
        &again,
    );
    Ok(())
}
