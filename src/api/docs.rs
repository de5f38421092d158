//! The published document as one page for people: no scripts, nothing loaded, every part reachable by its address and
//! by the keyboard.

use std::fmt::Write as _;

use serde_json::{Map, Value};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #d0d4da; --soft: #f4f6f8; --link: #0b57a4; --quiet: #59626e; }
@media (prefers-color-scheme: dark) { :root { --line: #3b424c; --soft: #1e2329; --link: #7db7f5; --quiet: #a3adb9; } }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -100em; }
.skip:focus { left: 1em; top: 1em; }
.page { display: grid; grid-template-columns: 17rem minmax(0, 1fr); }
nav { border-right: 1px solid var(--line); padding: 1.5rem; position: sticky; top: 0; height: 100vh; overflow: auto; }
nav ul { list-style: none; padding: 0; margin: 0 0 1rem; font-size: .9rem; }
nav h2 { font-size: .8rem; text-transform: uppercase; letter-spacing: .05em; color: var(--quiet); margin: 1rem 0 .25rem; }
main { padding: 1.5rem 2.5rem 6rem; max-width: 62rem; }
section { border-top: 1px solid var(--line); padding-top: 1rem; margin-top: 2rem; }
h3 { margin: 0 0 .25rem; font-size: 1.1rem; }
code, .method { font-family: ui-monospace, monospace; font-size: .92em; }
.method { font-weight: 700; margin-right: .5em; }
.quiet { color: var(--quiet); }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th { background: var(--soft); }
summary { cursor: pointer; font-weight: 600; }
@media (max-width: 50rem) { .page { display: block; } nav { position: static; height: auto; border: 0; } main { padding: 1rem; } }
";

/// The page. The nonce lets its one style sheet through the page's content security policy.
pub(super) fn page(document: &Value, nonce: &str) -> String {
    let mut html = String::new();
    let title = text(&document["info"], "title");
    let version = text(&document["info"], "version");
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} API</title><style nonce=\"{nonce}\">{STYLE}</style></head><body>\
         <a class=\"skip\" href=\"#content\">To the content</a><div class=\"page\">",
        title = escaped(title),
        nonce = escaped(nonce)
    );
    navigation(&mut html, document);
    let _ = write!(
        html,
        "<main id=\"content\"><h1>{} API <span class=\"quiet\">{}</span></h1><p>{}</p>\
         <p>The same as an OpenAPI document: <a href=\"/openapi.json\">/openapi.json</a></p>",
        escaped(title),
        escaped(version),
        escaped(text(&document["info"], "description"))
    );
    for (path, method, operation) in operations(document) {
        section(&mut html, path, method, operation);
    }
    html.push_str("<section id=\"schemas\"><h2>Schemas</h2></section>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        let _ = write!(
            html,
            "<section id=\"schema-{0}\"><h3>{0}</h3><p>{1}</p>",
            escaped(name),
            escaped(text(schema, "description"))
        );
        fields(&mut html, schema);
        html.push_str("</section>");
    }
    html.push_str("</main></div></body></html>");
    html
}

fn navigation(html: &mut String, document: &Value) {
    html.push_str("<nav aria-label=\"Routes\">");
    for tag in document["tags"].as_array().into_iter().flatten().map(|tag| text(tag, "name")) {
        let _ = write!(html, "<h2>{}</h2><ul>", escaped(tag));
        for (path, method, operation) in operations(document) {
            if operation["tags"][0] == tag {
                let _ = write!(
                    html,
                    "<li><a href=\"#{}\">{} <code>{}</code></a></li>",
                    escaped(text(operation, "operationId")),
                    method.to_uppercase(),
                    escaped(path)
                );
            }
        }
        html.push_str("</ul>");
    }
    html.push_str("<h2>Schemas</h2><ul>");
    for (name, _) in members(&document["components"]["schemas"]) {
        let _ = write!(html, "<li><a href=\"#schema-{0}\">{0}</a></li>", escaped(name));
    }
    html.push_str("</ul></nav>");
}

