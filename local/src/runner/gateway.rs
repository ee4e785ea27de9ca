//! A local stand-in for the API Gateway HTTP API. It selects the function by the routes of the
//! template, and invokes it with the event (payload format 2.0) that API Gateway sends to Lambda.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::in_process::InProcess;

use super::functions::run_as;

/// The maximum size of a request body at API Gateway, in bytes.
const MAX_BODY: usize = 10 << 20;
/// The maximum size of the request line and headers at API Gateway, in bytes.
const MAX_HEADERS: usize = 10_240;

/// The gateway: the routes of the template and their functions.
pub struct Gateway {
    routes: Vec<Route>,
    functions: BTreeMap<String, InProcess>,
    clock: Clock,
    requests: AtomicU64,
    demo_feed: &'static str,
}

struct Route {
    method: String,
    segments: Vec<String>,
    function: String,
}

/// The path of the bundled feed. It is not part of the API.
pub const DEMO_PATH: &str = "/local/demo.ics";

impl Gateway {
    /// Creates a gateway. Each route is a method, a path and the name of a function.
    pub fn new(
        routes: impl Iterator<Item = (String, String, String)>,
        functions: BTreeMap<String, InProcess>,
        clock: Clock,
        demo_feed: &'static str,
    ) -> Self {
        let mut routes: Vec<Route> = routes
            .map(|(method, path, function)| Route {
                method,
                segments: path.split('/').map(str::to_owned).collect(),
                function,
            })
            .collect();
        // Most specific route first: literal segments before `{id}`, and `{proxy+}` last.
        routes.sort_by_cached_key(|route| {
            route
                .segments
                .iter()
                .map(|segment| weight(segment))
                .collect::<Vec<_>>()
        });
        Self {
            routes,
            functions,
            clock,
            requests: AtomicU64::new(1),
            demo_feed,
        }
    }

    fn find(&self, method: &str, path: &str) -> Option<(&Route, Value)> {
        let segments: Vec<&str> = path.split('/').collect();
        self.routes
            .iter()
            .filter(|route| route.method == method || route.method == "ANY")
            .find_map(|route| Some((route, route.parameters(&segments)?)))
    }
}

fn weight(segment: &str) -> u8 {
    match segment {
        proxy if proxy.ends_with("+}") => 2,
        parameter if parameter.starts_with('{') => 1,
        _ => 0,
    }
}

impl Route {
    fn parameters(&self, path: &[&str]) -> Option<Value> {
        let mut parameters = serde_json::Map::new();
        for (index, segment) in self.segments.iter().enumerate() {
            let name = segment
                .trim_start_matches('{')
                .trim_end_matches('}')
                .trim_end_matches('+');
            match weight(segment) {
                2 if path.len() > index => {
                    parameters.insert(name.to_owned(), path[index..].join("/").into());
                    return Some(parameters.into());
                }
                1 if path.get(index).is_some_and(|value| !value.is_empty()) => {
                    parameters.insert(name.to_owned(), path[index].into());
                }
                0 if path.get(index) == Some(&segment.as_str()) => {}
                _ => return None,
            }
        }
        (path.len() == self.segments.len()).then_some(parameters.into())
    }
}

impl Gateway {
    /// Converts a request to API Gateway's event (payload format 2.0).
    fn event(
        &self,
        parts: &Parts,
        route: &Route,
        parameters: Value,
        body: &[u8],
        peer: SocketAddr,
    ) -> Value {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let path = parts.uri.path();
        let agent = parts.headers.get(header::USER_AGENT);
        let agent = agent.and_then(|value| value.to_str().ok()).unwrap_or("");
        let route_key = format!("{} {}", route.method, route.segments.join("/"));
        let (text, encoded) = match std::str::from_utf8(body) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (BASE64_STANDARD.encode(body), true),
        };
        json!({
            "version": "2.0",
            "routeKey": route_key,
            "rawPath": path,
            "rawQueryString": parts.uri.query().unwrap_or(""),
            "cookies": cookies(&parts.headers),
            "headers": headers(&parts.headers),
            "pathParameters": parameters,
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "local",
                "domainName": "127.0.0.1",
                "domainPrefix": "local",
                "http": {
                    "method": parts.method.as_str(),
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": peer.ip().to_string(),
                    "userAgent": agent,
                },
                "requestId": format!("local-{:x}-{number}", now.timestamp_millis()),
                "routeKey": route_key,
                "stage": "$default",
                "time": now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                "timeEpoch": now.timestamp_millis(),
            },
            "body": if text.is_empty() { Value::Null } else { text.into() },
            "isBase64Encoded": encoded,
        })
    }
}

