//! Validation of feed URLs, and of the IP addresses that they resolve to.
//!
//! A feed URL is untrusted input, so two things are checked: the URL itself, and the IP addresses that its host
//! resolves to. Connections go only to the checked IP addresses, and each redirect is checked in the same way
//! (`fetch`). A host name that resolves differently a moment later (DNS rebinding) therefore has no effect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why a feed URL cannot be used. `Display` is a message for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text is not a URL.
    #[error("this is not a web address")]
    Syntax,
    /// The scheme is not `https`.
    #[error("only https:// and webcal:// addresses can be used")]
    Scheme,
    /// The URL contains a user name or password.
    #[error("an address that contains a user name or password cannot be used")]
    Credentials,
    /// The port is not 443.
    #[error("only the standard port can be used")]
    Port,
    /// The host is an IP address instead of a name.
    #[error("the host must be a name, not an IP address")]
    NumericHost,
    /// The host is in a private network, or resolves to one.
    #[error("this address leads to a private network")]
    Private,
    /// Longer than 2,048 bytes.
    #[error("this address is too long")]
    TooLong,
}

/// Which hosts requests may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Whether loopback addresses are allowed, at any port and over plain HTTP. For development only.
    pub loopback: bool,
}

/// Parses a URL as entered by a user: `webcal://` and `webcals://` become `https://`, and a fragment is dropped.
///
/// # Errors
/// [`AddressError`] when the URL cannot be used.
pub fn parse(text: &str, policy: EgressPolicy) -> Result<Url, AddressError> {
    let text = text.trim();
    if text.len() > 2048 {
        return Err(AddressError::TooLong);
    }
    let text = match text.split_once("://") {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("webcal") || scheme.eq_ignore_ascii_case("webcals") =>
        {
            // In development, webcal URLs of loopback hosts are served over plain HTTP.
            let plain = policy.loopback
                && Url::parse(&format!("http://{rest}")).is_ok_and(|url| is_loopback_host(&url));
            format!("{}://{rest}", if plain { "http" } else { "https" })
        }
        _ => text.to_owned(),
    };
    let mut url = Url::parse(&text).map_err(|_| AddressError::Syntax)?;
    url.set_fragment(None);
    check(&url, policy)?;
    Ok(url)
}

/// Checks a URL before its host is resolved.
///
/// # Errors
/// [`AddressError`] when the URL cannot be used.
pub fn check(url: &Url, policy: EgressPolicy) -> Result<(), AddressError> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(AddressError::Credentials);
    }
    if policy.loopback && matches!(url.scheme(), "http" | "https") && is_loopback_host(url) {
        return Ok(());
    }
    if url.scheme() != "https" {
        return Err(AddressError::Scheme);
    }
    if url.port_or_known_default() != Some(443) {
        return Err(AddressError::Port);
    }
    // The URL parser has already converted 0x7f.1, 0177.0.0.1 and 2130706433 to plain IPv4 addresses.
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let inner = [
                "localhost",
                "internal",
                "local",
                "home.arpa",
                "lan",
                "intranet",
            ];
            if name.is_empty()
                || inner
                    .iter()
                    .any(|zone| name == *zone || name.ends_with(&format!(".{zone}")))
            {
                return Err(AddressError::Private);
            }
            Ok(())
        }
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => Err(AddressError::NumericHost),
        None => Err(AddressError::Syntax),
    }
}

