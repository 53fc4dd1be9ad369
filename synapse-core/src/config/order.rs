//! The order in which a type has its fields.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// The fields of a struct and theirs, in order: `serde_json` sorts them.
#[derive(Debug, Default)]
pub(super) struct Order(Vec<(String, Order)>);

/// The order of a value's fields.
pub(super) fn of(value: &impl Serialize) -> Order {
    // Text is the one form in which serde_json keeps the order.
    let text =
        serde_json::to_string(value).expect("a configuration is made of texts, numbers, lists and tables");
    serde_json::from_str(&text).expect("what serde_json wrote it can read")
}

impl Order {
    /// Where a field comes; those that are not there come last.
    pub(super) fn position(&self, field: &str) -> usize {
        let found = self.0.iter().position(|(name, _)| name == field);
        found.unwrap_or(usize::MAX)
    }

    /// The order within a field.
    pub(super) fn of_field(&self, field: &str) -> Option<&Order> {
        self.0
            .iter()
            .find(|(name, _)| name == field)
            .map(|(_, order)| order)
    }
}

impl<'de> Deserialize<'de> for Order {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Order;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Order, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Order(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Order, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Order::default())
            }

            fn visit_str<E>(self, _: &str) -> Result<Order, E> {
                Ok(Order::default())
            }

            fn visit_bool<E>(self, _: bool) -> Result<Order, E> {
                Ok(Order::default())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Order, E> {
                Ok(Order::default())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Order, E> {
                Ok(Order::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Order, E> {
                Ok(Order::default())
            }

            fn visit_unit<E>(self) -> Result<Order, E> {
                Ok(Order::default())
            }
        }

        deserializer.deserialize_any(Fields)
    }
}