fn section(html: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        html,
        "<section id=\"{}\"><h3><span class=\"method\">{}</span><code>{}</code></h3><p>{}.",
        escaped(text(operation, "operationId")),
        method.to_uppercase(),
        escaped(path),
        escaped(text(operation, "summary"))
    );
    if let Some(scope) = operation["x-scope"].as_str() {
        let _ =
            write!(html, " <span class=\"quiet\">Needs a key with the scope <code>{}</code>.</span>", escaped(scope));
    }
    let _ = write!(html, "</p><p>{}</p>", escaped(text(operation, "description")));
    let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        html.push_str(
            "<table><thead><tr><th>Parameter</th><th>In</th><th>Holds</th><th>Meaning</th></tr></thead><tbody>",
        );
        for parameter in parameters {
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(text(parameter, "name")),
                escaped(text(parameter, "in")),
                kind(&parameter["schema"]),
                escaped(text(parameter, "description"))
            );
        }
        html.push_str("</tbody></table>");
    }
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        let _ = write!(html, "<p>Body: {}</p>", kind(body));
    }
    html.push_str("<details><summary>Answers</summary><table><thead><tr><th>Status</th><th>Meaning</th><th>Content</th></tr></thead><tbody>");
    for (status, response) in members(&operation["responses"]) {
        let contents: Vec<String> = members(&response["content"])
            .map(|(media_type, content)| format!("<code>{}</code> {}", escaped(media_type), kind(&content["schema"])))
            .collect();
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(status),
            escaped(text(response, "description")),
            contents.join("<br>")
        );
    }
    html.push_str("</tbody></table></details></section>");
}

fn fields(html: &mut String, schema: &Value) {
    let needed: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if schema["properties"].is_null() {
        let _ = write!(html, "<p>{}</p>", kind(schema));
        return;
    }
    html.push_str("<table><thead><tr><th>Field</th><th>Holds</th><th>Meaning</th></tr></thead><tbody>");
    for (name, field) in members(&schema["properties"]) {
        let _ = write!(
            html,
            "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(name),
            if needed.contains(&name) { " <span class=\"quiet\">always</span>" } else { "" },
            kind(field),
            escaped(text(field, "description"))
        );
    }
    html.push_str("</tbody></table>");
}

/// What a schema holds, in a few words, with links to named ones.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(options) = schema[key].as_array() {
            let mut kinds: Vec<String> = options.iter().map(kind).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<String> =
            words.iter().filter_map(Value::as_str).map(|word| format!("<code>{}</code>", escaped(word))).collect();
        return words.join(", ");
    }
    if let Some(word) = schema["const"].as_str() {
        return format!("<code>{}</code>", escaped(word));
    }
    if !schema["items"].is_null() {
        return format!("list of {}", kind(&schema["items"]));
    }
    let name = match &schema["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect();
            names.join(" or ")
        }
        _ => String::new(),
    };
    match schema["format"].as_str() {
        Some(format) => escaped(format),
        None => escaped(&name),
    }
}

fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    members(&document["paths"])
        .flat_map(|(path, operations)| members(operations).map(move |(method, operation)| (path, method, operation)))
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_lets_no_markup_through() {
        let document = json!({
            "info": { "title": "<script>", "version": "1", "description": "a & b" },
            "tags": [{ "name": "x" }],
            "paths": { "/v1/x": { "get": { "operationId": "x", "tags": ["x"], "summary": "\"quoted\"",
                "responses": { "200": { "description": "<b>" } } } } },
            "components": { "schemas": {} }
        });
        let page = page(&document, "n");
        assert!(!page.contains("<script") && !page.contains("<b>"));
        assert!(page.contains("&lt;script&gt;") && page.contains("a &amp; b"));
    }
}
