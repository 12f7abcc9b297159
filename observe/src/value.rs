//! The value of a figure, whatever its type.

use std::collections::BTreeMap;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// None.
    Nothing,
    /// A whole number.
    Count(u64),
    /// Any number.
    Real(f64),
    /// Words.
    Text(String),
    /// One for each engine, reason or the like.
    Each(Vec<(&'static str, Value)>),
}

impl Value {
    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Count(count) => Some(*count as f64),
            Value::Real(real) => Some(*real),
            Value::Nothing | Value::Text(_) | Value::Each(_) => None,
        }
    }

    /// The words for it; `none` where there is none.
    pub fn text_or(&self, none: &str) -> String {
        match self {
            Value::Nothing => none.to_owned(),
            Value::Count(count) => count.to_string(),
            Value::Real(real) => real.to_string(),
            Value::Text(text) => text.clone(),
            Value::Each(parts) => {
                let parts: Vec<_> = parts.iter().map(|(key, part)| format!("{key}={}", part.text_or(none))).collect();
                parts.join(" ")
            }
        }
    }

    /// The part of this key; nothing where there is none.
    pub fn part(&self, key: &str) -> &Value {
        match self {
            Value::Each(parts) => parts.iter().find(|(name, _)| *name == key).map_or(&Value::Nothing, |(_, part)| part),
            _ => &Value::Nothing,
        }
    }
}

/// A type that a figure's value can have.
pub(crate) trait ToValue {
    /// The value.
    fn to_value(&self) -> Value;
}

impl ToValue for u32 {
    fn to_value(&self) -> Value {
        Value::Count((*self).into())
    }
}

impl ToValue for u64 {
    fn to_value(&self) -> Value {
        Value::Count(*self)
    }
}

impl ToValue for usize {
    fn to_value(&self) -> Value {
        Value::Count(*self as u64)
    }
}

impl ToValue for f64 {
    fn to_value(&self) -> Value {
        Value::Real(*self)
    }
}

impl ToValue for &'static str {
    fn to_value(&self) -> Value {
        Value::Text((*self).to_owned())
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Nothing, T::to_value)
    }
}

impl<T: ToValue> ToValue for BTreeMap<&'static str, T> {
    fn to_value(&self) -> Value {
        Value::Each(self.iter().map(|(key, part)| (*key, part.to_value())).collect())
    }
}
