//! The shape of a canonical record, read from its JSON Schema: which fields there are, of which type, which must be
//! there. Mapping files are checked against it, and values are converted by it.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::kind::PartKind;
use super::{
    Address, Contact, Credit, Customer, CustomerArticle, DeliveryTerm, Invalid, Invoice, Order, OrderStatus,
    OrderStatusLine, PriceAgreement, Product, Shipment, Stock,
};

/// The shape of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Fields in the order of the schema.
    pub fields: Vec<Field>,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The field's name.
    pub name: String,
    /// What the field holds.
    pub kind: Kind,
    /// Whether every record has it.
    pub required: bool,
    /// What the field means.
    pub help: String,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Text.
    Text,
    /// A truth value.
    Bool,
    /// A whole number.
    Integer,
    /// An exact decimal, written as text.
    Decimal,
    /// A calendar date, `2026-11-24`.
    Date,
    /// A time of day, `16:00`.
    Time,
    /// An instant, RFC 3339.
    Instant,
    /// A currency by its ISO 4217 code.
    Currency,
    /// A country by its ISO 3166-1 code.
    Country,
    /// A language tag.
    Language,
    /// One of some words.
    Choice(Vec<String>),
    /// A unit: a Recommendation 20 code, or a record of `code` and `erp`.
    Unit(Shape),
    /// A list.
    List(Box<Kind>),
    /// A record.
    Record(Shape),
    /// Values of one kind by free names.
    Table(Box<Kind>),
}

impl Shape {
    /// The field of a name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The kind at a dotted path, such as `payment_terms.code` or `names.nl`.
    pub fn at(&self, path: &str) -> Option<&Kind> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(n, r)| (n, Some(r)));
        let mut kind = &self.field(name)?.kind;
        let Some(rest) = rest else { return Some(kind) };
        loop {
            match kind {
                Kind::Record(shape) | Kind::Unit(shape) => return shape.at(rest),
                Kind::Table(value) if !rest.contains('.') => return Some(value),
                Kind::Table(value) => kind = value,
                _ => return None,
            }
        }
    }

    /// Every dotted path to a field, for suggestions.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for field in &self.fields {
            paths.push(field.name.clone());
            if let Kind::Record(inner) | Kind::Unit(inner) = &field.kind {
                paths.extend(inner.paths().into_iter().map(|p| format!("{}.{p}", field.name)));
            }
        }
        paths
    }
}

/// The shape of a kind of part. A part in a table of its own has its owner's key as a further field.
pub fn of(kind: PartKind) -> &'static Shape {
    static SHAPES: LazyLock<Vec<(PartKind, Shape)>> = LazyLock::new(|| {
        PartKind::ALL
            .into_iter()
            .map(|kind| {
                let schema = schema(kind);
                let mut shape = shape(&schema, &schema);
                if let Some(owner) = kind.owner() {
                    shape.fields.push(Field {
                        name: owner.field.to_owned(),
                        kind: Kind::Text,
                        required: true,
                        help: format!("The key of the {} it belongs to.", kind.entity()),
                    });
                }
                (kind, shape)
            })
            .collect()
    });
    static NONE: Shape = Shape { fields: Vec::new() };
    SHAPES.iter().find(|(k, _)| *k == kind).map_or(&NONE, |(_, shape)| shape)
}

/// The JSON Schema (2020-12) of a kind of part.
pub fn schema(kind: PartKind) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = match kind {
        PartKind::Customer => generator.into_root_schema_for::<Customer>(),
        PartKind::Address => generator.into_root_schema_for::<Address>(),
        PartKind::Contact => generator.into_root_schema_for::<Contact>(),
        PartKind::Product => generator.into_root_schema_for::<Product>(),
        PartKind::CustomerArticle => generator.into_root_schema_for::<CustomerArticle>(),
        PartKind::PriceAgreement => generator.into_root_schema_for::<PriceAgreement>(),
        PartKind::Stock => generator.into_root_schema_for::<Stock>(),
        PartKind::Credit => generator.into_root_schema_for::<Credit>(),
        PartKind::DeliveryTerm => generator.into_root_schema_for::<DeliveryTerm>(),
        PartKind::OrderStatus => generator.into_root_schema_for::<OrderStatus>(),
        PartKind::OrderStatusLine => generator.into_root_schema_for::<OrderStatusLine>(),
        PartKind::Shipment => generator.into_root_schema_for::<Shipment>(),
        PartKind::Invoice => generator.into_root_schema_for::<Invoice>(),
    };
    schema.to_value()
}

