//! Loading the configuration: file, environment overrides, schema, cross-checks and secrets, with
//! everything that is wrong said at once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize as _;
use serde_json::Value;

use super::document::Document;
use super::overrides;
use super::place::{KeyPath, Problem, Problems};
use super::queue::QueueUrl;
use super::schema::of as schema_of;
use super::seal::Seal;
use super::secret::Secret;
use super::settings::{Config, Source};
use super::suggest::nearest;
use super::values::Interval;

/// The environment's variables that are text; others can name no key and hold no secret.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The JSON Schema of the configuration file.
pub fn schema() -> Value {
    schema_of::<Config>()
}

impl Config {
    /// Reads the configuration at `path` with the environment over it.
    pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, Problems> {
        Self::of_document(Document::load(path)?, env)
    }

    /// Reads the configuration at `path` for work without any system: no secret is looked for, each is `placeholder`, and
    /// there are no keys.
    pub fn load_without_secrets(
        path: &Path,
        env: impl IntoIterator<Item = (String, String)>,
        placeholder: &str,
    ) -> Result<Self, Problems> {
        Self::of_document_with(Document::load(path)?, env, Some(placeholder))
    }

    /// Makes the configuration of a document with the environment over it.
    pub fn of_document(document: Document, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, Problems> {
        Self::of_document_with(document, env, None)
    }

    fn of_document_with(
        mut document: Document,
        env: impl IntoIterator<Item = (String, String)>,
        placeholder: Option<&str>,
    ) -> Result<Self, Problems> {
        let variables: BTreeMap<String, String> = env.into_iter().collect();
        let schema = schema();
        let mut problems = Problems(document.problems.clone());
        problems.append(overrides::apply(&mut document, &schema, &variables));
        problems.append(document.check(&schema));
        Cross { document: &document, problems: &mut problems }.check();

        let mut tree = document.content.clone();
        let mut warnings = Vec::new();
        Secrets {
            document: &document,
            variables: &variables,
            placeholder,
            problems: &mut problems,
            warnings: &mut warnings,
        }
        .resolve(&mut tree);
        problems.into_result()?;

        let mut config = Self::deserialize(&tree)
            .map_err(|error| Problems::from(document.problem(&KeyPath::root(), error.to_string())))?;
        let digest = blake3::hash(document.content.to_string().as_bytes()).to_hex().to_string();
        config.source = Source { document, digest, warnings };
        if placeholder.is_some() {
            config.keys.clear();
        }
        config.check_keys()?;
        Ok(config)
    }

    /// The key of the store must be one, and two API keys that are the same would leave open what they allow.
    fn check_keys(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        if let Some(Err(message)) = self.store.encryption_key.as_ref().map(Seal::of_key) {
            let path = KeyPath::root().key("store").key("encryption_key");
            problems.push(self.source.document.problem(&path, message));
        }
        for (index, key) in self.keys.iter().enumerate() {
            if let Some(first) = self.keys.iter().take(index).find(|other| other.key == key.key) {
                let path = KeyPath::root().key("key").index(index).key("key");
                let message = format!("this is the same key as that of `{}`", first.name);
                problems.push(self.source.document.problem(&path, message));
            }
        }
        problems.into_result()
    }
}

/// Checks between keys. They read the tree, not the types, so that they speak up beside the
/// schema's complaints; what has the wrong type is left to those.
struct Cross<'a> {
    document: &'a Document,
    problems: &'a mut Problems,
}

impl<'a> Cross<'a> {
    fn check(&mut self) {
        for list in ["connection", "shop", "key"] {
            self.check_names(list);
        }
        self.check_retry();
        self.check_syncs();
        self.check_shops();
        self.check_broker_users();
        self.check_secrets();
        self.check_demo();
    }

    fn check_demo(&mut self) {
        let content = &self.document.content;
        if content.get("demo_copy").is_some() && content.get("demo") != Some(&Value::Bool(true)) {
            let path = KeyPath::root().key("demo_copy");
            self.push(&path, "`demo_copy` is for demonstrations: it needs `demo = true`".to_owned());
        }
    }

    fn entries(&self, list: &str) -> Vec<(KeyPath, &'a Value)> {
        let path = KeyPath::root().key(list);
        let entries = self.document.content.get(list).and_then(Value::as_array);
        entries.into_iter().flatten().enumerate().map(|(index, entry)| (path.index(index), entry)).collect()
    }

