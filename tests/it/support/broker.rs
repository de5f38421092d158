//! A RabbitMQ broker for tests: a virtual host of a test's own, and what is done to it behind the back of who uses it.

use reqwest::Method;
use serde_json::{Value, json};

use super::peers::{Peer, System};

/// A virtual host of a broker, a test's own.
#[derive(Debug)]
pub(crate) struct Vhost {
    /// Where AMQP is spoken, as `127.0.0.1:5672`.
    address: String,
    name: String,
    http: reqwest::Client,
    /// A broker of the test's own.
    peer: Peer,
    users: std::sync::Mutex<Vec<String>>,
}

impl Vhost {
    /// An empty virtual host on the broker that all tests share.
    pub(crate) async fn new() -> Self {
        Self::on(Peer::shared(System::RabbitMq)).await
    }

    /// An empty virtual host on a broker.
    pub(crate) async fn on(peer: Peer) -> Self {
        let address = peer.address().to_owned();
        let vhost = Self {
            address,
            name: format!("test-{}", uuid::Uuid::now_v7().simple()),
            http: super::http().build().unwrap(),
            peer,
            users: std::sync::Mutex::default(),
        };
        // Management answers a moment after AMQP.
        let until = std::time::Instant::now() + crate::daemon::PATIENCE;
        while let Err(error) = vhost.try_ask(Method::PUT, &format!("vhosts/{}", vhost.name), None).await {
            assert!(std::time::Instant::now() < until, "the broker has no management: {error}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        vhost
    }

    /// Its address, as a configuration has it, for the user `guest` with the password `guest`.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest@{}/{}", self.address, self.name)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The broker.
    pub(crate) fn peer(&mut self) -> &mut Peer {
        &mut self.peer
    }

    /// A user for a shop, a test's own, with the password `guest` and the rights that the documentation gives it.
    pub(crate) async fn shop_user(&self, shop: &str) -> String {
        let user = format!("{shop}-{}", uuid::Uuid::now_v7().simple());
        self.ask(Method::PUT, &format!("users/{user}"), Some(json!({ "password": "guest", "tags": "" }))).await;
        self.users.lock().unwrap().push(user.clone());
        let own = format!(r"{shop}\.|amq\.gen");
        let rights = json!({
            "configure": format!("^({own})"),
            "write": format!(r"^(tradebridge\.orders$|{own})"),
            "read": format!(r"^(tradebridge\.events$|{own})"),
        });
        self.ask(Method::PUT, &format!("permissions/{}/{user}", self.name), Some(rights)).await;
        let topics = json!({ "exchange": "tradebridge.events", "write": "^$", "read": format!(r"^{shop}\.") });
        self.ask(Method::PUT, &format!("topic-permissions/{}/{user}", self.name), Some(topics)).await;
        user
    }

    /// Restarts the broker within its node, where the broker is the test's own: connections end, what is durable stays.
    pub(crate) fn restart(&self) {
        self.ctl(&["stop_app"]);
        self.ctl(&["start_app"]);
    }

    /// Has the broker's own tool do something, where the broker is the test's own.
    pub(crate) fn ctl(&self, arguments: &[&str]) {
        let done = std::process::Command::new(self.peer.directory().join("ctl")).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Asks the management of the broker.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.try_ask(method, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The same, which may fail.
    pub(crate) async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, reqwest::Error> {
        let port = self.address.rsplit(':').next().unwrap();
        let mut request =
            self.http.request(method, format!("http://127.0.0.2:{port}/api/{path}")).basic_auth("guest", Some("guest"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let bytes = request.send().await?.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    fn queue(&self, queue: &str) -> String {
        format!("queues/{}/{queue}", self.name)
    }

    /// Makes a queue of the broker's own kind, with what the management knows as its arguments.
    pub(crate) async fn declare(&self, queue: &str, arguments: Value) {
        self.ask(Method::PUT, &self.queue(queue), Some(json!({ "durable": true, "arguments": arguments }))).await;
    }

    /// How many messages wait in a queue.
    pub(crate) async fn messages(&self, queue: &str) -> u32 {
        // The management's counts are late.
        let url = self.url().replace("guest@", "guest:guest@");
        let connection = lapin::Connection::connect(&url, lapin::ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = lapin::options::QueueDeclareOptions { passive: true, ..Default::default() };
        let found = channel.queue_declare(queue.into(), options, lapin::types::FieldTable::default()).await.unwrap();
        found.message_count()
    }

    /// Empties a queue.
    pub(crate) async fn purge(&self, queue: &str) {
        self.ask(Method::DELETE, &format!("{}/contents", self.queue(queue)), None).await;
    }

    /// Removes a queue, with its messages and consumers.
    pub(crate) async fn delete(&self, queue: &str) {
        self.ask(Method::DELETE, &self.queue(queue), None).await;
    }

    /// Puts a message into a queue.
    pub(crate) async fn put(&self, queue: &str, body: &str) {
        let message = json!({ "routing_key": queue, "payload": body, "payload_encoding": "string", "properties": {} });
        let exchange = format!("exchanges/{}/amq.default/publish", self.name);
        assert_eq!(self.ask(Method::POST, &exchange, Some(message)).await["routed"], true);
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let (address, name) = (self.address.clone(), self.name.clone());
        let users = std::mem::take(self.users.get_mut().unwrap());
        // The runtime of the test, to which its client belongs, is the very one that is blocked here. A virtual host that is left over disturbs
        // nobody, and the broker may be gone already.
        let _ = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let port = address.rsplit(':').next().unwrap_or_default();
            let http = super::http().build().unwrap();
            let paths = users.iter().map(|user| format!("users/{user}")).chain([format!("vhosts/{name}")]);
            for path in paths {
                let request =
                    http.delete(format!("http://127.0.0.2:{port}/api/{path}")).basic_auth("guest", Some("guest"));
                let _ = runtime.block_on(async { request.send().await.map(|_| ()) });
            }
        })
        .join();
    }
}
