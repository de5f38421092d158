//! The files that the daemons read: manifests, mappings, and a configuration for each.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::erp::Erp;
use super::fleet::LEASE;

/// Where the servers are.
pub(crate) struct Servers {
    /// Ports of this machine.
    pub postgres: u16,
    pub broker: u16,
    /// The virtual host.
    pub vhost: String,
    pub erps: Vec<Arc<Erp>>,
}

/// A shop's key.
pub(crate) fn key(shop: &str) -> String {
    format!("tb_key_{shop}")
}

/// Writes manifests and mappings.
pub(crate) fn write_files(directory: &Path, servers: &Servers) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/files");
    let manifest = std::fs::read_to_string(own.join("connector.toml")).unwrap();
    std::fs::create_dir_all(directory.join("connectors")).unwrap();
    for erp in &servers.erps {
        let class = erp.class();
        let text = manifest.replace("CLASS", &class.declared()).replace("\"NAME\"", &format!("\"{}\"", class.name()));
        std::fs::write(directory.join(format!("connectors/{}.toml", class.name())), text).unwrap();
        let mappings = directory.join("mappings").join(class.name());
        std::fs::create_dir_all(&mappings).unwrap();
        for file in ["customer.toml", "product.toml", "order.toml"] {
            std::fs::copy(own.join("mappings").join(file), mappings.join(file)).unwrap();
        }
    }
}

/// The configuration of a daemon that reaches PostgreSQL and the broker over these ports. Each ERP is one company's, and
/// has a shop whose orders it gets.
pub(crate) fn configuration(
    servers: &Servers,
    directory: &Path,
    run: &Path,
    port: u16,
    (postgres, broker): (u16, u16),
) -> String {
    let mut text = format!(
        "demo = true\nconnectors = ['{0}/connectors']\nmappings = ['{0}/mappings']\n\
         [store]\nurl = 'postgres://postgres@127.0.0.1:{postgres}/postgres'\nlease = '{lease}s'\n\
         [queue]\nurl = 'amqp://guest@127.0.0.1:{broker}/{vhost}'\npassword = 'guest'\n\
         [api]\nlisten = '127.0.0.1:{port}'\nrequest_timeout = '10s'\n\
         [log]\nformat = 'json'\nfilter = 'info,tradebridge::orders=debug,tradebridge::queue=debug'\n\
         [daemon]\nrun_directory = '{run}'\n",
        directory.display(),
        lease = LEASE.as_secs(),
        vhost = servers.vhost,
        run = run.display(),
    );
    for erp in &servers.erps {
        let (name, company) = (erp.class().name(), erp.class().name().to_uppercase());
        write!(
            text,
            "[[connection]]\nname = '{name}'\nconnector = '{name}'\ncompany = '{company}'\ntime_zone = 'UTC'\n\
             settings = {{ base_url = 'http://127.0.0.1:{port}' }}\n\
             retry = {{ initial = '200ms', max = '2s', give_up_after = '1h' }}\n\
             [[sync]]\nconnection = '{name}'\nentity = 'customer'\nevery = '1h'\n\
             [[sync]]\nconnection = '{name}'\nentity = 'product'\nevery = '1h'\n\
             [[shop]]\nname = '{name}'\ncompanies = ['{company}']\nconnections = ['{name}']\norders_to = '{name}'\n\
             [[key]]\nname = '{name}'\nshop = '{name}'\nscopes = ['read', 'orders']\nkey = '{key}'\n",
            port = erp.port(),
            key = key(name),
        )
        .unwrap();
    }
    text
}
