//! The limits of extended properties
//! (<https://developers.google.com/calendar/api/guides/extended-properties>).

use serde_json::{Map, Value};

/// The longest key, in characters.
const KEY: usize = 44;
/// The longest value, in characters.
const VALUE: usize = 1024;

/// Leaves out properties whose keys are too long, and cuts values that are too long. Google does
/// not report either.
pub(super) fn limit(event: &mut Map<String, Value>) {
    let all = event.get_mut("extendedProperties");
    let all = all.and_then(Value::as_object_mut);
    let kinds = all.into_iter().flat_map(Map::values_mut);
    for properties in kinds.filter_map(Value::as_object_mut) {
        properties.retain(|key, _| key.chars().count() <= KEY);
        for value in properties.values_mut() {
            let long = value.as_str().filter(|text| text.chars().count() > VALUE);
            let cut: Option<String> = long.map(|text| text.chars().take(VALUE).collect());
            if let Some(cut) = cut {
                *value = cut.into();
            }
        }
    }
}
