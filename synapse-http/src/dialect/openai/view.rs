//! What layers ask of a request, found without copying it.

use serde::de::IgnoredAny;
use synapse_core::{Error, View};

use super::{Shape, field::Field, json, level::Level, params, prompt};

pub(super) fn view(shape: Shape, body: &[u8]) -> Result<View, Error> {
    let text = json::text(body)?;
    let start = text.trim_ascii_start();
    if !start.starts_with('{') {
        serde_json::from_str::<IgnoredAny>(text).map_err(json::invalid)?;
        let found = json::kind(start);
        return Err(Error::invalid(
            "invalid_type",
            format!("the body is {found}, and an object is wanted"),
        ));
    }
    let mut fields = Vec::with_capacity(16);
    Level::Body(shape).read(text, &mut fields)?;
    let given = |name: &str| fields.iter().find(|field| field.name == name && !field.is_null());

    let model = given("model").map(Field::string).transpose()?;
    let params = params::read(shape, &fields)?;
    let Some(asked) = given(shape.prompt()) else {
        let name = shape.prompt();
        return Err(Error::invalid("missing_field", format!("the request has no {name}")).with_param(name));
    };
    prompt::check(shape, asked)?;
    if let Some(format) = given("encoding_format") {
        match &*format.string()? {
            "float" | "base64" => {}
            _ => return Err(format.out_of_range("float or base64")),
        }
    }
    if let Some(dimensions) = given("dimensions") {
        dimensions.integer(1..=i64::from(u32::MAX))?;
    }
    Ok(View::new(model.as_deref(), params).with_fields(
        fields
            .iter()
            .map(|field| {
                let start = field.raw.as_ptr().addr() - text.as_ptr().addr();
                (field.name, start..start + field.raw.len())
            })
            .collect(),
    ))
}