/// Handles one request: the demo page, the bundled feed, or a route of the template.
pub async fn handle(
    State(gateway): State<Arc<Gateway>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if path == crate::demo::PATH {
        let page = crate::demo::PAGE
            .replace("{{EMAIL}}", crate::demo::EMAIL)
            .replace("{{PASSWORD}}", crate::demo::PASSWORD);
        // The page has its script and style in itself, and calls the API only.
        let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";
        let headers = [
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        return (headers, axum::response::Html(page)).into_response();
    }
    if path == DEMO_PATH {
        return (
            [(header::CONTENT_TYPE, "text/calendar; charset=utf-8")],
            gateway.demo_feed,
        )
            .into_response();
    }
    let size: usize = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if size + path.len() + parts.uri.query().map_or(0, str::len) > MAX_HEADERS {
        return message(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "Request Header Fields Too Large",
        );
    }
    let Some((route, parameters)) = gateway.find(parts.method.as_str(), &path) else {
        return message(StatusCode::NOT_FOUND, "Not Found");
    };
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let event = gateway.event(&parts, route, parameters, &body.to_bytes(), peer);
    let Some(function) = gateway.functions.get(&route.function) else {
        return message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
    };
    match run_as(&route.function, function.invoke(event)).await {
        Ok(answer) => respond(&answer),
        Err(error) => {
            tracing::error!(
                "the function {} failed to handle the event: {error}",
                route.function
            );
            message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
    }
}

/// Returns the headers with lower-case names, without cookies. Repeated headers are joined with
/// commas, as API Gateway does.
fn headers(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| *name != header::COOKIE) {
        let value = String::from_utf8_lossy(value.as_bytes());
        joined
            .entry(name.to_string())
            .and_modify(|all| *all = format!("{all},{value}"))
            .or_insert_with(|| value.into_owned());
    }
    joined
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let all = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .map(|cookie| cookie.trim().to_owned())
        .collect()
}

fn respond(answer: &Value) -> Response {
    let status = answer["statusCode"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok());
    let body = answer["body"].as_str().unwrap_or("");
    let body = if answer["isBase64Encoded"] == true {
        BASE64_STANDARD.decode(body).unwrap_or_default()
    } else {
        body.as_bytes().to_vec()
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = answer["headers"].as_object().into_iter().flatten();
    for (name, value) in headers {
        let name = HeaderName::try_from(name.as_str());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value.as_str().unwrap_or("")))
            && name != header::CONTENT_LENGTH
        {
            response.headers_mut().insert(name, value);
        }
    }
    for cookie in answer["cookies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if let Ok(cookie) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({ "message": text }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_route_wins() {
        let routes = [
            ("GET", "/a/{id}"),
            ("GET", "/a/stats"),
            ("OPTIONS", "/{proxy+}"),
            ("GET", "/a/{id}/b"),
        ];
        let routes =
            routes.map(|(method, path)| (method.to_owned(), path.to_owned(), path.to_owned()));
        let gateway = Gateway::new(routes.into_iter(), BTreeMap::new(), Clock::System, "");
        let found = |method: &str, path: &str| {
            gateway
                .find(method, path)
                .map(|(route, parameters)| (route.function.clone(), parameters))
        };
        assert_eq!(
            found("GET", "/a/stats"),
            Some(("/a/stats".into(), json!({})))
        );
        assert_eq!(
            found("GET", "/a/7"),
            Some(("/a/{id}".into(), json!({ "id": "7" })))
        );
        assert_eq!(
            found("OPTIONS", "/a/7"),
            Some(("/{proxy+}".into(), json!({ "proxy": "a/7" })))
        );
        assert_eq!(found("GET", "/a/"), None);
        assert_eq!(found("POST", "/a/7"), None);
    }
}
