//! HTTP as the checks need it: requests without a client library in between, and responses as they
//! came.

use std::fmt;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Method, Url};
use serde_json::Value;

use super::report::Interruption;

/// The timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a throttled request is sent.
const MAX_ATTEMPTS: u32 = 4;
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The number of characters of a response body that are printed.
const SHOWN: usize = 3_000;
/// Fields of a response that are never printed.
const SECRETS: [&str; 3] = ["access_token", "refresh_token", "id_token"];

/// The response to a call, or why there is none.
pub(super) type Reply = Result<Answer, Interruption>;

/// One request.
#[derive(Clone)]
pub(super) struct Call {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    body: Option<String>,
}

impl Call {
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: vec![],
            body: None,
        }
    }

    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    pub fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    pub fn delete(url: Url) -> Self {
        Self::new(Method::DELETE, url)
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds `If-Match`, if there is a version.
    pub fn if_match(self, version: Option<&str>) -> Self {
        match version {
            Some(version) => self.header("if-match", version),
            None => self,
        }
    }

    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string());
        self.header("content-type", "application/json")
    }

    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let mut form = self.url.clone();
        form.set_query(None);
        form.query_pairs_mut().extend_pairs(fields);
        self.body = Some(form.query().unwrap_or_default().to_owned());
        self.header("content-type", "application/x-www-form-urlencoded")
    }
}

/// A response, as it came.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    /// The JSON of the body; null if the body is empty, and a string if it is not JSON.
    pub body: Value,
    /// The `Location` header.
    pub location: Option<String>,
    /// The method and the address of the request.
    request: String,
    retry_after: Option<Duration>,
}

impl Answer {
    pub fn is(&self, status: u16) -> bool {
        self.status == status
    }

    /// Returns whether this is an error response with this status and reason.
    pub fn is_refusal(&self, status: u16, reason: &str) -> bool {
        self.status == status && self.reason().eq_ignore_ascii_case(reason)
    }

    /// The machine-readable reason of an error response: of Google (`errors[0].reason`), of Graph
    /// (`code`), or of a token endpoint (`error`).
    pub fn reason(&self) -> &str {
        let error = &self.body["error"];
        let reason = error["errors"][0]["reason"].as_str();
        let reason = reason.or(error["code"].as_str()).or(error.as_str());
        reason.unwrap_or_default()
    }

    /// Returns a string of the body; empty if it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    /// Returns an array of the body; empty if it is missing.
    pub fn list(&self, name: &str) -> &[Value] {
        self.body[name].as_array().map_or(&[], Vec::as_slice)
    }

    /// The same response with another body: what was made of it, to be printed instead.
    pub fn showing(&self, body: Value) -> Self {
        Self {
            body,
            ..self.clone()
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = self.body.clone();
        for name in SECRETS {
            if let Some(secret) = body.get_mut(name) {
                *secret = "(secret)".into();
            }
        }
        let text = body.to_string();
        let shown: String = text.chars().take(SHOWN).collect();
        let rest = if shown.len() < text.len() { " …" } else { "" };
        write!(f, "{} → {} {shown}{rest}", self.request, self.status)
    }
}

/// Sends requests. It does not follow redirects.
pub(super) struct Wire(reqwest::Client);

impl Wire {
    pub fn new() -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("calweave-live-check/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|error| error.to_string())
    }

    /// Sends a request, and returns the response whatever its status. A request that is throttled
    /// is sent again after the time that the response names.
    pub async fn send(&self, call: Call) -> Reply {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let answer = self.send_once(&call).await.map_err(|error| {
                let (method, path) = (&call.method, call.url.path());
                Interruption::NoAnswer(format!("{method} {path}: {}", error.without_url()))
            })?;
            let wait = answer.retry_after.filter(|_| answer.is(429));
            match wait {
                Some(wait) if attempts < MAX_ATTEMPTS && wait <= LONGEST_WAIT => {
                    tokio::time::sleep(wait).await;
                }
                _ => return Ok(answer),
            }
        }
    }

    async fn send_once(&self, call: &Call) -> Result<Answer, reqwest::Error> {
        let mut request = self.0.request(call.method.clone(), call.url.clone());
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        request = match &call.body {
            Some(body) => request.body(body.clone()),
            None if call.method == Method::POST => request.header("content-length", "0"),
            None => request,
        };
        let response = request.send().await?;
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (location, retry_after) = (header("location"), header("retry-after"));
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Ok(Answer {
            status,
            body,
            location,
            request: format!("{} {}", call.method, call.url),
            retry_after: retry_after
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        })
    }
}

/// Returns the address below `base` with these path segments, each escaped by itself.
pub(super) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(segments);
    }
    url
}

/// Returns a JSON object with the fields of another one added.
pub(super) fn with(mut object: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (object.as_object_mut(), more) {
        fields.extend(more);
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(body: Value) -> Answer {
        Answer {
            status: 400,
            body,
            location: None,
            request: "GET http://127.0.0.1/".to_owned(),
            retry_after: None,
        }
    }

    #[test]
    fn the_reason_is_found_in_each_form_of_error() {
        for body in [
            json!({ "error": { "code": 400, "errors": [{ "reason": "invalid" }] } }),
            json!({ "error": { "code": "Invalid" } }),
            json!({ "error": "invalid" }),
        ] {
            assert!(answer(body.clone()).is_refusal(400, "invalid"), "{body}");
        }
    }

    #[test]
    fn tokens_are_not_printed() {
        let shown = answer(json!({ "access_token": "abc", "scope": "s" })).to_string();
        assert!(!shown.contains("abc") && shown.contains("scope"), "{shown}");
    }

    #[test]
    fn path_segments_and_form_fields_are_escaped() {
        let base = Url::parse("http://127.0.0.1/v1.0").unwrap();
        let url = below(&base, &["calendars", "a/b=@c"]);
        assert_eq!(url.path(), "/v1.0/calendars/a%2Fb=@c");
        let call = Call::post(base).form(&[("a", "b&c"), ("d", "e f")]);
        assert_eq!(call.body.unwrap(), "a=b%26c&d=e+f");
    }
}
