//! Why a sync stops before it is finished.

use calweave_calendar::BackendError;
use calweave_providers::ProviderError;
use calweave_store::leases::Lease;
use calweave_store::{StoreError, WriteOutcome};
use chrono::TimeDelta;

use super::SyncError;
use crate::SyncContext;

/// Why a sync stops before it is finished.
#[derive(Debug)]
pub(super) enum SyncStop {
    /// The provider failed. The failure is recorded with the calendar.
    Provider(ProviderError),
    /// The provider must not be called now. The sync is tried again after this long.
    Later(TimeDelta),
    /// A backend failed. The message is received again.
    Backend(SyncError),
}

pub(super) type SyncResult<T> = Result<T, SyncStop>;

impl From<ProviderError> for SyncStop {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

impl From<SyncError> for SyncStop {
    fn from(error: SyncError) -> Self {
        Self::Backend(error)
    }
}

impl From<StoreError> for SyncStop {
    fn from(error: StoreError) -> Self {
        Self::Backend(error.into())
    }
}

impl From<BackendError> for SyncStop {
    fn from(error: BackendError) -> Self {
        Self::Backend(error.into())
    }
}

/// Renews the lease when it is due, or stops the sync where another worker has taken it.
pub(super) async fn renew_lease(context: &SyncContext, lease: &mut Lease) -> SyncResult<()> {
    held(context.store.renew_lease(lease).await?)
}

/// Renews the lease at once, or stops the sync where another worker has taken it.
pub(super) async fn confirm_lease(context: &SyncContext, lease: &mut Lease) -> SyncResult<()> {
    held(context.store.confirm_lease(lease).await?)
}

fn held(outcome: WriteOutcome) -> SyncResult<()> {
    match outcome {
        WriteOutcome::Written => Ok(()),
        WriteOutcome::ConditionFailed => Err(SyncError::LeaseLost.into()),
    }
}
