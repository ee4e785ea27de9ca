//! What use cases hold. Each context adds to the one below what its use cases need, so that a function which renews no
//! grant has no client secret, and one which opens no secret has no key.

use std::ops::Deref;

use calweave_base::clock::Clock;
use calweave_base::config::SyncWindow;
use calweave_egress::address::EgressPolicy;
use calweave_providers::Providers;
use calweave_store::Store;
use calweave_store::queue::Queue;
use calweave_vault::Vault;

/// The tables, the queue and the clock: what every use case needs.
#[derive(Clone)]
pub struct Context {
    /// The tables.
    pub store: Store,
    /// The queue of sync work.
    pub queue: Queue,
    /// The current time, and unique ids.
    pub clock: Clock,
}

/// For use cases that change events.
#[derive(Clone)]
pub struct EventContext {
    /// The tables, the queue and the clock.
    pub context: Context,
    /// How far back and ahead calendars of accounts are read.
    pub window: SyncWindow,
}

/// For use cases that connect feeds.
#[derive(Clone)]
pub struct FeedContext {
    /// The tables, the queue and the clock.
    pub context: Context,
    /// Where feed addresses are sealed.
    pub vault: Vault,
    /// Which addresses may be fetched.
    pub policy: EgressPolicy,
}

/// For use cases that call providers on behalf of an account.
#[derive(Clone)]
pub struct AccountContext {
    /// The tables, the queue and the clock.
    pub context: Context,
    /// Where grants are sealed.
    pub vault: Vault,
    /// The providers that this deployment is registered with.
    pub providers: Providers,
}

macro_rules! deref_to_context {
    ($($name:ident),+) => {
        $(impl Deref for $name {
            type Target = Context;

            fn deref(&self) -> &Context {
                &self.context
            }
        })+
    };
}

deref_to_context!(EventContext, FeedContext, AccountContext);
