//! What is written into a file: lines of block YAML, or JSON where the file has brackets.

/// A value in the order in which it is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(u32),
    True,
    False,
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

/// Text that is known when the program is built, or made for the occasion.
pub(super) fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}

pub(super) fn list<const N: usize>(items: [Value; N]) -> Value {
    Value::List(items.into())
}

pub(super) fn map<const N: usize>(entries: [(&'static str, Value); N]) -> Value {
    Value::Map(entries.into())
}

/// How lines begin and end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The column of the first key, or of the dash.
    pub column: usize,
    /// How far the items of a list stand to the right of its key: most files have 0 or 2.
    pub list_indent: usize,
    pub newline: &'static str,
}

impl Layout {
    pub fn at(self, column: usize) -> Layout {
        Layout { column, ..self }
    }

    /// `key: value`, as lines.
    pub fn entry(self, key: &str, value: &Value) -> String {
        let mut lines = String::new();
        self.write_entry(key, value, &mut lines);
        lines
    }

    /// `- value`, as lines.
    pub fn item(self, value: &Value) -> String {
        let mut lines = String::new();
        self.write_item(value, &mut lines);
        lines
    }

    fn write_entry(self, key: &str, value: &Value, out: &mut String) {
        out.push_str(&" ".repeat(self.column));
        out.push_str(&scalar(key));
        out.push(':');
        self.write_value(value, out);
    }

    /// Behind a key.
    fn write_value(self, value: &Value, out: &mut String) {
        match value {
            Value::Map(entries) if !entries.is_empty() => {
                out.push_str(self.newline);
                let inner = self.at(self.column + 2);
                entries.iter().for_each(|(key, value)| inner.write_entry(key, value, out));
            }
            Value::List(items) if !items.is_empty() => {
                out.push_str(self.newline);
                let inner = self.at(self.column + self.list_indent);
                items.iter().for_each(|item| inner.write_item(item, out));
            }
            other => {
                out.push(' ');
                out.push_str(&leaf(other));
                out.push_str(self.newline);
            }
        }
    }

    fn write_item(self, value: &Value, out: &mut String) {
        let mut lines = String::new();
        let inner = self.at(self.column + 2);
        match value {
            Value::Map(entries) if !entries.is_empty() => {
                entries.iter().for_each(|(key, value)| inner.write_entry(key, value, &mut lines));
            }
            other => {
                lines.push_str(&" ".repeat(inner.column));
                lines.push_str(&leaf(other));
                lines.push_str(self.newline);
            }
        }
        out.push_str(&" ".repeat(self.column));
        out.push_str("- ");
        out.push_str(lines.trim_start_matches(' '));
    }
}

/// A value on one line, as block YAML has it.
fn leaf(value: &Value) -> String {
    match value {
        Value::Text(text) => scalar(text),
        other => json(other),
    }
}

/// A value as JSON, which is YAML inside of brackets.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Number(number) => number.to_string(),
        Value::True => "true".to_owned(),
        Value::False => "false".to_owned(),
        Value::List(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), json(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Without quotes only where every reader of YAML, of 1.1 and of 1.2, takes it for a string.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') || text.starts_with("--");
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | ':' | '@');
    if is_quantity(text) {
        return text.to_owned();
    }
    let safe = begins && text.chars().all(plain) && !text.ends_with(':') && text != "---";
    if safe && !WORDS.contains(&text.to_ascii_lowercase().as_str()) { text.to_owned() } else { quoted(text) }
}

/// `50m`, `32Mi`, `30s`: a number to nobody.
fn is_quantity(text: &str) -> bool {
    let number = ["Mi", "m", "s"].iter().find_map(|unit| text.strip_suffix(unit));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_reader_might_take_for_something_else_is_quoted() {
        for plain in ["outrigger:0.1.0", "/etc/outrigger", "--policy", "outrigger.dev/sidecar", "ALL", "30s", "32Mi"] {
            assert_eq!(scalar(plain), plain);
        }
        for other in ["true", "Yes", "4491", "30h", "", "a: b", "a #b", "-x", "1e3", "~", "key:", "---", "*a", "n"] {
            assert_eq!(scalar(other), format!("\"{other}\""));
        }
    }

    #[test]
    fn a_list_stands_as_far_to_the_right_as_the_file_has_it() {
        let value = map([("a", list([map([("b", text("c")), ("d", list([text("e")]))])])), ("f", Value::Number(1))]);
        let layout = Layout { column: 2, list_indent: 0, newline: "\n" };
        assert_eq!(layout.entry("k", &value), "  k:\n    a:\n    - b: c\n      d:\n      - e\n    f: 1\n");
        let layout = Layout { list_indent: 2, ..layout };
        assert_eq!(layout.item(&value), "  - a:\n      - b: c\n        d:\n          - e\n    f: 1\n");
        assert_eq!(json(&value), r#"{"a": [{"b": "c", "d": ["e"]}], "f": 1}"#);
    }
}
