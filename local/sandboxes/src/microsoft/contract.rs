//! Checks requests and responses of the sandbox against Microsoft's TypeScript types
//! (<https://www.npmjs.com/package/@microsoft/microsoft-graph-types>).

use std::collections::BTreeMap;

use serde_json::Value;

/// The interfaces and the named string unions of a type file.
#[derive(Debug, Default)]
pub struct GraphContract {
    interfaces: BTreeMap<String, Interface>,
    /// The allowed values, by type name.
    unions: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Default)]
struct Interface {
    base: Option<String>,
    fields: BTreeMap<String, String>,
}

impl GraphContract {
    /// Parses a type file: the subset of TypeScript that the calendar types use.
    pub fn parse(text: &str) -> Self {
        let mut contract = Self::default();
        let mut within: Option<String> = None;
        let mut union: Option<(String, String)> = None;
        let mut comment = false;
        for line in text.lines().map(str::trim) {
            if comment || line.starts_with("/*") {
                comment = !line.contains("*/");
                continue;
            }
            if line.starts_with("//") {
                continue;
            }
            if let Some((name, mut members)) = union.take() {
                members.push_str(line);
                contract.end_union(&mut union, name, members);
            } else if let Some(head) = line.strip_prefix("export interface ") {
                let head = head.trim_end_matches(['{', '}', ' ']);
                let (name, base) = head
                    .split_once(" extends ")
                    .map_or((head, None), |(name, base)| {
                        (name, Some(base.trim().to_owned()))
                    });
                contract.interfaces.insert(
                    name.trim().to_owned(),
                    Interface {
                        base,
                        fields: BTreeMap::new(),
                    },
                );
                within = (!line.ends_with('}')).then(|| name.trim().to_owned());
            } else if let Some((name, members)) = line
                .strip_prefix("export type ")
                .and_then(|line| line.split_once('='))
            {
                contract.end_union(&mut union, name.trim().to_owned(), members.to_owned());
            } else if line == "}" {
                within = None;
            } else if let (Some(interface), Some((name, kind))) = (&within, line.split_once(':')) {
                let field = (
                    name.trim_end_matches('?').to_owned(),
                    kind.trim().trim_end_matches(';').to_owned(),
                );
                contract
                    .interfaces
                    .entry(interface.clone())
                    .or_default()
                    .fields
                    .extend([field]);
            }
        }
        contract
    }

    fn end_union(&mut self, open: &mut Option<(String, String)>, name: String, members: String) {
        if !members.contains(';') {
            *open = Some((name, members));
            return;
        }
        let texts: Vec<String> = members
            .split('"')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        if !texts.is_empty() {
            self.unions.insert(name, texts);
        }
    }

    fn field(&self, interface: &str, name: &str) -> Option<&str> {
        // The reference documents it (event-get, example 3); the type file does not contain it.
        if (interface, name) == ("Event", "occurrenceId") {
            return Some("string");
        }
        // The base of all entities may be missing from the file; its only property is `id`.
        let Some(found) = self.interfaces.get(interface) else {
            return (name == "id").then_some("string");
        };
        found
            .fields
            .get(name)
            .map(String::as_str)
            .or_else(|| self.field(found.base.as_deref()?, name))
    }

    /// Returns the violations of a value that should be of this type. The list is empty if it
    /// conforms.
    pub fn check(&self, kind: &str, value: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        self.look(kind, value, kind, &mut wrong);
        wrong
    }

    fn look(&self, kind: &str, value: &Value, at: &str, wrong: &mut Vec<String>) {
        if let Some(inner) = kind
            .strip_prefix("NullableOption<")
            .and_then(|kind| kind.strip_suffix('>'))
        {
            if !value.is_null() {
                self.look(inner, value, at, wrong);
            }
            return;
        }
        if let Some(inner) = kind.strip_suffix("[]") {
            match value.as_array() {
                Some(values) => {
                    for (index, value) in values.iter().enumerate() {
                        self.look(inner, value, &format!("{at}[{index}]"), wrong);
                    }
                }
                None => wrong.push(format!("{at} is {value}, which is not a list")),
            }
            return;
        }
        let sound = match kind {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            named => match (self.unions.get(named), self.interfaces.contains_key(named)) {
                (Some(texts), _) => value
                    .as_str()
                    .is_some_and(|text| texts.iter().any(|known| known == text)),
                (None, true) => match value.as_object() {
                    Some(fields) => {
                        for (name, value) in fields.iter().filter(|(name, _)| !name.contains('@')) {
                            match self.field(named, name) {
                                Some(kind) => {
                                    self.look(kind, value, &format!("{at}.{name}"), wrong);
                                }
                                None => wrong.push(format!(
                                    "{at}.{name} is not a field of Microsoft's types"
                                )),
                            }
                        }
                        true
                    }
                    None => false,
                },
                // A type that the file does not define.
                (None, false) => true,
            },
        };
        if !sound {
            wrong.push(format!("{at} is {value}, which is not a {kind}"));
        }
    }
}
