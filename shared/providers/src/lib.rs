//! The calendar providers behind one interface. A provider has no access to the store: it is given
//! credentials and a sync state, and returns changes.
//!
//! Each provider has a directory in this crate, an entry in [`Providers::read`], and a variant of
//! [`ProviderKind`].

mod calendar;
mod connect;
mod error;
pub mod google;
mod http;
pub mod ids;
pub mod microsoft;
pub mod oauth;

pub use calendar::{
    CalendarProvider, Capabilities, Change, ChangePage, OpenedChannel, ProviderFuture, ReadScope,
    RemoteCalendar, RemoteEvent, SERIES_AT_ONCE, WriteOptions,
};
pub use connect::{Connect, Credentials, OAuthProvider};
pub use error::{ProviderError, Refusal, Remedy, Result};

use std::sync::Arc;

use calweave_base::clock::Clock;
use calweave_base::config::Environment;
use calweave_domain::calendar::ProviderKind;
use calweave_domain::content::EventContent;
use calweave_domain::event::Event;
use calweave_domain::field::FieldError;
use calweave_domain::link::SendUpdates;

/// The providers that this deployment is registered with.
#[derive(Clone)]
pub struct Providers(Arc<[Box<dyn Connect>]>);

impl Providers {
    /// Reads the settings of each provider. A provider without settings is left out. The first call
    /// to a provider opens the first connection.
    pub fn read(env: &mut Environment<'_>, clock: &Clock) -> Self {
        let providers = [google::read(env, clock), microsoft::read(env, clock)];
        Self(providers.into_iter().flatten().collect())
    }

    /// Returns the provider of this kind.
    ///
    /// # Errors
    /// [`Refusal::NotConfigured`] if this deployment is not registered with it.
    pub fn of(&self, kind: ProviderKind) -> Result<&dyn Connect> {
        let mut providers = self.0.iter();
        let found = providers.find(|provider| provider.kind() == kind);
        found
            .map(|provider| &**provider)
            .ok_or_else(|| not_configured(kind))
    }

    /// Returns the OAuth interface of the provider of this kind.
    ///
    /// # Errors
    /// [`Refusal::NotConfigured`] if this deployment has no OAuth client at the provider.
    pub fn oauth(&self, kind: ProviderKind) -> Result<&dyn OAuthProvider> {
        self.of(kind)?.oauth().ok_or_else(|| not_configured(kind))
    }
}

fn not_configured(kind: ProviderKind) -> ProviderError {
    ProviderError::Refused {
        provider: kind.label(),
        reason: Refusal::NotConfigured,
        message: "this deployment is not known there".to_owned(),
    }
}

/// Returns an error for each field of a change that the provider cannot store, or that would have
/// effects beyond the request. `before` is `None` for a new event.
pub fn unwritable(
    kind: ProviderKind,
    before: Option<&EventContent>,
    now: &EventContent,
    send_updates: SendUpdates,
) -> Vec<FieldError> {
    match kind {
        ProviderKind::Microsoft => microsoft::unwritable(before, now, send_updates),
        _ => vec![],
    }
}

/// Returns an error, with the field and the reason, for each obstacle to deleting an event.
pub fn undeletable(
    kind: ProviderKind,
    event: &Event,
    send_updates: SendUpdates,
) -> Vec<FieldError> {
    match kind {
        ProviderKind::Microsoft => microsoft::undeletable(event, send_updates),
        _ => vec![],
    }
}

/// The longest description that is stored, in bytes. Graph's may be megabytes of forwarded mail, and a DynamoDB item ends at 400 KB.
const MAX_DESCRIPTION: usize = 32 << 10;

/// Cuts a description that is too long to be stored. What is cut stays at the provider: a description is written only where it
/// differs from the cut one.
fn bounded(mut description: String) -> String {
    if description.len() > MAX_DESCRIPTION {
        let ellipsis = '…';
        let end = description.floor_char_boundary(MAX_DESCRIPTION - ellipsis.len_utf8());
        description.truncate(end);
        description.push(ellipsis);
    }
    description
}
