//! The roles of functions: their dependencies, which determine the environment variables that a function requires.
//!
//! A role requests only its own parts from the setup. A function therefore cannot access anything else, and its
//! environment contains no other settings (`tests/contracts/environment.rs`).

use std::sync::{Arc, Mutex};

use calweave_base::clock::Deadline;
use calweave_base::config::{HttpConfig, PasswordPolicy, Quotas, ScheduleConfig, SyncWindow};
use calweave_calendar::{AccountContext, Context, EventContext, FeedContext, LinkContext};
pub use calweave_http::HandlerState;
use calweave_http::HttpContext;
use calweave_store::Store;
use calweave_store::queue::Queue;
use calweave_sync::{ScheduleContext, SyncContext};
use calweave_vault::Vault;

pub use crate::setup::Role;
use crate::setup::Setup;

impl Role for Context {
    fn build(setup: &mut Setup<'_>) -> Self {
        Self {
            store: setup.store(),
            queue: setup.queue(),
            clock: setup.clock(),
        }
    }
}

impl Role for EventContext {
    fn build(setup: &mut Setup<'_>) -> Self {
        Self {
            context: Context::build(setup),
            window: SyncWindow::read(&mut setup.env),
        }
    }
}

impl Role for FeedContext {
    fn build(setup: &mut Setup<'_>) -> Self {
        Self {
            context: Context::build(setup),
            vault: setup.vault(),
            policy: setup.feed_policy(),
            quotas: Quotas::read(&mut setup.env),
        }
    }
}

impl Role for LinkContext {
    fn build(setup: &mut Setup<'_>) -> Self {
        Self {
            accounts: AccountContext::build(setup),
            quotas: Quotas::read(&mut setup.env),
        }
    }
}

impl Role for AccountContext {
    fn build(setup: &mut Setup<'_>) -> Self {
        Self {
            context: Context::build(setup),
            vault: setup.vault(),
            providers: setup.providers(),
        }
    }
}

impl Role for SyncContext {
    fn build(setup: &mut Setup<'_>) -> Self {
        Self {
            accounts: AccountContext::build(setup),
            window: SyncWindow::read(&mut setup.env),
            policy: setup.feed_policy(),
            quotas: Quotas::read(&mut setup.env),
            deadline: Deadline::Never,
        }
    }
}

impl Role for ScheduleContext {
    fn build(setup: &mut Setup<'_>) -> Self {
        Self {
            context: Context::build(setup),
            config: ScheduleConfig::read(&mut setup.env),
        }
    }
}

/// The dependencies of the account endpoints: signing up and in, and closing an account.
#[derive(Clone)]
pub struct IdentityContext {
    /// Tables, queue, clock, vault and providers.
    pub accounts: AccountContext,
    /// Requirements for passwords.
    pub passwords: PasswordPolicy,
    /// What one user may use.
    pub quotas: Quotas,
}

impl std::ops::Deref for IdentityContext {
    type Target = AccountContext;

    fn deref(&self) -> &AccountContext {
        &self.accounts
    }
}

impl Role for IdentityContext {
    fn build(setup: &mut Setup<'_>) -> Self {
        Self {
            accounts: AccountContext::build(setup),
            passwords: PasswordPolicy::read(&mut setup.env),
            quotas: Quotas::read(&mut setup.env),
        }
    }
}

/// The dependencies of health checks, which have no authenticated callers.
#[derive(Clone)]
pub struct HealthContext {
    /// The tables.
    pub store: Store,
    /// The vault.
    pub vault: Vault,
    /// The queue.
    pub queue: Queue,
    /// When all dependencies have answered last, in Unix seconds.
    pub last_ready: Arc<Mutex<Option<i64>>>,
}

impl Role for HealthContext {
    const HAS_CALLERS: bool = false;

    fn build(setup: &mut Setup<'_>) -> Self {
        Self {
            store: setup.store(),
            vault: setup.vault(),
            queue: setup.queue(),
            last_ready: Arc::default(),
        }
    }
}

impl<R: Role> Role for HandlerState<R> {
    fn build(setup: &mut Setup<'_>) -> Self {
        let config = if R::HAS_CALLERS {
            HttpConfig::read(&mut setup.env)
        } else {
            HttpConfig::without_callers(&mut setup.env)
        };
        Self {
            http: HttpContext {
                config: Arc::new(config),
                store: setup.store(),
                clock: setup.clock(),
            },
            context: R::build(setup),
        }
    }
}