    fn names(&self, list: &str) -> Vec<&'a str> {
        self.entries(list).into_iter().filter_map(|(_, entry)| text(entry, "name")).collect()
    }

    fn line(&self, path: &KeyPath) -> usize {
        self.document.position(path).line
    }

    fn push(&mut self, path: &KeyPath, message: String) {
        self.problems.push(self.document.problem(path, message));
    }

    fn check_names(&mut self, list: &str) {
        let mut seen: HashMap<&str, KeyPath> = HashMap::new();
        for (path, entry) in self.entries(list) {
            let Some(name) = text(entry, "name") else { continue };
            let path = path.key("name");
            if let Some(first) = seen.get(name) {
                let line = self.line(first);
                self.push(&path, format!("a second {list} is called `{name}`; the first is on line {line}"));
            } else {
                seen.insert(name, path);
            }
        }
    }

    /// `name` must be one of the names of `list`.
    fn check_reference(&mut self, path: &KeyPath, list: &str, name: &str) {
        let names = self.names(list);
        if names.contains(&name) {
            return;
        }
        let mut problem = self.document.problem(path, format!("there is no {list} called `{name}`"));
        problem.hint = Some(match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => format!("add a [[{list}]] with this name"),
            None => format!("there are: {}", names.join(", ")),
        });
        self.problems.push(problem);
    }

    fn check_retry(&mut self) {
        for (path, connection) in self.entries("connection") {
            let Some(retry) = connection.get("retry") else { continue };
            let defaults = super::settings::Retry::default();
            let interval = |key: &str, default: Interval| match text(retry, key) {
                Some(text) => text.parse::<Interval>().ok(),
                None => Some(default),
            };
            let (Some(initial), Some(max), Some(end)) = (
                interval("initial", defaults.initial),
                interval("max", defaults.max),
                interval("give_up_after", defaults.give_up_after),
            ) else {
                continue;
            };
            let path = path.key("retry");
            if initial > max {
                self.push(&path, format!("`initial` ({initial}) is longer than `max` ({max})"));
            }
            if initial > end {
                self.push(&path, format!("`initial` ({initial}) is longer than `give_up_after` ({end})"));
            }
        }
    }

    fn check_syncs(&mut self) {
        let mut seen: HashMap<(&str, &str, Option<&str>), KeyPath> = HashMap::new();
        for (path, sync) in self.entries("sync") {
            let Some(connection) = text(sync, "connection") else { continue };
            self.check_reference(&path.key("connection"), "connection", connection);
            let Some(entity) = text(sync, "entity") else { continue };
            let identity = (connection, entity, text(sync, "mapping"));
            if let Some(first) = seen.get(&identity) {
                let line = self.line(first);
                let message = format!(
                    "`{entity}` of `{connection}` is already synced, on line {line}; a second sync needs another mapping"
                );
                self.push(&path, message);
            } else {
                seen.insert(identity, path);
            }
        }
    }

    fn check_shops(&mut self) {
        let company_of: HashMap<&str, Option<&str>> = self
            .entries("connection")
            .into_iter()
            .filter_map(|(_, connection)| Some((text(connection, "name")?, text(connection, "company"))))
            .collect();
        for (path, shop) in self.entries("shop") {
            let connections = texts(shop, "connections");
            for (index, name) in &connections {
                self.check_reference(&path.key("connections").index(*index), "connection", name);
            }
            let names: Vec<&str> = connections.iter().map(|(_, name)| *name).collect();
            if let Some(target) = text(shop, "orders_to").filter(|target| !names.contains(target)) {
                let message = format!("`{target}` is not among the shop's connections");
                let mut problem = self.document.problem(&path.key("orders_to"), message);
                problem.hint = Some(match nearest(target, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its connections are: {}", names.join(", ")),
                });
                self.problems.push(problem);
            }
            // A connection without a company takes it from its records: any may come.
            let companies: Option<Vec<&str>> = names.iter().map(|name| company_of.get(name).copied()?).collect();
            let Some(companies) = companies.filter(|companies| !companies.is_empty()) else { continue };
            for (index, company) in texts(shop, "companies") {
                if !companies.contains(&company) {
                    let path = path.key("companies").index(index);
                    let message = format!("none of the shop's connections brings company `{company}`");
                    let hint = format!("they bring: {}", companies.join(", "));
                    self.problems.push(self.document.problem(&path, message).hint(hint));
                }
            }
        }
    }

    /// A user in the broker is one shop, and there is a broker.
    fn check_broker_users(&mut self) {
        let queue = self.document.content.get("queue").and_then(|queue| text(queue, "url"));
        let embedded = queue.is_none_or(|url| url == QueueUrl::Embedded.to_string());
        let mut seen: HashMap<&str, KeyPath> = HashMap::new();
        for (path, shop) in self.entries("shop") {
            let Some(user) = text(shop, "broker_user") else { continue };
            let path = path.key("broker_user");
            if embedded {
                let message = "there is no broker: the orders travel by the queue inside the daemon".to_owned();
                let hint = "name a RabbitMQ broker with `url` in [queue], or leave `broker_user` out";
                self.problems.push(self.document.problem(&path, message).hint(hint));
            }
            if let Some(first) = seen.get(user) {
                let line = self.line(first);
                let message = format!("a second shop has the broker's user `{user}`; the first is on line {line}");
                self.push(&path, message);
            } else {
                seen.insert(user, path);
            }
        }
    }

    fn check_secrets(&mut self) {
        for (path, key) in self.entries("key") {
            if let Some(shop) = text(key, "shop") {
                self.check_reference(&path.key("shop"), "shop", shop);
            }
            let hint = "use { env = \"…\" } or { file = \"…\" }, or `key create` on the machine";
            self.check_secret(&path.key("key"), key.get("key"), hint);
        }
        for [section, key] in SECRETS {
            let secret = self.document.content.get(section).and_then(|section| section.get(key));
            let path = KeyPath::root().key(section).key(key);
            self.check_secret(&path, secret, "use { env = \"…\" } or { file = \"…\" }");
        }
    }

    /// A secret is written out only in a demonstration.
    fn check_secret(&mut self, path: &KeyPath, secret: Option<&Value>, hint: &str) {
        let demo = self.document.content.get("demo") == Some(&Value::Bool(true));
        if !demo && secret.is_some_and(Value::is_string) {
            let problem = self.document.problem(path, "a secret must not stand in the configuration").hint(hint);
            self.problems.push(problem);
        }
    }
}

