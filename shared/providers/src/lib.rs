//! The calendar providers behind one seam. A provider never sees the store: it is handed credentials and a sync state, and
//! answers with changes.
//!
//! A provider is a folder here, an entry in [`Providers::read`], and a variant of [`ProviderKind`].

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
    RemoteCalendar, RemoteEvent, WriteOptions,
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
    /// Reads the settings of each provider. One without settings is left out; nothing is connected to until it is needed.
    pub fn read(env: &mut Environment<'_>, clock: &Clock) -> Self {
        let providers = [google::read(env), microsoft::read(env, clock)];
        Self(providers.into_iter().flatten().collect())
    }

    /// The provider of this kind.
    ///
    /// # Errors
    /// [`Refusal::NotConfigured`] where this deployment is not registered with it.
    pub fn of(&self, kind: ProviderKind) -> Result<&dyn Connect> {
        let mut providers = self.0.iter();
        let found = providers.find(|provider| provider.kind() == kind);
        found
            .map(|provider| &**provider)
            .ok_or_else(|| not_configured(kind))
    }

    /// The OAuth side of the provider of this kind.
    ///
    /// # Errors
    /// [`Refusal::NotConfigured`] where this deployment has no OAuth client there.
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

/// What of a change the provider cannot keep, or would do more than is asked for: the field and the reason. `before` is
/// nothing for a new event.
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

/// What stands in the way of removing an event: the field and the reason.
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
