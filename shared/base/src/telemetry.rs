//! Logging: JSON lines on Lambda, human-readable lines in a terminal.

use tracing_subscriber::EnvFilter;

/// Starts logging as JSON lines. `level` is the value of `LOG_LEVEL`, by default `info`. A second call does nothing.
pub fn init_json(level: Option<&str>) {
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter(level))
        .try_init();
    drop(started);
}

/// Starts logging as human-readable lines on standard error, with `level` as in [`init_json`]. A second call does
/// nothing.
pub fn init_terminal(level: Option<&str>) {
    let started = tracing_subscriber::fmt()
        .compact()
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter(level))
        .try_init();
    drop(started);
}

fn filter(level: Option<&str>) -> EnvFilter {
    EnvFilter::try_new(level.unwrap_or("info")).unwrap_or_else(|_| EnvFilter::new("info"))
}
