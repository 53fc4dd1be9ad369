//! What a file says.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _},
    path::PathBuf,
    sync::Arc,
};

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::{
    Origin, Problem, Schema,
    broken::{breaks_structure, broken_at, origin_at},
    nearest::nearest_key,
    problem::Found,
    tree::Tree,
};

/// A configuration is a page or two; a file of more is another file.
const LARGEST: u64 = 1024 * 1024;

/// Reads the file into the tree. Whether all of it could be read: what is missing may only be hidden by what cannot.
pub(super) fn read(path: &Arc<PathBuf>, schema: &Schema, tree: &mut Tree, found: &mut Found) -> bool {
    let whole = Origin::Path(path.clone());
    let bytes = match bytes_of(path) {
        Ok(bytes) => bytes,
        Err(why) => {
            found.push(Problem::new(why).at(whole));
            return false;
        }
    };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let origin = origin_at(path, &good, good.len());
            found.push(Problem::new("the file is no UTF-8 from here on").at(origin));
            return false;
        }
    };
    let (table, broken) = DeTable::parse_recoverable(text);
    let mut file = Reader {
        path,
        text,
        schema,
        tree,
        found: Found::default(),
    };
    file.table("", table.get_ref());
    let mut from_file = file.found;
    let broken: Vec<_> = broken.iter().map(|error| broken_at(path, text, error)).collect();
    if broken.iter().any(|problem| breaks_structure(text, problem)) {
        // Who lost a header takes options for another section's, and blames them.
        from_file.retain(|_| false);
    }
    from_file.retain(|problem| !broken.iter().any(|broken| broken.line() == problem.line()));
    let whole = broken.is_empty();
    for problem in broken {
        found.push(problem);
    }
    found.append(from_file);
    whole
}

fn bytes_of(path: &PathBuf) -> Result<Vec<u8>, String> {
    let why = |error: io::Error| match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "this user may not read the file".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    };
    let about = fs::metadata(path).map_err(why)?;
    if about.is_dir() {
        return Err("this is a directory, and no file".to_owned());
    }
    if !about.is_file() {
        return Err("this is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(why)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(why)?;
    if bytes.len() as u64 > LARGEST {
        return Err("the file is larger than a mebibyte".to_owned());
    }
    Ok(bytes)
}

struct Reader<'a> {
    path: &'a Arc<PathBuf>,
    text: &'a str,
    schema: &'a Schema,
    tree: &'a mut Tree,
    found: Found,
}

impl Reader<'_> {
    fn table(&mut self, section: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let origin = origin_at(self.path, self.text, name.span().start);
            let key = join(section, name.get_ref());
            if let Some(setting) = self.schema.get(&key) {
                let value =
                    value_of(value.get_ref()).and_then(|value| setting.kind.check(value, !setting.secret));
                match value {
                    Ok(value) => self.tree.set(&key, value, origin),
                    Err(why) => {
                        self.found.push(Problem::new(why).at(origin).of(key));
                    }
                }
            } else if self.schema.is_section(&key) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(&key, inner),
                    DeValue::Array(_) => {
                        let why =
                            format!("this is one section of options, and no list of them; write [{key}]");
                        self.found.push(Problem::new(why).at(origin).of(key));
                    }
                    other => {
                        let why = format!("this is a section of options, and no {}", other.type_str());
                        self.found.push(Problem::new(why).at(origin).of(key));
                    }
                }
            } else {
                self.unknown(key, value.get_ref(), origin);
            }
        }
    }

    fn unknown(&mut self, key: String, value: &DeValue<'_>, origin: Origin) {
        let schema = self.schema;
        let sections = schema.sections.iter().map(|section| &*section.key);
        let settings = schema.settings.iter().map(|setting| &*setting.key);
        let DeValue::Table(inner) = value else {
            let problem = Problem::new("there is no such option").nearest(nearest_key(&key, settings));
            self.found.push(problem.at(origin).of(key));
            return;
        };
        let meant = nearest_key(&key, sections);
        let problem = Problem::new("there is no such section").nearest(meant);
        self.found.push(problem.at(origin).of(key));
        if let Some(meant) = meant {
            // What is wrong in it is told, too, and what is in it is not missing.
            self.table(meant, inner);
        }
    }
}

/// A key as the file has it: what holds a dot is quoted, and no section.
fn join(section: &str, name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let name = if bare {
        name.to_owned()
    } else {
        // Whatever it holds: a terminal reads this.
        format!("{:?}", name.chars().take(64).collect::<String>())
    };
    match section {
        "" => name,
        section => format!("{section}.{name}"),
    }
}

fn value_of(value: &DeValue<'_>) -> Result<Value, String> {
    Ok(match value {
        DeValue::String(text) => Value::from(&**text),
        DeValue::Boolean(switch) => Value::from(*switch),
        DeValue::Integer(number) => {
            let (digits, radix) = (number.as_str(), number.radix());
            match (
                u64::from_str_radix(digits, radix),
                i64::from_str_radix(digits, radix),
            ) {
                (Ok(number), _) => Value::from(number),
                (_, Ok(number)) => Value::from(number),
                _ => return Err("it is a number with too many digits".to_owned()),
            }
        }
        DeValue::Float(number) => {
            let number: f64 = number
                .as_str()
                .parse()
                .map_err(|_| "it is no number".to_owned())?;
            let number = serde_json::Number::from_f64(number);
            Value::Number(number.ok_or_else(|| "it is no finite number".to_owned())?)
        }
        DeValue::Datetime(_) => {
            return Err("it is a date, which no option takes; put it in quotes".to_owned());
        }
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| value_of(item.get_ref()))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(entries) => {
            let mut table = Map::new();
            for (name, value) in entries {
                table.insert(name.get_ref().to_string(), value_of(value.get_ref())?);
            }
            Value::Object(table)
        }
    })
}