/// The shape of an order.
pub fn order() -> &'static Shape {
    static ORDER: LazyLock<Shape> = LazyLock::new(|| {
        let schema = order_schema();
        shape(&schema, &schema)
    });
    &ORDER
}

/// The JSON Schema (2020-12) of an order.
pub fn order_schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Order>().to_value()
}

/// What is wrong with a record beyond the names and types of its fields; the record must have its kind's shape.
pub fn check(kind: PartKind, content: &Value) -> Result<(), Vec<Invalid>> {
    check_text(kind, &content.to_string())
}

/// As [`check`], of a record as JSON text.
pub fn check_text(kind: PartKind, content: &str) -> Result<(), Vec<Invalid>> {
    fn read<'a, T: serde::Deserialize<'a>>(content: &'a str) -> Result<T, Vec<Invalid>> {
        serde_json::from_str(content).map_err(|error| {
            let message = error.to_string();
            // A record has no lines.
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            vec![Invalid::new("record", message)]
        })
    }
    let findings = match kind {
        PartKind::Customer => read::<Customer>(content)?.check(),
        PartKind::Product => read::<Product>(content)?.check(),
        PartKind::PriceAgreement => read::<PriceAgreement>(content)?.check(),
        PartKind::Stock => read::<Stock>(content)?.check(),
        PartKind::Credit => read::<Credit>(content)?.check(),
        PartKind::DeliveryTerm => read::<DeliveryTerm>(content)?.check(),
        PartKind::OrderStatus => read::<OrderStatus>(content)?.check(),
        PartKind::Address => read::<Address>(content).map(|_| Vec::new())?,
        PartKind::Contact => read::<Contact>(content).map(|_| Vec::new())?,
        PartKind::CustomerArticle => read::<CustomerArticle>(content).map(|_| Vec::new())?,
        PartKind::OrderStatusLine => read::<OrderStatusLine>(content).map(|_| Vec::new())?,
        PartKind::Shipment => read::<Shipment>(content).map(|_| Vec::new())?,
        PartKind::Invoice => read::<Invoice>(content).map(|_| Vec::new())?,
    };
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

fn shape(schema: &Value, root: &Value) -> Shape {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map_or(Vec::new(), |r| r.iter().filter_map(Value::as_str).collect());
    let fields = properties
        .iter()
        .map(|(name, property)| Field {
            name: name.clone(),
            kind: kind(property, root),
            required: required.contains(&name.as_str()),
            help: property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " "),
        })
        .collect();
    Shape { fields }
}

/// The fields of records of which one is meant: the field that tells them apart has the words of all.
fn either(branches: &[Value], root: &Value) -> Shape {
    let mut fields: Vec<Field> = Vec::new();
    for field in branches.iter().flat_map(|branch| shape(branch, root).fields) {
        match fields.iter_mut().find(|f| f.name == field.name) {
            Some(Field { kind: Kind::Choice(words), .. }) => {
                if let Kind::Choice(more) = field.kind {
                    words.extend(more);
                }
            }
            Some(_) => {}
            None => fields.push(field),
        }
    }
    Shape { fields }
}

