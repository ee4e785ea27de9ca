//! Reads the parts of `template.yaml` that the local stack uses: functions, routes, schedules,
//! tables, the queue and environment variables.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml_ng::Value;
use serde_yaml_ng::value::TaggedValue;

/// The contents of a template.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// The functions, by the name of their binary.
    pub functions: BTreeMap<String, Function>,
    /// The DynamoDB tables, by logical name.
    pub tables: BTreeMap<String, TableSchema>,
    /// The environment variables of all functions. References in the values are not resolved.
    pub variables: BTreeMap<String, Value>,
    /// The default values of the parameters, by name.
    pub parameters: BTreeMap<String, String>,
}

/// A Lambda function.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// The method and path of each route.
    pub routes: Vec<(String, String)>,
    /// Whether it is invoked with the queue's messages.
    pub on_queue: bool,
    /// The interval of its schedule, in seconds. `None` if it has no schedule.
    pub every: Option<u64>,
    /// The environment variables of this function only. References in the values are not resolved.
    pub variables: BTreeMap<String, Value>,
}

/// The schema of a DynamoDB table. All key attributes are strings.
#[derive(Clone, Debug, Default)]
pub struct TableSchema {
    /// The attribute names of the partition key and the sort key.
    pub key: Vec<String>,
    /// The global secondary indexes: name, key attributes (partition key, then sort key), and
    /// projection type.
    pub indexes: Vec<(String, Vec<String>, String)>,
}

/// The template is invalid, or contains something that the local stack does not support.
#[derive(Debug, thiserror::Error)]
#[error("the template cannot be used: {0}")]
pub struct BadTemplate(String);

impl Template {
    /// Parses the template that is compiled into this build.
    ///
    /// # Errors
    /// As for [`Self::parse`]. The contract tests check that this template is valid.
    pub fn bundled() -> Result<Self, BadTemplate> {
        Self::parse(crate::TEMPLATE)
    }

