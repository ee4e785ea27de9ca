//! Responses that are reduced to the fields that a client asks for.

use std::collections::HashSet;

use serde_json::Value;
use shared::http::{ApiResult, Problem};

use crate::view::EventView;

/// The fields of an event to return. `id` is always one of them.
pub struct Fields(HashSet<String>);

impl Fields {
    /// Reads a list of names that are separated by commas.
    ///
    /// # Errors
    /// When an event has no field of this name.
    pub fn parse(list: &str) -> ApiResult<Self> {
        let names = list.split(',').map(str::trim);
        let names: HashSet<String> = names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            return Err(Problem::field("fields", "must name at least one field"));
        }
        if let Some(unknown) = names.iter().find(|name| !EventView::has_field(name)) {
            let message = format!("an event has no field {unknown:?}");
            return Err(Problem::field("fields", message));
        }
        Ok(Self(names))
    }

    /// Removes the other fields from the events of a page.
    pub fn reduce(&self, mut page: Value) -> Value {
        let events = page.get_mut("events").and_then(Value::as_array_mut);
        for event in events.into_iter().flatten() {
            if let Some(event) = event.as_object_mut() {
                event.retain(|name, _| name == "id" || self.0.contains(name));
            }
        }
        page
    }
}
