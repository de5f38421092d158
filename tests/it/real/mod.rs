//! Tests against real systems. Here, that these are what the connectors' tests take them for; `./scripts/test --fast`
//! leaves the whole module out.

mod generic;
mod interrupted;
mod odata;
mod sap;
mod tryton;
mod tryton_connection;
mod tryton_kills;
mod tryton_orders;

use std::os::unix::fs::PermissionsExt as _;

use crate::daemon::{Site, root};

/// A site whose ERP is reached at a port of this machine, with the connectors that ship, and pages so small that there are many.
fn site(connector: &str, port: u16, settings: &str, password: &str, entities: &[&str]) -> Site {
    let site = Site { directory: tempfile::tempdir().unwrap() };
    let secret = site.path("password");
    std::fs::write(&secret, password).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let shipped = std::fs::read_to_string(root().join(format!("connectors/{connector}.toml"))).unwrap();
    let small = shipped.replace("size = 500", "size = 7").replace("size = 100", "size = 7");
    assert_ne!(small, shipped);
    std::fs::create_dir(site.path("connectors")).unwrap();
    std::fs::write(site.path("connectors").join(format!("{connector}.toml")), small).unwrap();
    let mut text = format!(
        "demo = true\nconnectors = ['{connectors}']\nmappings = ['{root}/mappings']\n\
         [store]\nurl = 'sqlite://{store}'\n[api]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\n\
         [[connection]]\nname = 'erp'\nconnector = '{connector}'\ncompany = 'NL01'\ntime_zone = 'Europe/Amsterdam'\n\
         retry = {{ initial = '1s', max = '2s', give_up_after = '1h' }}\n[connection.settings]\n\
         base_url = 'http://127.0.0.1:{port}'\npassword = {{ file = '{secret}' }}\n{settings}\
         [[shop]]\nname = 'b2b'\ncompanies = ['NL01']\nconnections = ['erp']\norders_to = 'erp'\n\
         [[key]]\nname = 'demo'\nshop = 'b2b'\nscopes = ['read', 'orders']\nkey = 'tb_demo_key'\n",
        root = root().display(),
        connectors = site.path("connectors").display(),
        store = site.path("tradebridge.db").display(),
        secret = secret.display(),
    );
    text.extend(entities.iter().map(|entity| {
        format!("[[sync]]\nconnection = 'erp'\nentity = '{entity}'\nevery = '1h'\nguard = {{ floor = 1000 }}\n")
    }));
    std::fs::write(site.config(), text).unwrap();
    site
}
