//! The address of a feed: what may be asked for, and where a request may go.
//!
//! A feed's address comes from a stranger, so it is checked twice: what it says, and what it resolves to. The checked
//! addresses are the ones that are connected to, at each redirect anew (`fetch`), so a name that resolves differently
//! a moment later reaches nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Why a feed's address cannot be used, in words for the person who gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("this is not a web address")]
    Syntax,
    /// Some other scheme than `https`.
    #[error("only https:// and webcal:// addresses can be used")]
    Scheme,
    /// A user name or password stands in it.
    #[error("an address with a user name or password in it cannot be used")]
    Credentials,
    /// Some other port than 443.
    #[error("only the standard port can be used")]
    Port,
    /// A number in place of a name.
    #[error("an address with a number in place of a host name cannot be used")]
    NumericHost,
    /// It leads into a private network.
    #[error("this address leads to a private network")]
    Private,
    /// Longer than 2,048 bytes.
    #[error("this address is too long")]
    TooLong,
}

/// Where feeds may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Whether this very machine may be asked, at any port and over plain HTTP. For development only.
    pub loopback: bool,
}

/// Reads an address as a person gives it: `webcal://` and `webcals://` mean `https://`, a fragment means nothing.
///
/// # Errors
/// [`AddressError`] says what is wrong with it.
pub fn parse(text: &str, policy: EgressPolicy) -> Result<Url, AddressError> {
    let text = text.trim();
    if text.len() > 2048 {
        return Err(AddressError::TooLong);
    }
    let text = match text.split_once("://") {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("webcal") || scheme.eq_ignore_ascii_case("webcals") =>
        {
            // In development a webcal address on this machine is served over plain HTTP.
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

/// Checks what an address says, before anything is resolved.
///
/// # Errors
/// [`AddressError`] says what is wrong with it.
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
    // The URL parser has made 0x7f.1, 0177.0.0.1 and 2130706433 plain IPv4 by now.
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

/// Whether a request may go to this address.
pub fn may_connect(address: IpAddr, policy: EgressPolicy) -> bool {
    if policy.loopback && address.to_canonical().is_loopback() {
        return true;
    }
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// RFC 6890 and its later additions, as a list of what is not the public internet.
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

/// Only global unicast (2000::/3), less what is reserved in it or leads on to IPv4.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let global = a & 0xe000 == 0x2000;
    let reserved =
        (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || a == 0x2002 || (a == 0x3fff && b < 0x1000);
    global && !reserved
}

/// The address as it may be shown: the host, and the end of the path.
pub fn masked(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    let name = url
        .path_segments()
        .and_then(|mut segments| segments.next_back())
        .unwrap_or("");
    // The file name is shown only where it is too plain to be a secret.
    let plain = !name.is_empty()
        && name.len() <= 24
        && name.to_ascii_lowercase().ends_with(".ics")
        && !name.bytes().any(|b| b.is_ascii_digit());
    if plain {
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
        assert_eq!(
            masked(&Url::parse("https://example.org/f/1a2b3c4d.ics").unwrap()),
            "https://example.org/…"
        );
    }
}
