//! The sign-in, the mailbox and its calendars.

use serde_json::{Value, json};

use super::Microsoft;
use crate::live_check::openid;
use crate::live_check::report::{Checked, Findings};
use crate::live_check::sign_in::decoded;
use crate::live_check::wire::{Answer, Call, below};

/// The tokens that the sign-in has returned.
pub(super) async fn tokens(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Sign-in");
    let tokens = &microsoft.signed_in.tokens;
    openid::exchange(&microsoft.signed_in, findings);
    let granted = tokens.text("scope").split(' ');
    let granted: Vec<&str> = granted.filter_map(|one| one.rsplit('/').next()).collect();
    findings.check(
        "the granted scopes are listed, by their names or as URLs that end in them",
        ["Calendars.ReadWrite", "MailboxSettings.Read", "User.Read"]
            .iter()
            .all(|scope| granted.contains(scope)),
        tokens,
    );
    findings.check(
        "offline_access is not listed",
        !granted.contains(&"offline_access"),
        tokens,
    );
    findings.check(
        "an access token lives for 60 to 90 minutes",
        tokens.body["expires_in"]
            .as_i64()
            .is_some_and(|seconds| (3_500..=5_500).contains(&seconds)),
        tokens,
    );
    let (header, claims) = decoded(tokens.text("id_token"));
    let shown = tokens.showing(json!({ "header": header, "claims": claims }));
    let text = |name: &str| claims[name].as_str().unwrap_or_default();
    let issuer = format!("{}{}/v2.0", microsoft.urls.issuer, text("tid"));
    findings.check(
        "the ID token's issuer is that of the tenant in tid, and its version is 2.0",
        text("iss") == issuer && text("ver") == "2.0",
        &shown,
    );
    findings.check(
        "the ID token names the client as its audience, and the nonce",
        text("aud") == microsoft.setup.client_id && text("nonce") == microsoft.signed_in.nonce,
        &shown,
    );
    findings.check(
        "the ID token has a tenant id and an object id",
        !text("tid").is_empty() && !text("oid").is_empty(),
        &shown,
    );
    let keys = Call::get(microsoft.urls.keys.clone());
    let keys = microsoft.setup.wire.send(keys).await?;
    openid::signature(&header, &keys, findings);
    Ok(())
}

/// Refreshing a grant, and what is refused.
pub(super) async fn refreshing(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Refreshing");
    let (setup, token) = (microsoft.setup, &microsoft.urls.oauth.token);
    let refresh_token = microsoft.signed_in.refresh_token();
    let fresh = setup.refresh(token, refresh_token).await?;
    findings.check(
        "a refresh returns another access token and another refresh token",
        fresh.is(200)
            && !fresh.text("access_token").is_empty()
            && fresh.text("access_token") != microsoft.signed_in.access_token()
            && !fresh.text("refresh_token").is_empty()
            && fresh.text("refresh_token") != refresh_token,
        &fresh,
    );
    let again = setup.refresh(token, refresh_token).await?;
    findings.check(
        "a refresh token that was used is valid for a while",
        again.is(200),
        &again,
    );
    let resource = microsoft.path(&["me"]);
    let prefixes = ("", "");
    openid::refusals(
        setup,
        token,
        &microsoft.signed_in,
        prefixes,
        resource,
        findings,
    )
    .await?;
    let limits = "it would disturb the mailbox";
    findings.skip("a mailbox takes four concurrent requests", limits);
    findings.skip(
        "a throttled request is answered with 429 and Retry-After",
        limits,
    );
    Ok(())
}

/// The mailbox, and the list of calendars.
pub(super) async fn mailbox(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Mailbox and calendars");
    let me = microsoft.get(microsoft.path(&["me"])).await?;
    findings.check(
        "me has the account's address in mail or userPrincipalName",
        !me.text("mail").is_empty() || !me.text("userPrincipalName").is_empty(),
        &me,
    );
    let settings = microsoft.path(&["me", "mailboxSettings"]);
    let settings = microsoft.get(settings).await?;
    findings.check(
        "mailboxSettings has the mailbox's time zone",
        settings.is(200) && !settings.text("timeZone").is_empty(),
        &settings,
    );
    let call = Call::get(microsoft.path(&["me", "calendars"])).query("$top", "100");
    let listed = microsoft.send(call).await?;
    let items = listed.list("value");
    let own = items.iter().find(|item| item["id"] == microsoft.calendar());
    let own = own.cloned().unwrap_or_default();
    findings.check(
        "the list has a new calendar, with its name, a colour, its owner and canEdit",
        own["name"] == microsoft.setup.calendar_names[0]
            && own["canEdit"] == true
            && own["color"].is_string()
            && own["owner"]["address"].is_string(),
        &listed.showing(own.clone()),
    );
    let is_default = |item: &&Value| item["isDefaultCalendar"] == true;
    findings.check(
        "one calendar of the list is the default calendar",
        items.iter().filter(is_default).count() == 1,
        &listed,
    );
    shared(microsoft, findings, &listed).await
}

/// Reads ids of a calendar that somebody shares with the account, if there is one.
async fn shared(microsoft: &Microsoft<'_>, findings: &mut Findings, listed: &Answer) -> Checked {
    let assumption = "a calendar that others share can be read with Calendars.ReadWrite";
    let items = listed.list("value");
    let owner = |item: &Value| item["owner"]["address"].as_str().map(str::to_lowercase);
    let default = items.iter().find(|item| item["isDefaultCalendar"] == true);
    let own = default.and_then(owner);
    let mut others = items
        .iter()
        .filter(|item| owner(item).is_some_and(|one| Some(one) != own));
    let Some(id) = others.find_map(|item| item["id"].as_str()) else {
        findings.skip(assumption, "nobody shares a calendar with this account");
        return Ok(());
    };
    let url = below(&microsoft.urls.api, &["me", "calendars", id, "events"]);
    let call = Call::get(url).query("$top", "1").query("$select", "id");
    let read = microsoft.send(call).await?;
    findings.check(assumption, read.is(200), &read);
    Ok(())
}
