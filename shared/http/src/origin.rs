//! The origin of a request.

/// The origin of a request, as reported by API Gateway.
#[derive(Clone, Debug, Default)]
pub struct RequestOrigin {
    /// The client's IP address.
    pub ip: String,
    /// The request id, as in the gateway's access log.
    pub request_id: String,
}
