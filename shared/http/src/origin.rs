//! Where a request comes from.

/// Where a request came from, as the gateway says it.
#[derive(Clone, Debug, Default)]
pub struct RequestOrigin {
    /// The caller's address.
    pub ip: String,
    /// The request's id, as the gateway's own log has it.
    pub request_id: String,
}
