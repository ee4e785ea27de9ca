//! The template gives each function the variables that it reads, and no others.

use std::collections::BTreeSet;

use local::functions;
use local::template::Template;
use shared::clock::Clock;
use shared::config::Environment;
use shared::setup::Setup;

/// Set by Lambda itself.
const BY_LAMBDA: [&str; 4] = [
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// For development only, so the template has none of them.
fn is_for_development(name: &str) -> bool {
    name.starts_with("AWS_ENDPOINT_URL")
        || name.ends_with("_ENDPOINT")
        || ["RATE_LIMITS", "ALLOW_LOOPBACK_FEEDS"].contains(&name)
}

/// The names of the tables, which are no secret, and what `boot` reads.
const BY_ALL: [&str; 5] = [
    "IDENTITY_TABLE",
    "VAULT_TABLE",
    "CALENDAR_TABLE",
    "AUDIT_TABLE",
    "LOG_LEVEL",
];

#[test]
fn a_function_is_given_what_it_reads_and_no_more() {
    let template = Template::bundled().unwrap();
    for name in template.functions.keys() {
        let given = template.variables_of(name);
        let value = |name: &str| match name {
            "JWT_KEYS" => r#"{"kid":"a","secret":"0123456789abcdef0123456789abcdef"}"#.to_owned(),
            "CORS_ORIGINS" => "https://app.example.org".to_owned(),
            name if ["_DAYS", "_LENGTH", "_QUOTA", "_RUN"]
                .iter()
                .any(|end| name.ends_with(end)) =>
            {
                "30".to_owned()
            }
            _ => "value".to_owned(),
        };
        let known = |name: &str| given.contains(name) || BY_LAMBDA.contains(&name);
        let lookup = |name: &str| known(name).then(|| value(name));
        let mut setup = Setup::new(Environment::new(&lookup), Clock::System);
        let built = functions::check(name, &mut setup);
        assert!(built.is_ok(), "{name}: {}", built.unwrap_err());
        let mut read = setup.env.names();
        read.retain(|name| !is_for_development(name) && !BY_LAMBDA.contains(&name.as_str()));
        read.extend(BY_ALL.map(str::to_owned));
        let unread: BTreeSet<_> = given.difference(&read).collect();
        assert!(
            unread.is_empty(),
            "{name} is given {unread:?} by template.yaml, and does not read it"
        );
        let missing: BTreeSet<_> = read.difference(&given).collect();
        assert!(
            missing.is_empty(),
            "{name} reads {missing:?}; template.yaml does not give it"
        );
    }
}

#[test]
fn only_who_calls_providers_has_their_secrets() {
    let template = Template::bundled().unwrap();
    let with = |variable: &str| -> Vec<&str> {
        let all = template.functions.keys().map(String::as_str);
        all.filter(|name| template.variables_of(name).contains(variable))
            .collect()
    };
    assert_eq!(
        with("GOOGLE_CLIENT_SECRET"),
        ["auth", "oauth", "refresh_tokens", "sync_worker"]
    );
    assert_eq!(
        with("GOOGLE_CLIENT_SECRET"),
        with("MICROSOFT_CLIENT_SECRET")
    );
    assert_eq!(
        with("JWT_KEYS"),
        [
            "auth",
            "calendars",
            "events",
            "ics",
            "oauth",
            "slots",
            "sync",
            "webhooks"
        ]
    );
}
