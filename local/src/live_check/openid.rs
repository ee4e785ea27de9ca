//! What is assumed of every provider's tokens (OpenID Connect Core 1.0, RFC 6749).

use reqwest::Url;
use serde_json::Value;

use super::Setup;
use super::report::{Checked, Findings};
use super::sign_in::SignedIn;
use super::wire::{Answer, Call};

/// The tokens that a code is exchanged for.
pub(super) fn exchange(signed_in: &SignedIn, findings: &mut Findings) {
    let tokens = &signed_in.tokens;
    let is_there = |name: &&str| !tokens.text(name).is_empty();
    findings.check(
        "a code is exchanged for an access token, a refresh token and an ID token",
        ["access_token", "refresh_token", "id_token"]
            .iter()
            .all(is_there),
        tokens,
    );
}

/// The signature of an ID token with this header. `keys` is the published key set.
pub(super) fn signature(header: &Value, keys: &Answer, findings: &mut Findings) {
    let is_signing = |key: &Value| key["kid"] == header["kid"] && key["kty"] == "RSA";
    findings.check(
        "the ID token is signed with RS256 and a key of the published set",
        header["alg"] == "RS256" && keys.list("keys").iter().any(is_signing),
        keys,
    );
}

/// What is refused: tokens that `prefix` and a word make up, and a wrong client secret. `resource` needs an access token.
pub(super) async fn refusals(
    setup: &Setup,
    token: &Url,
    signed_in: &SignedIn,
    (refresh_prefix, access_prefix): (&str, &str),
    resource: Url,
    findings: &mut Findings,
) -> Checked {
    let unknown = setup
        .refresh(token, &format!("{refresh_prefix}unknown"))
        .await?;
    findings.check(
        "an unknown refresh token is refused with invalid_grant",
        unknown.is_refusal(400, "invalid_grant"),
        &unknown,
    );
    let wrong = setup
        .refresh_wrongly(token, signed_in.refresh_token())
        .await?;
    findings.check(
        "a wrong client secret is refused with invalid_client",
        wrong.is_refusal(401, "invalid_client"),
        &wrong,
    );
    let bearer = format!("Bearer {access_prefix}unknown");
    let call = Call::get(resource).header("authorization", bearer);
    let unauthorized = setup.wire.send(call).await?;
    findings.check(
        "an unknown access token is refused with 401",
        unauthorized.is(401),
        &unauthorized,
    );
    Ok(())
}