fn is_loopback_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Returns whether a request may connect to this IP address.
pub fn may_connect(address: IpAddr, policy: EgressPolicy) -> bool {
    if policy.loopback && address.to_canonical().is_loopback() {
        return true;
    }
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Returns whether the address is outside of the special-purpose ranges of RFC 6890 and its later additions.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

/// Returns whether the address is global unicast (2000::/3), excluding reserved ranges and those that lead to IPv4
/// addresses (Teredo, 6to4).
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global = a & 0xe000 == 0x2000;
    let reserved =
        (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    global && !reserved
}

/// Returns the URL with its secret parts hidden: the scheme, the host and, where it is harmless, the file name.
pub fn masked(url: &Url) -> String {
    const COMMON_NAMES: [&str; 12] = [
        "basic",
        "cal",
        "calendar",
        "events",
        "export",
        "feed",
        "holidays",
        "ical",
        "icalexport",
        "public",
        "schedule",
        "webcal",
    ];
    let host = url.host_str().unwrap_or("");
    let name = url
        .path_segments()
        .and_then(|mut segments| segments.next_back())
        .unwrap_or("");
    // Any other name can be the secret of the address, also one of letters only.
    let stem = name.to_ascii_lowercase();
    let is_common = stem
        .strip_suffix(".ics")
        .is_some_and(|stem| COMMON_NAMES.contains(&stem));
    if is_common {
        format!("{}://{host}/…/{name}", url.scheme())
    } else {
        format!("{}://{host}/…", url.scheme())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: EgressPolicy = EgressPolicy { loopback: false };

    #[test]
    fn feed_address_points_inward() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.254",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!may_connect(address.parse().unwrap(), PUBLIC), "{address}");
        }
        for address in [
            "172.32.0.1",
            "8.8.8.8",
            "100.128.0.1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
        ] {
            assert!(may_connect(address.parse().unwrap(), PUBLIC), "{address}");
        }
    }

    #[test]
    fn an_address_says_what_is_wrong_with_it() {
        for (text, error) in [
            ("calendar", AddressError::Syntax),
            ("file:///etc/passwd", AddressError::Scheme),
            ("ftp://example.org/a.ics", AddressError::Scheme),
            ("javascript:alert(1)", AddressError::Scheme),
            ("http://example.org/a.ics", AddressError::Scheme),
            ("https://user@example.org/a.ics", AddressError::Credentials),
            ("https://example.org:8443/a.ics", AddressError::Port),
            ("https://127.0.0.1/", AddressError::NumericHost),
            ("https://0x7f.1/", AddressError::NumericHost),
            ("https://2130706433/", AddressError::NumericHost),
            ("https://0177.0.0.1/", AddressError::NumericHost),
            ("https://[::ffff:7f00:1]/", AddressError::NumericHost),
            ("https://localhost/", AddressError::Private),
            ("https://metadata.google.internal/", AddressError::Private),
        ] {
            assert_eq!(parse(text, PUBLIC), Err(error), "{text}");
        }
        assert_eq!(
            parse("webcal://example.org/a.ics#x", PUBLIC)
                .unwrap()
                .as_str(),
            "https://example.org/a.ics"
        );
        assert_eq!(
            parse("WEBCALS://example.org/a.ics", PUBLIC)
                .unwrap()
                .scheme(),
            "https"
        );
    }

    #[test]
    fn development_may_ask_this_machine_and_nothing_else() {
        let policy = EgressPolicy { loopback: true };
        assert!(parse("http://127.0.0.1:9000/a.ics", policy).is_ok());
        assert_eq!(
            parse("webcal://localhost:9000/a.ics", policy)
                .unwrap()
                .scheme(),
            "http"
        );
        assert!(parse("http://example.org/a.ics", policy).is_err());
        assert!(!may_connect("10.0.0.1".parse().unwrap(), policy));
    }

    #[test]
    fn a_shown_address_holds_no_secret() {
        let url = Url::parse("https://calendar.google.com/calendar/ical/a%40b/private-0123456789abcdef/basic.ics?key=x").unwrap();
        assert_eq!(masked(&url), "https://calendar.google.com/…/basic.ics");
        for address in [
            "https://example.org/f/1a2b3c4d.ics",
            "https://example.org/f/qhzkwplmtbxa.ics",
            "https://example.org/f/calendar",
        ] {
            let url = Url::parse(address).unwrap();
            assert_eq!(masked(&url), "https://example.org/…");
        }
    }
}
