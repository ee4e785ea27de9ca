//! The dependencies of the use cases. Each context extends [`Context`] with what its use cases need, so that a function
//! that renews no grants has no client secret, and a function that opens no secrets has no key.

use std::ops::Deref;

use calweave_base::clock::Clock;
use calweave_base::config::{Quotas, SyncWindow};
use calweave_egress::address::EgressPolicy;
use calweave_providers::Providers;
use calweave_store::Store;
use calweave_store::queue::Queue;
use calweave_vault::Vault;

/// The dependencies of every use case: the tables, the queue and the clock.
#[derive(Clone)]
pub struct Context {
    /// The tables.
    pub store: Store,
    /// The queue of background jobs.
    pub queue: Queue,
    /// Source of the current time and of unique ids.
    pub clock: Clock,
}

/// The dependencies of use cases that create events.
#[derive(Clone)]
pub struct EventContext {
    /// The tables, the queue and the clock.
    pub context: Context,
    /// How far back and ahead calendars of accounts are synced.
    pub window: SyncWindow,
}

/// The dependencies of use cases that connect feeds.
#[derive(Clone)]
pub struct FeedContext {
    /// The tables, the queue and the clock.
    pub context: Context,
    /// The vault, which stores feed addresses.
    pub vault: Vault,
    /// The addresses that may be fetched.
    pub policy: EgressPolicy,
    /// What one user may use.
    pub quotas: Quotas,
}

/// The dependencies of use cases that call providers on behalf of an account.
#[derive(Clone)]
pub struct AccountContext {
    /// The tables, the queue and the clock.
    pub context: Context,
    /// The vault, which stores grants.
    pub vault: Vault,
    /// The providers that this deployment is registered with.
    pub providers: Providers,
}

/// The dependencies of use cases that link accounts and connect their calendars.
#[derive(Clone)]
pub struct LinkContext {
    /// Tables, queue, clock, vault and providers.
    pub accounts: AccountContext,
    /// What one user may use.
    pub quotas: Quotas,
}

impl Deref for LinkContext {
    type Target = AccountContext;

    fn deref(&self) -> &AccountContext {
        &self.accounts
    }
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
