//! The published document (`OpenAPI` 3.1), built from the table of routes and the types that are written and read.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::problem::{self, KINDS, Kind, ProblemDetails};
use super::query::{Form, Parameter};
use super::routes::{Access, Route, routes};
use crate::model::Entity;
use crate::publish::RecordMeta;

/// Problems of every route that needs a key.
const OF_KEYS: [Kind; 2] = [problem::UNAUTHORIZED, problem::FORBIDDEN];

/// Problems that any route can come to.
const OF_ALL: [Kind; 4] = [problem::INTERNAL, problem::OVERLOADED, problem::TIMEOUT, problem::UNAVAILABLE];

/// The document.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemDetails>();
    let meta = generator.subschema_for::<RecordMeta>();
    let mut paths = Map::new();
    let mut tags: Vec<&str> = Vec::new();
    for route in routes() {
        if !tags.contains(&route.tag) {
            tags.push(route.tag);
        }
        let operation = operation(&route, &mut generator, problem.as_value());
        let path = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    let mut schemas = generator.take_definitions(true);
    complete(&mut schemas, meta.as_value());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tradebridge",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a supplier's ERP knows, for its webshops: customers, products, agreed prices, stock, \
                credit and delivery terms, the feed of their changes, and orders back into the ERP. Money, quantities and \
                percentages are exact decimals, written as texts.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "tags": tags.iter().map(|tag| json!({ "name": tag })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "key": {
                "type": "http", "scheme": "bearer",
                "description": "A shop's key, made by the supplier with `tradebridge key create`."
            } }
        }
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator, problem: &Value) -> Value {
    let mut parameters: Vec<Value> = path_parameters(&route.path);
    parameters.extend(route.parameters.iter().map(parameter));
    parameters.extend(route.headers.iter().map(
        |(name, help)| json!({ "name": name, "in": "header", "description": help, "schema": { "type": "string" } }),
    ));
    let mut content = Map::new();
    for (media_type, schema) in &route.answer.contents {
        let schema = schema.map_or_else(|| json!({}), |schema| schema(generator).to_value());
        content.insert((*media_type).to_owned(), json!({ "schema": schema }));
    }
    let mut responses = Map::new();
    responses.insert(route.answer.status.to_string(), json!({ "description": route.answer.help, "content": content }));
    if route.headers.iter().any(|(name, _)| *name == "If-None-Match") {
        responses.insert("304".to_owned(), json!({ "description": "What the client has still stands." }));
    }
    let keyed = matches!(route.access, Access::Key(_));
    let mut kinds: Vec<Kind> = route.problems.to_vec();
    if keyed {
        kinds.extend(OF_KEYS);
        kinds.push(problem::SCOPE_PENDING);
    }
    kinds.extend(OF_ALL);
    // In the order of KINDS, which is that of their statuses.
    for kind in KINDS.iter().filter(|kind| kinds.contains(kind)) {
        let line = format!("{} (`{}`)", kind.title, kind.name);
        let response = responses
            .entry(kind.status.to_string())
            .or_insert_with(|| json!({ "description": "", "content": { problem::MEDIA_TYPE: { "schema": problem } } }));
        let before = response["description"].as_str().unwrap_or_default();
        response["description"] = if before.is_empty() { line } else { format!("{before}; {line}") }.into();
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if !route.help.is_empty() {
        operation["description"] = route.help.into();
    }
    if let Some(schema) = route.body {
        let content = json!({ "application/json": { "schema": schema(generator).to_value() } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if let Access::Key(scope) = route.access {
        operation["security"] = json!([{ "key": [] }]);
        operation["x-scope"] = scope.as_str().into();
    }
    operation
}

/// `GET /v1/price-agreements/{key}` is `get_v1_price_agreements_key`.
fn operation_id(route: &Route) -> String {
    let path: String = route.path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let words: Vec<&str> = path.split('_').filter(|word| !word.is_empty()).collect();
    format!("{}_{}", route.method.as_str().to_ascii_lowercase(), words.join("_"))
}

fn path_parameters(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let help = if name == "key" {
                "The record's key, `COMPANY~NUMBER`; the number alone where the shop sees one company."
            } else {
                "The order's identifier."
            };
            json!({ "name": name, "in": "path", "required": true, "description": help, "schema": { "type": "string" } })
        })
        .collect()
}

fn parameter(parameter: &Parameter) -> Value {
    let mut further = json!({});
    let schema = match parameter.form {
        Form::Text => json!({ "type": "string", "minLength": 1 }),
        Form::Count { most, usual } => json!({ "type": "integer", "minimum": 1, "maximum": most, "default": usual }),
        Form::Date => json!({ "type": "string", "format": "date" }),
        Form::Past => json!({ "type": "string", "format": "date-time" }),
        Form::Flag => json!({ "type": "boolean", "default": false }),
        Form::Choice(words) => json!({ "type": "string", "enum": words }),
        Form::Entities => {
            further = json!({ "style": "form", "explode": false });
            json!({ "type": "array", "items": { "type": "string", "enum": Entity::ALL.map(Entity::name) } })
        }
        Form::Wait(_) => json!({ "type": "string", "examples": ["30s"] }),
    };
    further["name"] = parameter.name.into();
    further["in"] = "query".into();
    further["description"] = parameter.help.into();
    further["schema"] = schema;
    further
}

/// Adds to the canonical records what they carry when a shop reads them, and to changes what their records are.
fn complete(schemas: &mut Map<String, Value>, meta: &Value) {
    let records = Entity::ALL.map(record_name);
    for name in &records {
        let Some(schema) = schemas.get_mut(*name) else { continue };
        schema["properties"]["meta"] = meta.clone();
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.push("meta".into());
        }
    }
    if let Some(changed) = schemas.get_mut("Changed") {
        let any: Vec<Value> =
            records.iter().map(|name| json!({ "$ref": format!("#/components/schemas/{name}") })).collect();
        changed["properties"]["record"] = json!({
            "description": "The whole record as it is now; absent where it is gone.",
            "anyOf": any
        });
    }
}

/// The name of an entity's schema.
fn record_name(entity: Entity) -> &'static str {
    match entity {
        Entity::Customer => "Customer",
        Entity::Product => "Product",
        Entity::PriceAgreement => "PriceAgreement",
        Entity::Stock => "Stock",
        Entity::Credit => "Credit",
        Entity::DeliveryTerm => "DeliveryTerm",
        Entity::OrderStatus => "OrderStatus",
        Entity::Shipment => "Shipment",
        Entity::Invoice => "Invoice",
    }
}
