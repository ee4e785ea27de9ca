//! Reads `template.yaml`, as far as the local stack follows it: functions, routes, schedules, tables, queue, variables.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml_ng::Value;
use serde_yaml_ng::value::TaggedValue;

/// What the template says.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// All functions, by the name of their binary.
    pub functions: BTreeMap<String, Function>,
    /// All tables, by logical name.
    pub tables: BTreeMap<String, TableSchema>,
    /// Environment variables that all functions are given, with references still open.
    pub variables: BTreeMap<String, Value>,
    /// Defaults of parameters.
    pub parameters: BTreeMap<String, String>,
}

/// One Lambda.
#[derive(Clone, Debug, Default)]
pub struct Function {
    /// Method and path of each route.
    pub routes: Vec<(String, String)>,
    /// Whether the queue starts it.
    pub on_queue: bool,
    /// Seconds between scheduled runs.
    pub every: Option<u64>,
    /// Environment variables of its own, with references still open.
    pub variables: BTreeMap<String, Value>,
}

/// One DynamoDB table, with string keys throughout.
#[derive(Clone, Debug, Default)]
pub struct TableSchema {
    /// Partition and sort key.
    pub key: Vec<String>,
    /// Indexes: name, partition key, sort key, projection.
    pub indexes: Vec<(String, Vec<String>, String)>,
}

/// The template cannot be followed.
#[derive(Debug, thiserror::Error)]
#[error("the template cannot be followed: {0}")]
pub struct BadTemplate(String);

impl Template {
    /// The template that this build was made with.
    ///
    /// # Errors
    /// As for [`Self::parse`]; the contract tests hold that it is sound.
    pub fn bundled() -> Result<Self, BadTemplate> {
        Self::parse(crate::TEMPLATE)
    }

    /// Reads a template.
    ///
    /// # Errors
    /// [`BadTemplate`] says what is missing or wrong.
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

    /// All environment variables that functions are given, with references answered by `resource` (a logical name) or by a
    /// parameter's default. `secret` stands for what AWS would read from Secrets Manager.
    ///
    /// # Errors
    /// When something is referred to that is not in the template.
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
            let unknown = || BadTemplate(format!("cannot tell the value of {name}"));
            let value = self.resolve(value, resource, secret).ok_or_else(unknown)?;
            Ok((name.clone(), value))
        });
        resolved.collect()
    }

    /// The names of the variables that a function is given.
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
                // Locally every parameter has its default, and each condition asks whether one was given.
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
            _ => return Err(wrong("is of a type that the local stack does not know")),
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
