// Derived from template.yaml: `CALWEAVE_BLESS=1 cargo test --workspace --test all -- derived` writes this file.

/// Functions that answer HTTP requests.
pub const HTTP: &[HttpFunction] = http![
    health,
    auth,
    oauth,
    ics,
    calendars,
    events,
    slots,
    sync,
    webhooks,
];

/// Functions that a schedule starts.
pub const SCHEDULED: &[ScheduledJob] = jobs![
    refresh_feeds,
    reconcile,
    refresh_tokens,
    renew_channels,
    cleanup_expired,
];
