//! What the engine holds.

use std::ops::Deref;

use calweave_base::clock::Deadline;
use calweave_base::config::{Quotas, ScheduleConfig, SyncWindow};
use calweave_calendar::{AccountContext, Context};
use calweave_egress::address::EgressPolicy;

/// For syncs: everything that calls providers, and what is read of calendars and feeds.
#[derive(Clone)]
pub struct SyncContext {
    /// Tables, queue, clock, vault and providers.
    pub accounts: AccountContext,
    /// How far back and ahead calendars of accounts are read.
    pub window: SyncWindow,
    /// Which addresses may be fetched.
    pub policy: EgressPolicy,
    /// How much of a calendar is written in one day.
    pub quotas: Quotas,
    /// When the invocation has to come to an end.
    pub deadline: Deadline,
}

impl Deref for SyncContext {
    type Target = AccountContext;

    fn deref(&self) -> &AccountContext {
        &self.accounts
    }
}

/// For the jobs that request what is due.
#[derive(Clone)]
pub struct ScheduleContext {
    /// Tables, queue and clock.
    pub context: Context,
    /// How much one run does.
    pub config: ScheduleConfig,
}

impl Deref for ScheduleContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.context
    }
}
