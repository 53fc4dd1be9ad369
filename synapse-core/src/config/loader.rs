//! From a file, the environment and flags to a configuration.

use std::{ffi::OsString, fmt, marker::PhantomData, path::PathBuf, sync::Arc};

use serde_json::Value;

use super::{
    Configuration, Origin, Problem, Problems, Schema, Setting, Wrong, environment, file,
    problem::Found,
    schema::{value_at, value_of},
    tree::Tree,
};

/// Reads a configuration: a file, over it the environment, over it flags.
///
/// Everything is read anew by each [`load`](Self::load), and whatever is wrong is told at once: keys that nobody knows
/// or that come twice, wrong types, numbers out of range, unknown words, what is required and missing, and a file that is
/// no TOML or no file. A value that a later source overrides has to be right, too.
///
/// Of lists and tables the last source has the say over all of it. A file of more than a mebibyte is refused.
pub struct Loader<T> {
    schema: Arc<Schema>,
    file: Option<Arc<PathBuf>>,
    variables: Vec<(OsString, OsString)>,
    flags: Vec<(String, String)>,
    of: PhantomData<fn() -> T>,
}

/// A configuration, and where each value comes from.
pub struct Loaded<T> {
    value: T,
    told: Told,
}

/// All of it but the configuration itself.
pub(super) struct Told {
    values: Value,
    given: Tree,
    schema: Arc<Schema>,
}

/// What an option is, and who said so.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Effective<'a> {
    /// The option.
    pub setting: &'a Setting,
    /// Its value, as a file has it; `None` where it is not there. A secret is `(secret)`.
    pub value: Option<String>,
    /// Who said so.
    pub origin: Origin,
}

impl<T: Configuration> Loader<T> {
    /// Reads nothing: all defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            schema: Arc::new(Schema::of::<T>()),
            file: None,
            variables: Vec::new(),
            flags: Vec::new(),
            of: PhantomData,
        }
    }

    /// Takes variables that begin with `prefix`, rather than with `SYNAPSE`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        let schema = Arc::unwrap_or_clone(self.schema);
        self.schema = Arc::new(schema.prefix(prefix));
        self
    }

    /// Reads this file, which has to be there.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(Arc::new(path.into()));
        self
    }

    /// Reads these variables, such as `std::env::vars_os()`; those without the prefix are somebody else's.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// Sets an option by its flag, named without its dashes. The last of a flag counts; of one that holds several values,
    /// all of them do.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>, text: impl Into<String>) -> Self {
        self.flags.push((flag.into(), text.into()));
        self
    }

    /// The options.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Reads it.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load(&self) -> Result<Loaded<T>, Problems> {
        self.load_checked(|_, _| {})
    }

    /// Reads it, and asks `check` what else is wrong, too: what only a program that runs can say.
    pub(super) fn load_checked(&self, check: impl FnOnce(&T, &mut Wrong)) -> Result<Loaded<T>, Problems> {
        let (mut found, mut tree) = (Found::default(), Tree::default());
        let schema = &*self.schema;
        let whole = match &self.file {
            Some(path) => file::read(path, schema, &mut tree, &mut found),
            None => true,
        };
        environment::read(&self.variables, schema, &mut tree, &mut found);
        environment::read_flags(&self.flags, schema, &mut tree, &mut found);
        if whole {
            self.missing(&tree, &mut found);
        }
        found.into_result()?;

        // Not what serde fills in: a section's defaults may be others here than on its own.
        let defaults = value_of(&T::default());
        let mut found = Found::default();
        let value = serde_json::from_value::<T>(tree.over(&defaults, tree.keys()))
            .map_err(|error| Problems::from(culprit::<T>(schema, &defaults, &tree, &error)))?;
        let mut wrong = Wrong::default();
        value.check(&mut wrong);
        check(&value, &mut wrong);
        for (key, message) in wrong.into_found() {
            let problem = Problem::new(message);
            let problem = match tree.origin(&key) {
                Origin::Default => problem,
                origin => problem.at(origin),
            };
            found.push(problem.of(key));
        }
        found.into_result()?;
        let told = Told {
            values: value_of(&value),
            given: tree,
            schema: self.schema.clone(),
        };
        Ok(Loaded { value, told })
    }

    fn missing(&self, tree: &Tree, found: &mut Found) {
        for setting in self.schema.settings.iter().filter(|setting| setting.required) {
            // A value that is wrong is told already.
            let told = found.has(&setting.key) || found.has(setting.section());
            let empty = tree.value(&setting.key) == Some(&Value::from(""));
            if !told && (empty || !tree.has(&setting.key)) {
                let what = if empty { "it is empty" } else { "it is missing" };
                let (variable, flag) = (self.schema.variable(setting), &setting.flag);
                let problem = Problem::new(format!(
                    "{what}; say it in the file, as {variable} or with --{flag}"
                ));
                let problem = match tree.origin(&setting.key) {
                    Origin::Default => problem,
                    origin => problem.at(origin),
                };
                found.push(problem.of(&setting.key));
            }
        }
    }
}

/// Finds the option that a type's own rules refuse: the schema does not know those.
fn culprit<T: Configuration>(
    schema: &Schema,
    defaults: &Value,
    tree: &Tree,
    error: &serde_json::Error,
) -> Problem {
    for key in tree.keys() {
        let Err(error) = serde_json::from_value::<T>(tree.over(defaults, [key])) else {
            continue;
        };
        let secret = schema.get(key).is_some_and(|setting| setting.secret);
        let why = if secret {
            "it is refused".to_owned()
        } else {
            error.to_string()
        };
        return Problem::new(why).of(key).at(tree.origin(key));
    }
    let any_secret = schema.settings.iter().any(|setting| setting.secret);
    Problem::new(if any_secret {
        "its options do not fit together".to_owned()
    } else {
        error.to_string()
    })
}

impl<T> Loaded<T> {
    /// The configuration.
    #[must_use]
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The configuration, to keep.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    /// Every option, what it is, and who said so.
    pub fn effective(&self) -> impl Iterator<Item = Effective<'_>> {
        self.told.schema.settings.iter().map(|setting| {
            let value = self.told.value(setting);
            Effective {
                setting,
                value: (!value.is_null()).then(|| setting.show(value)),
                origin: self.told.origin(setting),
            }
        })
    }

    pub(super) fn into_parts(self) -> (T, Told) {
        (self.value, self.told)
    }
}

impl Told {
    pub(super) fn value(&self, setting: &Setting) -> &Value {
        value_at(&self.values, &setting.key)
    }

    pub(super) fn origin(&self, setting: &Setting) -> Origin {
        self.given.origin(&setting.key)
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }
}

impl<T: Configuration> Default for Loader<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Loader<T> {
    fn clone(&self) -> Self {
        Self {
            schema: self.schema.clone(),
            file: self.file.clone(),
            variables: self.variables.clone(),
            flags: self.flags.clone(),
            of: PhantomData,
        }
    }
}

/// Without values: they may be secret.
impl<T> fmt::Debug for Loader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags: Vec<_> = self.flags.iter().map(|(flag, _)| flag).collect();
        f.debug_struct("Loader")
            .field("file", &self.file)
            .field("flags", &flags)
            .finish_non_exhaustive()
    }
}

/// Without values: they may be secret.
impl<T> fmt::Debug for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given: Vec<_> = self.told.given.keys().collect();
        f.debug_struct("Loaded")
            .field("given", &given)
            .finish_non_exhaustive()
    }
}