    /// Parses a template.
    ///
    /// # Errors
    /// Returns [`BadTemplate`], whose text names what is missing or invalid.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let root: Value =
            serde_yaml_ng::from_str(text).map_err(|error| BadTemplate(error.to_string()))?;
        let mut template = Self::default();
        for (name, parameter) in entries(&root["Parameters"]) {
            template
                .parameters
                .insert(name, text_of(&parameter["Default"]).unwrap_or_default());
        }
        for (name, value) in entries(&root["Globals"]["Function"]["Environment"]["Variables"]) {
            template.variables.insert(name, value.clone());
        }
        for (name, resource) in entries(&root["Resources"]) {
            let properties = &resource["Properties"];
            match resource["Type"].as_str() {
                Some("AWS::Serverless::Function") => {
                    let binary = text_of(&resource["Metadata"]["BuildProperties"]["Binary"])
                        .ok_or_else(|| BadTemplate(format!("function {name} names no binary")))?;
                    template
                        .functions
                        .insert(binary, function(&name, properties)?);
                }
                Some("AWS::DynamoDB::Table") => {
                    template.tables.insert(name, table(properties));
                }
                _ => {}
            }
        }
        if template.functions.is_empty() {
            return Err(BadTemplate("it has no functions".to_owned()));
        }
        Ok(template)
    }

    /// Returns the environment variables of all functions with their references resolved. A `!Ref`
    /// is resolved by `resource`, which takes a logical name, or else to the parameter's default.
    /// `secret` is the value of references to Secrets Manager.
    ///
    /// # Errors
    /// Returns [`BadTemplate`] if a reference cannot be resolved.
    pub fn environment(
        &self,
        resource: &dyn Fn(&str) -> Option<String>,
        secret: &str,
    ) -> Result<BTreeMap<String, String>, BadTemplate> {
        let own = self
            .functions
            .values()
            .flat_map(|function| &function.variables);
        let resolved = self.variables.iter().chain(own).map(|(name, value)| {
            let unknown = || BadTemplate(format!("cannot resolve the value of {name}"));
            let value = self.resolve(value, resource, secret).ok_or_else(unknown)?;
            Ok((name.clone(), value))
        });
        resolved.collect()
    }

    /// Returns the names of the environment variables of a function.
    pub fn variables_of(&self, function: &str) -> BTreeSet<String> {
        let own = self.functions.get(function).into_iter();
        let own = own.flat_map(|function| function.variables.keys());
        self.variables.keys().chain(own).cloned().collect()
    }

    fn resolve(
        &self,
        value: &Value,
        resource: &dyn Fn(&str) -> Option<String>,
        secret: &str,
    ) -> Option<String> {
        let Value::Tagged(tagged) = value else {
            return text_of(value);
        };
        let TaggedValue { tag, value } = tagged.as_ref();
        match tag.to_string().as_str() {
            "!Ref" => {
                resource(value.as_str()?).or_else(|| self.parameters.get(value.as_str()?).cloned())
            }
            "!Sub" if value.as_str()?.contains("resolve:secretsmanager") => Some(secret.to_owned()),
            "!If" => {
                let branches = value.as_sequence()?;
                // Each condition tests whether a parameter was set. Locally every parameter has its
                // default, so the condition is false.
                self.resolve(branches.get(2)?, resource, secret)
            }
            _ => None,
        }
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (String, &Value)> {
    value
        .as_mapping()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value)))
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn function(name: &str, properties: &Value) -> Result<Function, BadTemplate> {
    let mut function = Function::default();
    for (name, value) in entries(&properties["Environment"]["Variables"]) {
        function.variables.insert(name, value.clone());
    }
    for (event_name, event) in entries(&properties["Events"]) {
        let wrong = |what: &str| BadTemplate(format!("event {event_name} of {name} {what}"));
        let details = &event["Properties"];
        match event["Type"].as_str() {
            Some("HttpApi") => {
                let method = text_of(&details["Method"]).ok_or_else(|| wrong("has no method"))?;
                let path = text_of(&details["Path"]).ok_or_else(|| wrong("has no path"))?;
                function.routes.push((method.to_uppercase(), path));
            }
            Some("SQS") => function.on_queue = true,
            Some("ScheduleV2") => {
                let expression = text_of(&details["ScheduleExpression"]).unwrap_or_default();
                function.every = Some(
                    seconds(&expression)
                        .ok_or_else(|| wrong("has a schedule that is not rate(…)"))?,
                );
            }
            _ => return Err(wrong("is of a type that the local stack does not support")),
        }
    }
    Ok(function)
}

fn seconds(expression: &str) -> Option<u64> {
    let (number, unit) = expression
        .strip_prefix("rate(")?
        .strip_suffix(')')?
        .split_once(' ')?;
    let unit = match unit.trim_end_matches('s') {
        "minute" => 60,
        "hour" => 3600,
        "day" => 86_400,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit)
}

fn table(properties: &Value) -> TableSchema {
    let keys = |schema: &Value| -> Vec<String> {
        schema
            .as_sequence()
            .into_iter()
            .flatten()
            .filter_map(|key| text_of(&key["AttributeName"]))
            .collect()
    };
    let indexes = properties["GlobalSecondaryIndexes"]
        .as_sequence()
        .into_iter()
        .flatten()
        .filter_map(|index| {
            Some((
                text_of(&index["IndexName"])?,
                keys(&index["KeySchema"]),
                text_of(&index["Projection"]["ProjectionType"])?,
            ))
        });
    TableSchema {
        key: keys(&properties["KeySchema"]),
        indexes: indexes.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_followed_is_named() {
        for (text, message) in [
            ("Resources: {", "the template"),
            ("Resources: {}", "it has no functions"),
            (
                "Resources: {A: {Type: 'AWS::Serverless::Function'}}",
                "function A names no binary",
            ),
        ] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
