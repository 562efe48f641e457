//! Numbers as they go out, no longer than anybody reads; and objects that are put together.

use serde_json::{Value, json};

/// Four digits that count; what is no number is nothing.
pub(super) fn rounded(number: f64) -> Value {
    if !number.is_finite() {
        return Value::Null;
    }
    if number == 0.0 {
        return json!(0);
    }
    let digits = 3 - number.abs().log10().floor() as i32;
    if digits <= 0 {
        return json!(number.round() as i64);
    }
    let scale = 10_f64.powi(digits.min(12));
    json!((number * scale).round() / scale)
}

/// Nanoseconds as milliseconds.
pub(super) fn milliseconds(nanoseconds: u64) -> Value {
    rounded(nanoseconds as f64 / 1e6)
}

/// A part of the whole, between 0 and 1.
pub(super) fn share(part: u64, whole: u64) -> Value {
    rounded(if whole == 0 { 0.0 } else { part as f64 / whole as f64 })
}

/// An object with the members of another one besides.
pub(super) fn with(mut object: Value, more: Value) -> Value {
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_are_left() {
        let cases = [
            (0.0, "0"),
            (0.000_123_456, "0.0001235"),
            (1.0, "1.0"),
            (12.345_678, "12.35"),
            (98_765.4, "98765"),
            (-0.5, "-0.5"),
            (f64::NAN, "null"),
            (f64::INFINITY, "null"),
        ];
        for (number, text) in cases {
            assert_eq!(rounded(number).to_string(), text);
        }
        assert_eq!(milliseconds(1_234_567).to_string(), "1.235");
        assert_eq!(share(1, 0).to_string(), "0");
        assert_eq!(share(1, 3).to_string(), "0.3333");
    }
}
