//! From the schema of a type to a flat list of options.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    Period,
    kind::Kind,
    order::Order,
    schema::{Section, Setting},
};

/// The sections and the options of a type, in the order in which a file has them: a section's own options come before
/// those of the sections within it.
pub(super) fn flatten(schema: &Value, defaults: &Value, order: &Order) -> (Vec<Section>, Vec<Setting>) {
    let mut flat = Flat::default();
    flat.section("", schema, defaults, Some(order));
    (flat.sections, flat.settings)
}

#[derive(Default)]
struct Flat {
    sections: Vec<Section>,
    settings: Vec<Setting>,
    flags: BTreeSet<String>,
}

impl Flat {
    fn section(&mut self, path: &str, schema: &Value, defaults: &Value, order: Option<&Order>) {
        let none = Map::new();
        let fields = schema["properties"].as_object().unwrap_or(&none);
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by_key(|(name, _)| order.map_or(usize::MAX, |order| order.position(name)));
        let (sections, settings): (Vec<_>, Vec<_>) = fields
            .into_iter()
            .partition(|(_, schema)| schema["properties"].is_object());
        for (name, schema) in settings {
            let setting = self.setting(join(path, name), schema, &defaults[name]);
            self.settings.push(setting);
        }
        for (name, schema) in sections {
            let key = join(path, name);
            self.sections.push(Section {
                key: key.clone(),
                doc: doc(schema),
            });
            let order = order.and_then(|order| order.of_field(name));
            self.section(&key, schema, &defaults[name], order);
        }
    }

    fn setting(&mut self, key: String, schema: &Value, default: &Value) -> Setting {
        let kind = kind(schema).unwrap_or_else(|| panic!("{key} is nothing that an option can be: {schema}"));
        let marked = |mark: &str| schema[mark] == Value::Bool(true);
        let own = key.replace(['.', '_'], "-");
        let wanted = schema["x-flag"].as_str().unwrap_or(&own).to_owned();
        let flag = if self.flags.contains(&wanted) { own } else { wanted };
        assert!(
            self.flags.insert(flag.clone()),
            "{key} has the flag of another option"
        );
        Setting {
            doc: doc(schema),
            kind,
            default: default.clone(),
            example: schema.get("x-example").cloned(),
            flag,
            value_name: schema["x-value"].as_str().map(str::to_owned),
            shown: marked("x-shown"),
            required: marked("x-required"),
            restart: marked("x-restart"),
            secret: marked("x-secret"),
            key,
        }
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// A doc comment without the ends of its lines.
fn doc(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// What a schema allows.
fn kind(schema: &Value) -> Option<Kind> {
    // An option that may be left out is either its type or null.
    if let Some(either) = schema["anyOf"].as_array() {
        let mut rest = either.iter().filter(|one| one["type"] != "null");
        return rest.next().filter(|_| rest.next().is_none()).and_then(kind);
    }
    if let Some(words) = words(schema) {
        return Some(Kind::Word(words));
    }
    let name = match &schema["type"] {
        Value::String(name) => name,
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null")?,
        _ => return None,
    };
    let period = |bound: &str| {
        schema[bound]
            .as_str()
            .map(|text| text.parse().expect("a bound is a period"))
    };
    Some(match name {
        "boolean" => Kind::Switch,
        "integer" => Kind::Integer {
            least: whole(&schema["minimum"]),
            most: whole(&schema["maximum"]),
        },
        "number" => Kind::Number {
            least: schema["minimum"].as_f64(),
            most: schema["maximum"].as_f64(),
        },
        "string" if schema["format"] == "period" => Kind::Period {
            least: period("x-least") as Option<Period>,
            most: period("x-most"),
        },
        "string" => Kind::Text,
        "array" => Kind::List(Box::new(kind(&schema["items"])?)),
        "object" => Kind::Table(Box::new(kind(&schema["additionalProperties"])?)),
        _ => return None,
    })
}

/// The words of an enum, described or not.
fn words(schema: &Value) -> Option<Vec<String>> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(words) = schema["enum"].as_array() {
        return Some(words.iter().filter_map(word).collect());
    }
    let described = schema["oneOf"].as_array()?;
    let mut words = Vec::new();
    for one in described {
        match one["enum"].as_array() {
            Some(some) => words.extend(some.iter().filter_map(word)),
            None => words.push(word(&one["const"])?),
        }
    }
    Some(words)
}

fn whole(bound: &Value) -> Option<i128> {
    let integer = bound.as_i64().map(i128::from).or(bound.as_u64().map(i128::from));
    #[expect(clippy::cast_possible_truncation, reason = "bounds of a type's own are whole")]
    integer.or(bound.as_f64().map(|bound| bound as i128))
}