fn text<'a>(entry: &'a Value, key: &str) -> Option<&'a str> {
    entry.get(key).and_then(Value::as_str)
}

fn texts<'a>(entry: &'a Value, key: &str) -> Vec<(usize, &'a str)> {
    let items = entry.get(key).and_then(Value::as_array).into_iter().flatten();
    items.enumerate().filter_map(|(index, item)| Some((index, item.as_str()?))).collect()
}

/// The secrets of the sections that are there once.
const SECRETS: [[&str; 2]; 3] = [["store", "password"], ["store", "encryption_key"], ["queue", "password"]];

/// Finds the secrets the document refers to.
struct Secrets<'a> {
    document: &'a Document,
    variables: &'a BTreeMap<String, String>,
    /// What is taken for every secret.
    placeholder: Option<&'a str>,
    problems: &'a mut Problems,
    warnings: &'a mut Vec<Problem>,
}

impl Secrets<'_> {
    /// Replaces every reference in `tree`, which is the document's content, by its secret.
    fn resolve(&mut self, tree: &mut Value) {
        let root = KeyPath::root();
        for (index, connection) in entries_mut(tree, "connection").enumerate() {
            let path = root.key("connection").index(index).key("settings");
            let settings = connection.get_mut("settings").and_then(Value::as_object_mut);
            for (name, setting) in settings.into_iter().flatten() {
                if setting.is_object() {
                    self.replace(&path.key(name), setting);
                }
            }
        }
        for [section, key] in SECRETS {
            if let Some(secret) = tree.get_mut(section).and_then(|section| section.get_mut(key)) {
                self.replace(&root.key(section).key(key), secret);
            }
        }
        for (index, entry) in entries_mut(tree, "key").enumerate() {
            if let Some(key) = entry.get_mut("key") {
                self.replace(&root.key("key").index(index).key("key"), key);
            }
        }
    }

    fn replace(&mut self, path: &KeyPath, reference: &mut Value) {
        let (env, file) = (text(reference, "env"), text(reference, "file"));
        if let Some(placeholder) = self.placeholder {
            *reference = Secret::new(placeholder).into_tree();
            return;
        }
        let found = match (env, file, reference.as_str()) {
            (Some(variable), None, _) => (path.key("env"), self.of_variable(variable)),
            (None, Some(file), _) => {
                let path = path.key("file");
                if others_can_read(Path::new(file)) {
                    let message = format!("every user of this machine can read `{file}`");
                    let warning = self.document.problem(&path, message).hint(format!("chmod 600 {file}"));
                    self.warnings.push(warning);
                }
                (path, of_file(Path::new(file)))
            }
            (None, None, Some(literal)) => (path.clone(), Ok(literal.to_owned())),
            // Anything else the schema refuses.
            _ => return,
        };
        match found {
            (path, Ok(secret)) if secret.is_empty() => {
                self.problems.push(self.document.problem(&path, "this secret is empty"));
            }
            (_, Ok(secret)) => *reference = Secret::new(secret).into_tree(),
            (path, Err(message)) => self.problems.push(self.document.problem(&path, message)),
        }
    }

    fn of_variable(&self, variable: &str) -> Result<String, String> {
        self.variables.get(variable).cloned().ok_or_else(|| format!("the environment variable `{variable}` is not set"))
    }
}

