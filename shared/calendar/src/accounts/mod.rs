//! Accounts with providers: linking an account, choosing its calendars, its access tokens, and revoking its grant.

mod access;
mod choice;
mod claim;
mod link;
mod revocation;
mod selection;

pub use access::{credentials, renew_at, renew_early};
pub use choice::{ChangedChoice, ListedCalendars, choose_calendars, listed_calendars};
pub use link::{
    BegunLink, CONSENT_LIFETIME, CallbackParameters, FinishedLink, LinkFailure, Linked, begin_link,
    configured, finish_link,
};
pub use revocation::{close_channel, revoke, revoke_all};
pub use selection::{OfferedCalendars, SelectedCalendars, offered_calendars, select_calendars};
