//! Logging: JSON lines on Lambda, human-readable lines in a terminal.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging as JSON lines. `level` is the value of `LOG_LEVEL`, by default `info`: a level, or levels of targets such as
/// `warn,hyper=error`. A second call does nothing.
pub fn init_json(level: Option<&str>) {
    let lines = layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false);
    drop(registry().with(lines).with(filter(level)).try_init());
}

/// Starts logging as human-readable lines on standard error, with `level` as in [`init_json`]. A second call does
/// nothing.
pub fn init_terminal(level: Option<&str>) {
    let lines = layer()
        .compact()
        .with_target(false)
        .with_writer(std::io::stderr);
    drop(registry().with(lines).with(filter(level)).try_init());
}

/// Reads levels. An `EnvFilter` would also read fields of spans, for which it links a regex engine.
fn filter(level: Option<&str>) -> Targets {
    let filter: Option<Targets> = level.and_then(|level| level.parse().ok());
    let filter = filter.filter(|filter| filter.default_level().is_some());
    filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_nonsense_is_info() {
        let default = |level| filter(level).default_level();
        assert_eq!(default(Some("error")), Some(LevelFilter::ERROR));
        let some = Some("warn,dynoxide=error");
        assert_eq!(default(some), Some(LevelFilter::WARN));
        for level in [None, Some("==")] {
            assert_eq!(default(level), Some(LevelFilter::INFO), "{level:?}");
        }
    }
}
