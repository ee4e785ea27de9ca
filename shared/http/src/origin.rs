//! The origin of a request.

use std::net::IpAddr;

/// The origin of a request, as reported by API Gateway.
#[derive(Clone, Debug, Default)]
pub struct RequestOrigin {
    /// The client's IP address.
    pub ip: String,
    /// The request id, as in the gateway's access log.
    pub request_id: String,
}

impl RequestOrigin {
    /// Returns the network of the client: the first 24 bits of an IPv4 address, 48 of an IPv6 address, which is what one
    /// subscriber commonly has.
    pub fn network(&self) -> String {
        match self.ip.parse() {
            Ok(IpAddr::V4(ip)) => {
                let [a, b, c, _] = ip.octets();
                format!("{a}.{b}.{c}.0/24")
            }
            Ok(IpAddr::V6(ip)) => {
                let [a, b, c, ..] = ip.segments();
                format!("{a:x}:{b:x}:{c:x}::/48")
            }
            Err(_) => "unknown".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_network() {
        for (ip, network) in [
            ("192.0.2.17", "192.0.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("", "unknown"),
        ] {
            let origin = RequestOrigin {
                ip: ip.to_owned(),
                ..RequestOrigin::default()
            };
            assert_eq!(origin.network(), network);
        }
    }
}
