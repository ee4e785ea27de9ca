//! Writes that met a transaction on the same item, and transactions that were throttled. Nothing of them was written, so
//! they are tried again; the SDK leaves that to its callers.

use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::CancellationReason;

/// Tells the SDK which errors are conflicts (Amazon DynamoDB, "Transaction conflict handling").
#[derive(Debug)]
pub(super) struct Conflicts;

impl ClassifyRetry for Conflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else {
            return RetryAction::NoActionIndicated;
        };
        let Some(error) = error.as_operation_error() else {
            return RetryAction::NoActionIndicated;
        };
        let conflict = error.downcast_ref().is_some_and(cancelled_by_others)
            || error
                .downcast_ref()
                .is_some_and(PutItemError::is_transaction_conflict_exception)
            || error
                .downcast_ref()
                .is_some_and(UpdateItemError::is_transaction_conflict_exception)
            || error
                .downcast_ref()
                .is_some_and(DeleteItemError::is_transaction_conflict_exception);
        if conflict {
            RetryAction::transient_error()
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "transaction conflicts"
    }
}

/// Whether only what others do is the reason: a condition that does not hold will not hold the next time either.
fn cancelled_by_others(error: &TransactWriteItemsError) -> bool {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
        return false;
    };
    let mut codes = cancelled
        .cancellation_reasons()
        .iter()
        .filter_map(CancellationReason::code)
        .filter(|code| *code != "None")
        .peekable();
    codes.peek().is_some()
        && codes.all(|code| {
            matches!(
                code,
                "TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded"
            )
        })
}
