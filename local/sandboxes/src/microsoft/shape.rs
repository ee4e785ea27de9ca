//! `$select` and `$expand`: which properties a response contains.
//!
//! Graph returns only what a request selects. Some properties are never returned unless they are
//! selected (microsoft-graph-docs#5524, #9887).

use serde_json::Value;

/// Properties of an event that a response contains only if the request selects them.
const ON_REQUEST: [&str; 3] = ["originalStart", "occurrenceId", "cancelledOccurrences"];

/// Parses the `$select` option; `None` without one.
pub(super) fn selection(query: &[(String, String)]) -> Option<Vec<String>> {
    parameter(query, "$select").map(names)
}

/// Returns whether the request expands a navigation property.
pub(super) fn expands(query: &[(String, String)], name: &str) -> bool {
    parameter(query, "$expand").is_some_and(|text| {
        text == name
            || text
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('('))
    })
}

/// Reduces a response to what the request selects: the entity, the entities of its `value`, and
/// those that are expanded.
pub(super) fn apply(answer: &mut Value, query: &[(String, String)]) {
    let selection = selection(query);
    let selection = selection.as_deref();
    if let Some(values) = answer.get_mut("value").and_then(Value::as_array_mut) {
        for value in values {
            retain(value, selection);
        }
        return;
    }
    // Without a selection of their own, expanded entities have the properties of the outer one.
    let nested = parameter(query, "$expand").and_then(nested);
    let nested = nested.as_deref().or(selection);
    let fields = answer.as_object_mut();
    let mut expanded = fields.and_then(|fields| fields.remove("exceptionOccurrences"));
    for one in expanded
        .iter_mut()
        .filter_map(Value::as_array_mut)
        .flatten()
    {
        retain(one, nested);
    }
    retain(answer, selection);
    if let Some(expanded) = expanded {
        answer["exceptionOccurrences"] = expanded;
    }
}

fn retain(value: &mut Value, selection: Option<&[String]>) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    fields.retain(|name, _| match selection {
        Some(wanted) => name == "id" || name.starts_with('@') || wanted.contains(name),
        None => !ON_REQUEST.contains(&name.as_str()),
    });
}

/// Parses `exceptionOccurrences($select=subject,start)`.
fn nested(expand: &str) -> Option<Vec<String>> {
    let (_, options) = expand.split_once('(')?;
    let (_, list) = options.trim_end_matches(')').split_once("$select=")?;
    list.split(';').next().map(names)
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_owned()).collect()
}

fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = query.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shaped(mut answer: Value, query: &[(&str, &str)]) -> Value {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        apply(&mut answer, &query.iter().map(owned).collect::<Vec<_>>());
        answer
    }

    #[test]
    fn only_what_is_selected_is_returned() {
        let event = json!({ "@odata.etag": "1", "id": "a", "subject": "A", "originalStart": "x" });
        assert_eq!(
            shaped(event.clone(), &[]),
            json!({ "@odata.etag": "1", "id": "a", "subject": "A" })
        );
        assert_eq!(
            shaped(event.clone(), &[("$select", "originalStart")]),
            json!({ "@odata.etag": "1", "id": "a", "originalStart": "x" })
        );
        let list = json!({ "@odata.nextLink": "l", "value": [event] });
        assert_eq!(
            shaped(list, &[("$select", "subject")])["value"],
            json!([{ "@odata.etag": "1", "id": "a", "subject": "A" }])
        );
    }

    #[test]
    fn expanded_entities_have_their_own_selection() {
        let series = json!({ "id": "s", "subject": "S", "exceptionOccurrences": [{ "id": "e", "subject": "E", "originalStart": "x" }] });
        let expand = [
            ("$select", "subject"),
            ("$expand", "exceptionOccurrences($select=originalStart)"),
        ];
        assert_eq!(
            shaped(series.clone(), &expand),
            json!({ "id": "s", "subject": "S", "exceptionOccurrences": [{ "id": "e", "originalStart": "x" }] })
        );
        assert_eq!(
            shaped(
                series,
                &[("$select", "subject"), ("$expand", "exceptionOccurrences")]
            )["exceptionOccurrences"],
            json!([{ "id": "e", "subject": "E" }])
        );
    }
}