fn of_file(file: &Path) -> Result<String, String> {
    let mut secret = std::fs::read_to_string(file)
        .map_err(|error| format!("the secret's file `{}` cannot be read: {error}", file.display()))?;
    if secret.ends_with('\n') {
        secret.pop();
        if secret.ends_with('\r') {
            secret.pop();
        }
    }
    Ok(secret)
}

#[cfg(unix)]
fn others_can_read(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_: &Path) -> bool {
    false
}

fn entries_mut<'a>(tree: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> {
    tree.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogFormat, Scope, SettingValue};

    const PAGE: &str = include_str!("../../docs/configuration.md");

    fn example() -> &'static str {
        PAGE.split("```toml\n").nth(1).unwrap().split("```").next().unwrap()
    }

    fn load_with(text: &str, env: &[(&str, &str)]) -> Result<Config, Problems> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::of_document(Document::parse("c.toml", text), env)
    }

    fn load(text: &str) -> Result<Config, Problems> {
        load_with(text, &[])
    }

    /// Every problem on one line, its hint in brackets.
    fn says(text: &str, env: &[(&str, &str)]) -> Vec<String> {
        let problems = load_with(text, env).unwrap_err();
        problems.into_iter().map(|problem| problem.to_string().replace("\n  hint: ", " [") + "]").collect()
    }

    #[test]
    fn the_example_of_the_page_loads() {
        let config = load(example()).unwrap();
        assert_eq!(config.store.url.sqlite_path(), Some(Path::new("/var/lib/tradebridge/tradebridge.db")));
        assert_eq!(config.log.format, LogFormat::Json);
        let erp = config.connection("erp").unwrap();
        assert_eq!(erp.settings["directory"], SettingValue::Text("/srv/erp/export".to_owned()));
        assert_eq!(config.mapping_of(&config.syncs[0]), "csv-export/customer");
        assert_eq!(config.syncs[1].guard, crate::config::Guard::default());
        assert_eq!(config.shop("b2b").unwrap().orders_to.as_deref(), Some("erp"));
    }

    #[test]
    fn an_empty_file_is_a_configuration_of_defaults() {
        let config = load("").unwrap();
        assert_eq!(config.api.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.store.url.to_string(), "sqlite://data/tradebridge.db");
        assert_eq!(config.connectors, [Path::new("connectors")]);
    }

    /// Every object of the schema with its property names.
    fn objects<'a>(schema: &'a Value, found: &mut Vec<&'a Value>) {
        match schema {
            Value::Object(rules) => {
                if rules.get("properties").is_some_and(Value::is_object) && rules.contains_key("type") {
                    found.push(schema);
                }
                rules.values().for_each(|rule| objects(rule, found));
            }
            Value::Array(rules) => rules.iter().for_each(|rule| objects(rule, found)),
            _ => {}
        }
    }

    #[test]
    fn the_schema_is_closed_described_and_documented() {
        let schema = schema();
        assert_eq!(schema["title"], "Tradebridge configuration");
        assert!(schema["$schema"].as_str().unwrap().contains("2020-12"));
        let mut found = Vec::new();
        objects(&schema, &mut found);
        assert!(found.len() >= 12, "{}", found.len());
        for object in found {
            assert_eq!(object["additionalProperties"], false, "{object}");
            for (name, property) in object["properties"].as_object().unwrap() {
                assert!(property.get("description").is_some(), "`{name}` has no description");
                let documented = PAGE.contains(&format!("| `{name}` |"))
                    || PAGE.contains(&format!("[{name}]]"))
                    || PAGE.contains(&format!("`[{name}]`"))
                    || PAGE.contains(&format!("`{{ {name} = "));
                assert!(documented, "`{name}` is missing in docs/configuration.md");
            }
        }
    }

    #[test]
    fn a_misspelt_key_is_found_wherever_it_is() {
        for (line, text) in example().lines().enumerate().filter(|(_, text)| text.contains(" = ")) {
            let key = text.split(" = ").next().unwrap();
            let wrong: Vec<String> = example()
                .lines()
                .enumerate()
                .map(
                    |(index, text)| {
                        if index == line { text.replacen(key, &format!("{key}x"), 1) } else { text.to_owned() }
                    },
                )
                .collect();
            let problems = load(&wrong.join("\n")).unwrap_err();
            let message = format!("c.toml:{}:1: ", line + 1);
            let found = problems.0.iter().find(|problem| problem.to_string().starts_with(&message)).unwrap();
            assert_eq!(found.message, format!("unknown key `{key}x`"));
            assert_eq!(found.hint.as_deref(), Some(format!("did you mean `{key}`?").as_str()), "{found}");
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let text = r#"
[store]
url = "mysql://db/x"
[api]
listen = 8080
[[connection]]
name = "erp"
connector = "csv-export"
company = "NL01"
time_zone = "Europe/Amsterdm"
retry = { initial = "2h", max = "1h" }
settings = { password = { evn = "X" } }
[[connection]]
name = "erp"
connector = "csv-export"
company = "NL02"
time_zone = "UTC"
[[sync]]
connection = "epr"
entity = "price_agreements"
every = "5 fortnights"
[[sync]]
connection = "erp"
entity = "stock"
full = "0 25 * * *"
guard = { delete = 5 }
[[sync]]
connection = "erp"
entity = "stock"
[[shop]]
name = "b2b"
companies = ["NL01", "BE01"]
connections = ["erp", "crm"]
orders_to = "wms"
prices = "erp"
[[shop]]
name = "b2c"
companies = ["NL03"]
connections = ["erp"]
[[key]]
name = "web"
shop = "b2d"
scopes = ["read", "write"]
key = "in the open"
"#;
        let said = says(text, &[("TRADEBRIDGE__STOER__URL", "x")]);
        let expected = [
            "c.toml:3:7: store.url: this is no store",
            "c.toml:5:10: api.listen: expected a text, found a number [put it in quotes: \"8080\"]",
            "c.toml:10:13: connection[0].time_zone: `Europe/Amsterdm` is no time zone of the IANA database; did you mean `Europe/Amsterdam`?",
            "c.toml:11:9: connection[0].retry: `initial` (2h) is longer than `max` (1h)",
            "c.toml:12:25: connection[0].settings.password: this table needs `env` or `file` [did you mean `env`?]",
            "c.toml:14:8: connection[1].name: a second connection is called `erp`; the first is on line 7",
            "c.toml:19:14: sync[0].connection: there is no connection called `epr` [did you mean `erp`?]",
            "c.toml:20:10: sync[0].entity: `price_agreements` is not possible here; use `customer`",
            "c.toml:21:9: sync[0].every: `5 fortnights` is no length of time",
            "c.toml:25:8: sync[1].full: `0 25 * * *` is no schedule",
            "c.toml:26:20: sync[1].guard.delete: expected a text, found a number",
            "c.toml:27:1: sync[2]: `stock` of `erp` is already synced, on line 22",
            "c.toml:33:23: shop[0].connections[1]: there is no connection called `crm`",
            "c.toml:34:13: shop[0].orders_to: `wms` is not among the shop's connections",
            "c.toml:35:10: shop[0].prices: `erp` is not possible here; use `shop`",
            "c.toml:38:14: shop[1].companies[0]: none of the shop's connections brings company `NL03` [they bring: NL02]",
            "c.toml:42:8: key[0].shop: there is no shop called `b2d`",
            "c.toml:43:19: key[0].scopes[1]: `write` is not possible here; use `read`, `orders` or `admin`",
            "c.toml:44:7: key[0].key: a secret must not stand in the configuration [use { env",
            "environment variable TRADEBRIDGE__STOER__URL: the configuration has no key for `STOER` [did you mean TRADEBRIDGE__STORE__URL?]",
        ];
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "\n     said: {said}\n expected: {expected}");
        }
        assert_eq!(said.len(), expected.len(), "{said:#?}");
    }

    #[test]
    fn the_environment_overrides_every_kind_of_key() {
        let text = format!(
            "{}\n[[key]]\nname = 'b2b-shop'\nshop = 'b2b'\nscopes = ['read']\nkey = {{ env = 'K' }}\n",
            example()
        );
        let config = load_with(
            &text,
            &[
                ("TRADEBRIDGE__STORE__URL", "sqlite://other.db"),
                ("TRADEBRIDGE__STORE__MIGRATE", "false"),
                ("TRADEBRIDGE__API__MAX_CONCURRENT", "7"),
                ("TRADEBRIDGE__CONNECTORS", "a, b"),
                ("TRADEBRIDGE__CONNECTION__ERP__COMPANY", "0012"),
                ("TRADEBRIDGE__CONNECTION__ERP__SETTINGS__DIRECTORY", "/mnt"),
                ("TRADEBRIDGE__CONNECTION__ERP__RETRY__MAX", "2h"),
                ("TRADEBRIDGE__SYNC__ERP__PRICE_AGREEMENT__EVERY", "1m"),
                ("TRADEBRIDGE__SHOP__B2B__COMPANIES", "0012"),
                ("TRADEBRIDGE__KEY__B2B_SHOP__KEY__ENV", "OTHER"),
                ("TRADEBRIDGE__KEY__B2B_SHOP__SCOPES", "orders,admin"),
                ("OTHER", "the key"),
                ("UNRELATED", "x"),
            ],
        )
        .unwrap();
        assert_eq!(config.store.url.to_string(), "sqlite://other.db");
        assert!(!config.store.migrate);
        assert_eq!(config.api.max_concurrent, 7);
        assert_eq!(config.connectors, [Path::new("a"), Path::new("b")]);
        let erp = &config.connections[0];
        assert_eq!((erp.company.as_deref(), erp.retry.max.to_string().as_str()), (Some("0012"), "2h"));
        assert_eq!(erp.settings["directory"], SettingValue::Text("/mnt".to_owned()));
        assert_eq!(config.syncs[1].every.unwrap().to_string(), "1m");
        assert_eq!(config.syncs[0].every.unwrap().to_string(), "5m");
        assert_eq!(config.keys[0].scopes, [Scope::Orders, Scope::Admin]);
        assert_eq!(config.keys[0].key.reveal(), "the key");
        assert_ne!(config.source.digest, load(example()).unwrap().source.digest);
    }

    #[test]
    fn a_variable_that_cannot_be_applied_is_named() {
        let said = says(
            &(example().to_owned() + "\n[[key]]\nname = 'k'\nshop = 'b2b'\nscopes = ['read']\nkey = { env = 'K' }\n"),
            &[
                ("K", "k"),
                ("TRADEBRIDGE__API", "x"),
                ("TRADEBRIDGE__API__LISTEN__X", "x"),
                ("TRADEBRIDGE__API__MAX_CONCURRENT", "many"),
                ("TRADEBRIDGE__CONNECTION__EPR__COMPANY", "x"),
                ("TRADEBRIDGE__KEY__K__KEY", "in the open"),
                ("TRADEBRIDGE__LOG__FORMAT", "jsno"),
            ],
        );
        let expected = [
            "environment variable TRADEBRIDGE__API: `api` is a table; name one of its keys [possible are TRADEBRIDGE__API__LISTEN, ",
            "environment variable TRADEBRIDGE__API__LISTEN__X: the configuration has no key for `X`: `api.listen` is no table",
            "environment variable TRADEBRIDGE__API__MAX_CONCURRENT: api.max_concurrent: expected a whole number, found a text",
            "environment variable TRADEBRIDGE__CONNECTION__EPR__COMPANY: the configuration has no entry for `EPR` [did you mean TRADEBRIDGE__CONNECTION__ERP__COMPANY?]",
            "environment variable TRADEBRIDGE__KEY__K__KEY: `key[0].key` is a secret, which is never given directly",
            "environment variable TRADEBRIDGE__LOG__FORMAT: log.format: `jsno` is not possible here; use `human` or `json` [did you mean `json`?]",
        ];
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "\n     said: {said}\n expected: {expected}");
        }
        assert_eq!(said.len(), expected.len(), "{said:#?}");
    }

    #[test]
    fn the_secrets_of_the_store_are_found_and_a_key_is_one() {
        let text = "[store]\npassword = { env = 'PASS' }\nencryption_key = { env = 'SEAL' }\n";
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let config = load_with(text, &[("PASS", "hunter2"), ("SEAL", key)]).unwrap();
        assert_eq!(config.store.password, Some(Secret::new("hunter2")));
        assert_eq!(config.store.encryption_key, Some(Secret::new(key)));
        let said = says(text, &[("PASS", "hunter2"), ("SEAL", "short")]);
        assert!(said[0].starts_with("c.toml:3:") && said[0].contains("openssl rand -base64 32"), "{said:?}");
        let said = says(&text.replace("{ env = 'SEAL' }", "'written out'"), &[("PASS", "hunter2")]);
        assert!(said[0].contains("store.encryption_key: a secret must not stand in the configuration"), "{said:?}");
    }

    #[test]
    fn secrets_come_from_where_they_are_and_are_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "tok-en\n").unwrap();
        let text = format!(
            "demo = true\n[store]\nurl = 'postgres://u@db/x'\npassword = {{ env = 'PASS' }}\n[queue]\npassword = 'bunny'\n[[connection]]\nname = 'erp'\nconnector = 'x'\ntime_zone = 'UTC'\nsettings = {{ a = {{ env = 'PASS' }}, b = {{ file = '{}' }}, c = 1.50, d = ['x', true] }}\n[[shop]]\nname = 'b2b'\ncompanies = ['1']\nconnections = ['erp']\n[[key]]\nname = 'demo'\nshop = 'b2b'\nscopes = ['read']\nkey = 'tb_demo_key'\n",
            file.display()
        );
        let config = load_with(&text, &[("PASS", "hunter2")]).unwrap();
        let settings = &config.connections[0].settings;
        assert_eq!(settings["a"], SettingValue::Secret(Secret::new("hunter2")));
        assert_eq!(settings["b"], SettingValue::Secret(Secret::new("tok-en")));
        assert_eq!(settings["c"], SettingValue::Number("1.50".parse().unwrap()));
        assert_eq!(config.keys[0].key.reveal(), "tb_demo_key");
        assert_eq!(config.store.password, Some(Secret::new("hunter2")));
        assert_eq!(config.queue.password, Some(Secret::new("bunny")));
        let shown = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        for secret in ["hunter2", "tok-en", "tb_demo_key", "bunny"] {
            assert!(!shown.contains(secret), "{secret} is shown");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o604)).unwrap();
            let config = load_with(&text, &[("PASS", "hunter2")]).unwrap();
            assert!(config.source.warnings[0].to_string().contains("every user of this machine can read"));
        }

        let said = says(&text.replace("/token'", "/missing'").replace("demo = true", ""), &[("PASS", "")]);
        let known = |told: &str| assert!(said.iter().any(|said| said.contains(told)), "{told}: {said:#?}");
        known("c.toml:4:20: store.password.env: this secret is empty");
        known("c.toml:6:12: queue.password: a secret must not stand");
        known("connection[0].settings.a.env: this secret is empty");
        known("settings.b.file: the secret's file");
        known("key[0].key: a secret must not stand");
        assert_eq!(said.len(), 5);
    }

    #[test]
    fn syntax_errors_and_others_come_together() {
        let said = says("[api]\nlisten = \nmax_bdoy = '1MB'\n[log]\nformat = 'x'\n", &[]);
        assert_eq!(said.len(), 3, "{said:#?}");
        assert!(said[0].starts_with("c.toml:2:"), "{said:#?}");
        assert!(said[1].starts_with("c.toml:3:1: api.max_bdoy: unknown key"), "{said:#?}");
        assert!(said[2].starts_with("c.toml:5:10: log.format:"), "{said:#?}");
    }

    #[test]
    fn a_damaged_file_gives_problems_and_nothing_worse() {
        for end in (0..example().len()).step_by(7).filter(|end| example().is_char_boundary(*end)) {
            let _ = load(&example()[..end]);
        }
        for (at, _) in example().char_indices().step_by(41) {
            for junk in ["\"", "'''", "[[", "]", "{", "=", "\0", "é", "#"] {
                let (before, after) = example().split_at(at);
                if let Err(problems) = load(&format!("{before}{junk}{after}")) {
                    assert!(!problems.is_empty());
                }
            }
        }
        let deep = format!("settings = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(!load(&deep).unwrap_err().is_empty());
    }
}
