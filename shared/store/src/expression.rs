//! Builder for DynamoDB update expressions.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;

/// The `SET` and `REMOVE` clauses of an update. Attribute names are placeholders, so reserved words are allowed.
#[derive(Default)]
pub(super) struct UpdateExpression {
    sets: Vec<String>,
    removes: Vec<String>,
    names: Vec<&'static str>,
    values: Vec<(&'static str, AttributeValue)>,
}

impl UpdateExpression {
    /// Sets an attribute.
    pub fn set(&mut self, name: &'static str, value: AttributeValue) -> &mut Self {
        self.sets.push(format!("#{name} = :{name}"));
        self.names.push(name);
        self.values.push((name, value));
        self
    }

    /// Sets an attribute to the value of another attribute.
    pub fn copy(&mut self, name: &'static str, from: &'static str) -> &mut Self {
        self.sets.push(format!("#{name} = #{from}"));
        self.names.extend([name, from]);
        self
    }

    /// Removes an attribute.
    pub fn remove(&mut self, name: &'static str) -> &mut Self {
        self.removes.push(format!("#{name}"));
        self.names.push(name);
        self
    }

    /// Returns whether the update has no clauses.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty() && self.removes.is_empty()
    }

    /// Adds the expression, its names and its values to a request.
    pub fn apply(self, mut request: UpdateItemFluentBuilder) -> UpdateItemFluentBuilder {
        for name in self.names {
            request = request.expression_attribute_names(format!("#{name}"), name);
        }
        for (name, value) in self.values {
            request = request.expression_attribute_values(format!(":{name}"), value);
        }
        let clauses = [("SET", self.sets), ("REMOVE", self.removes)];
        let clauses: Vec<String> = clauses
            .into_iter()
            .filter(|(_, parts)| !parts.is_empty())
            .map(|(clause, parts)| format!("{clause} {}", parts.join(", ")))
            .collect();
        request.update_expression(clauses.join(" "))
    }
}
