//! Checks requests and responses of the sandbox against Google's discovery document
//! (<https://developers.google.com/discovery/v1/reference/apis>).

use chrono::{DateTime, NaiveDate};
use serde_json::{Map, Value};

/// The methods and schemas of one API.
#[derive(Debug)]
pub struct GoogleContract {
    document: Value,
}

/// One method, such as `calendar.events.list`.
#[derive(Clone, Copy, Debug)]
pub struct Method<'a>(&'a Value);

impl<'a> Method<'a> {
    /// The method's id, such as `calendar.events.list`.
    pub fn id(self) -> &'a str {
        self.0["id"].as_str().unwrap_or_default()
    }

    /// Returns whether a token with these scopes may call it: any scope of the method suffices.
    pub fn allows(self, scopes: &str) -> bool {
        let wanted = self.0["scopes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        wanted
            .into_iter()
            .any(|wanted| scopes.split(' ').any(|scope| scope == wanted))
    }
}

impl GoogleContract {
    /// Parses a discovery document.
    ///
    /// # Errors
    /// Returns an error if the text is not valid JSON.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        Ok(Self {
            document: serde_json::from_str(text)?,
        })
    }

    /// Returns the method of this verb and path; the path is relative to the service path, such as
    /// `calendars/primary/events`.
    pub fn method(&self, verb: &str, path: &str) -> Option<Method<'_>> {
        let asked: Vec<&str> = path.split('/').collect();
        let fits = |method: &&Value| {
            let path: Vec<&str> = method["path"]
                .as_str()
                .unwrap_or_default()
                .split('/')
                .collect();
            let part = |(wanted, asked): (&&str, &&str)| {
                wanted == asked || wanted.starts_with('{') && !asked.is_empty()
            };
            method["httpMethod"] == verb
                && path.len() == asked.len()
                && path.iter().zip(&asked).all(part)
        };
        // Prefers literal segments to variables: `events/import` is a method, not an event's id.
        let variables = |method: &&Value| {
            method["path"]
                .as_str()
                .map_or(0, |path| path.matches('{').count())
        };
        let resources = self.document["resources"].as_object()?;
        let methods = resources
            .values()
            .filter_map(|resource| resource["methods"].as_object())
            .flat_map(Map::values);
        methods.filter(fits).min_by_key(variables).map(Method)
    }

    /// Returns the violations of a request. The list is empty if the request conforms.
    pub fn request(
        &self,
        method: Method<'_>,
        query: &[(String, String)],
        body: Option<&Value>,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, value) in query {
            let parameter = [
                &method.0["parameters"][name],
                &self.document["parameters"][name],
            ]
            .into_iter()
            .find(|found| found.is_object());
            match parameter {
                None => wrong.push(format!("{} has no parameter {name}", method.id())),
                Some(parameter) => {
                    let repeated = query.iter().filter(|(other, _)| other == name).count() > 1;
                    if repeated && parameter["repeated"] != true {
                        wrong.push(format!("the parameter {name} is repeated"));
                    }
                    let value = match parameter["type"].as_str() {
                        Some("integer") => value
                            .parse::<i64>()
                            .map_or(Value::from(value.as_str()), Value::from),
                        Some("boolean") => value
                            .parse::<bool>()
                            .map_or(Value::from(value.as_str()), Value::from),
                        _ => Value::from(value.as_str()),
                    };
                    self.check(parameter, &value, name, method.id(), &mut wrong);
                }
            }
        }
        match (body, method.0.get("request")) {
            (Some(body), Some(schema)) => self.check(schema, body, "body", method.id(), &mut wrong),
            (Some(_), None) => wrong.push(format!("{} takes no body", method.id())),
            (None, Some(_)) => wrong.push(format!("{} requires a body", method.id())),
            (None, None) => {}
        }
        wrong
    }

    /// Returns the violations of a response. The list is empty if the response conforms.
    pub fn answer(&self, method: Method<'_>, body: Option<&Value>) -> Vec<String> {
        let mut wrong = Vec::new();
        match (body, method.0.get("response")) {
            (Some(body), Some(schema)) => self.check(schema, body, "answer", "", &mut wrong),
            (None, Some(_)) => {
                wrong.push(format!("the response of {} must have a body", method.id()));
            }
            (Some(_), None) => wrong.push(format!(
                "the response of {} must not have a body",
                method.id()
            )),
            (None, None) => {}
        }
        wrong
    }

    /// Checks a value against a schema. `method` is the id of the request's method, as some fields
    /// are required by some methods only. It is empty for a response.
    fn check(
        &self,
        schema: &Value,
        value: &Value,
        at: &str,
        method: &str,
        wrong: &mut Vec<String>,
    ) {
        if let Some(name) = schema["$ref"].as_str() {
            return self.check(&self.document["schemas"][name], value, at, method, wrong);
        }
        // In a request, null clears a field.
        if value.is_null() && !method.is_empty() {
            return;
        }
        let sound = match (schema["type"].as_str(), value) {
            (Some("object"), Value::Object(fields)) => {
                self.check_fields(schema, fields, at, method, wrong);
                true
            }
            (Some("array"), Value::Array(values)) => {
                for (index, value) in values.iter().enumerate() {
                    self.check(
                        &schema["items"],
                        value,
                        &format!("{at}[{index}]"),
                        method,
                        wrong,
                    );
                }
                true
            }
            (Some("string"), Value::String(text)) => {
                is_of_format(schema, text) && is_of_enum(schema, text)
            }
            (Some("integer"), Value::Number(number)) => number
                .as_i64()
                .is_some_and(|number| is_within(schema, number)),
            (Some("number"), Value::Number(_))
            | (Some("boolean"), Value::Bool(_))
            | (Some("any"), _) => true,
            _ => false,
        };
        if !sound {
            wrong.push(format!(
                "{at} is {value}, which is not a valid {}",
                schema["format"]
                    .as_str()
                    .or(schema["type"].as_str())
                    .unwrap_or("value")
            ));
        }
    }

    fn check_fields(
        &self,
        schema: &Value,
        fields: &Map<String, Value>,
        at: &str,
        method: &str,
        wrong: &mut Vec<String>,
    ) {
        for (name, value) in fields {
            let place = format!("{at}.{name}");
            match (
                schema["properties"].get(name),
                schema.get("additionalProperties"),
            ) {
                (Some(schema), _) | (None, Some(schema)) => {
                    self.check(schema, value, &place, method, wrong);
                }
                (None, None) => wrong.push(format!("{place} is not a field of Google's schema")),
            }
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let required = property["annotations"]["required"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|other| other == method);
            if required && !fields.contains_key(name) {
                wrong.push(format!("{at} lacks {name}"));
            }
        }
    }
}

fn is_of_format(schema: &Value, text: &str) -> bool {
    match schema["format"].as_str() {
        Some("date") => NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        Some("date-time") => {
            DateTime::parse_from_rfc3339(text).is_ok()
                || chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").is_ok()
        }
        Some("int64") => text.parse::<i64>().is_ok(),
        _ => true,
    }
}

/// Checks a closed `enum`. Most value sets are open: Google lists their values in descriptions, not
/// as an `enum`.
fn is_of_enum(schema: &Value, text: &str) -> bool {
    schema["enum"]
        .as_array()
        .is_none_or(|values| values.iter().any(|value| value == text))
}

fn is_within(schema: &Value, number: i64) -> bool {
    let bound = |name: &str| {
        schema[name]
            .as_str()
            .and_then(|bound| bound.parse::<i64>().ok())
    };
    bound("minimum").is_none_or(|minimum| number >= minimum)
        && bound("maximum").is_none_or(|maximum| number <= maximum)
}
