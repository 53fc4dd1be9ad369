//! What layers ask of a request, found without copying it.

use synapse_core::{Error, View};

use super::{Shape, level, params, prompt};
use crate::dialect::body::{Field, json};

pub(super) fn view(shape: Shape, body: &[u8]) -> Result<View, Error> {
    let text = json::object(body)?;
    let mut fields = Vec::with_capacity(16);
    level::body(shape).read(text, &mut fields)?;
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