fn kind(schema: &Value, root: &Value) -> Kind {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Kind::Text, |target| kind(target, root));
    }
    // An optional field is "this or null".
    for word in ["anyOf", "allOf"] {
        if let Some(branches) = schema.get(word).and_then(Value::as_array)
            && let Some(branch) = branches.iter().find(|b| b.get("type") != Some(&json!("null")))
        {
            return kind(branch, root);
        }
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return Kind::Choice(words.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    if let Some(branches) = schema.get("oneOf").and_then(Value::as_array) {
        let words: Vec<String> =
            branches.iter().filter_map(|b| b.get("const").and_then(Value::as_str)).map(str::to_owned).collect();
        if branches.iter().all(|branch| branch.get("properties").is_some()) {
            return Kind::Record(either(branches, root));
        }
        return if words.is_empty() { Kind::Text } else { Kind::Choice(words) };
    }
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return Kind::Choice(vec![word.to_owned()]);
    }
    let is = |name: &str| match schema.get("type") {
        Some(Value::String(t)) => t == name,
        Some(Value::Array(types)) => types.iter().any(|t| t == name),
        _ => false,
    };
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    if is("object") {
        if format == "unit" {
            Kind::Unit(shape(schema, root))
        } else if let (None, Some(values)) = (schema.get("properties"), schema.get("additionalProperties")) {
            Kind::Table(Box::new(kind(values, root)))
        } else {
            Kind::Record(shape(schema, root))
        }
    } else if is("array") {
        Kind::List(Box::new(schema.get("items").map_or(Kind::Text, |items| kind(items, root))))
    } else if is("boolean") {
        Kind::Bool
    } else if is("integer") {
        Kind::Integer
    } else {
        match format {
            "decimal" => Kind::Decimal,
            "date" => Kind::Date,
            "time" => Kind::Time,
            "date-time" => Kind::Instant,
            "currency" => Kind::Currency,
            "country" => Kind::Country,
            "language" => Kind::Language,
            _ => Kind::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_carry_the_types_of_the_structs() {
        let price = of(PartKind::PriceAgreement);
        assert_eq!(price.at("value"), Some(&Kind::Decimal));
        assert_eq!(price.at("valid_from"), Some(&Kind::Date));
        assert!(matches!(price.at("unit"), Some(Kind::Unit(_))));
        assert_eq!(price.at("unit.code"), Some(&Kind::Text));
        assert_eq!(price.at("scale"), Some(&Kind::Choice(vec!["from".into(), "to".into(), "graduated".into()])));
        assert!(price.field("kind").unwrap().required && !price.field("customer").unwrap().required);
        let customer = of(PartKind::Customer);
        assert_eq!(customer.at("payment_terms.days"), Some(&Kind::Integer));
        assert!(matches!(customer.at("contacts"), Some(Kind::List(inner)) if matches!(**inner, Kind::Record(_))));
        assert_eq!(of(PartKind::Product).at("names.nl"), Some(&Kind::Text));
        assert_eq!(of(PartKind::Contact).at("customer"), Some(&Kind::Text));
        assert_eq!(customer.at("nmae"), None);
    }

    #[test]
    fn an_order_has_a_shape_too() {
        let order = order();
        assert_eq!(order.at("lines").map(|k| matches!(k, Kind::List(_))), Some(true));
        assert_eq!(order.at("ship_to.address.street"), Some(&Kind::Text));
        assert_eq!(order.at("payment.method"), Some(&Kind::Choice(vec!["on_account".into(), "paid".into()])));
        assert_eq!(order.at("payment.reference"), Some(&Kind::Text));
    }

    #[test]
    fn a_price_without_currency_is_refused() {
        let line = json!({"id": "1", "kind": "net_price", "value": "12.50"});
        let findings = check(PartKind::PriceAgreement, &line).unwrap_err();
        assert_eq!(findings[0].field, "currency");
        let percent = json!({"id": "1", "kind": "discount_percent", "value": "12.5"});
        assert_eq!(check(PartKind::PriceAgreement, &percent), Ok(()));
    }

    #[test]
    fn unknown_units_and_currencies_are_refused() {
        let line = json!({"id": "1", "kind": "net_price", "value": "1", "currency": "EUX"});
        assert!(check(PartKind::PriceAgreement, &line).unwrap_err()[0].message.contains("ISO 4217"));
        let line = json!({"id": "1", "kind": "net_price", "value": "1", "currency": "EUR", "unit": "STUK"});
        assert!(check(PartKind::PriceAgreement, &line).unwrap_err()[0].message.contains("Recommendation 20"));
    }
}
