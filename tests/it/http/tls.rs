//! Ways to a system: certificates of both sides, and proxies.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tradebridge::connector::Created;
use tradebridge::record::Map;

use super::system::{System, bind, says};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]";

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/http")).join(name)
}

/// A connection that waits for nothing long, with further keys of `[http]`.
fn with(keys: &str) -> String {
    format!(
        "[http]\nbase_url = \"${{settings.base_url}}\"\ntimeout = {{ connect = \"5s\", read = \"5s\", request = \"5s\" }}\n{keys}\n\
         [stream.items]\nrequest = {{ path = \"items\" }}\n[action.order]\ncreate = \"open\"\nnumber = \"made.number\"\n\
         step = [{{ name = \"create\", request = {{ path = \"orders\", body = {{}} }}, gives = {{ number = \"answer.number\" }} }}]\n\
         find = {{ request = {{ path = \"orders\" }}, gives = {{ number = \"answer.number\" }} }}\n"
    )
}

fn trusting(keys: &str) -> String {
    with(&format!("ca = \"{}\"\n{keys}", fixture("ca.pem").display()))
}

/// A server with a certificate, which answers one connection with an empty list, to clients with a certificate alone
/// where it asks for one.
fn server(certificate: &str, asks: bool) -> (u16, thread::JoinHandle<()>) {
    tradebridge::install_crypto();
    let chain = vec![CertificateDer::from_pem_file(fixture(certificate)).unwrap()];
    let key = PrivateKeyDer::from_pem_file(fixture(certificate)).unwrap();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(fixture("ca.pem")).unwrap()).unwrap();
        ServerConfig::builder()
            .with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
    } else {
        ServerConfig::builder().with_no_client_auth()
    };
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let mut tls = ServerConnection::new(config).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        // A client that does not trust it leaves before it asks; one that it does not trust is told.
        if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(OK);
            return;
        }
        let _ = socket.shutdown(std::net::Shutdown::Write);
        // What the client has sent is read, so that it hears of the end and not of a reset.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    (port, serving)
}

/// Why nothing can be sent to a server with this certificate; that is always known before anything is executed.
async fn refused(certificate: &str, asks: bool, manifest: &str) -> String {
    let (port, serving) = server(certificate, asks);
    let created = System::new(&format!("https://127.0.0.1:{port}"), manifest).create(&Map::default()).await;
    serving.join().unwrap();
    let Created::NotExecuted { reason, connection_down: true, .. } = created else { panic!("{created:?}") };
    reason
}

#[tokio::test]
async fn a_certificate_that_is_not_right_is_told_with_what_to_do() {
    for (certificate, manifest, expected) in [
        ("server.pem", with(""), "give the certificate of an own authority with `ca`"),
        ("elsewhere.pem", trusting(""), "write the address with a name that is in the certificate"),
        ("expired.pem", trusting(""), "its certificate has expired: have it renewed"),
    ] {
        says(Some(&refused(certificate, false, &manifest).await), &["127.0.0.1 cannot be reached", expected]);
    }
}

#[tokio::test]
async fn a_certificate_of_an_own_authority_is_trusted_where_the_connection_gives_it() {
    let (port, serving) = server("server.pem", false);
    assert_eq!(System::new(&format!("https://127.0.0.1:{port}"), &trusting("")).probe().await, None);
    serving.join().unwrap();
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_the_connections_own() {
    let mine = |name: &str| trusting(&format!("client_certificate = \"{}\"", fixture(name).display()));
    let (port, serving) = server("server.pem", true);
    assert_eq!(System::new(&format!("https://127.0.0.1:{port}"), &mine("client.pem")).probe().await, None);
    serving.join().unwrap();
    says(
        Some(&refused("server.pem", true, &trusting("")).await),
        &["asks for a certificate of the client", "`client_certificate`"],
    );
    says(
        Some(&refused("server.pem", true, &mine("stranger.pem")).await),
        &["does not accept the certificate of the client", "registered with the system and still valid"],
    );
    for (file, expected) in [("ca.pem", "holds no certificate with its key in PEM"), ("none.pem", "cannot be read")] {
        let refused = bind("https://127.0.0.1:9", &mine(file)).err().unwrap();
        says(Some(&refused.to_string()), &[file, expected]);
    }
}

/// A proxy for one connection: what it was asked for, and then a way to a port, or nothing.
fn proxy(to: Option<u16>) -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<String>> = Arc::default();
    let noted = Arc::clone(&asked);
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        noted.lock().unwrap().push_str(head.lines().next().unwrap());
        if !head.starts_with("CONNECT") {
            client.write_all(OK).unwrap();
            return;
        }
        let Some(to) = to else {
            client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").unwrap();
            return;
        };
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut system = TcpStream::connect(("127.0.0.1", to)).unwrap();
        let (mut from, mut into) = (client.try_clone().unwrap(), system.try_clone().unwrap());
        let up = thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut into);
            let _ = into.shutdown(std::net::Shutdown::Write);
        });
        let _ = std::io::copy(&mut system, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Write);
        up.join().unwrap();
    });
    (port, asked)
}

#[tokio::test]
async fn requests_go_through_the_proxy_of_the_connection() {
    // Names that lead nowhere: only the proxy knows the way.
    let (port, asked) = proxy(None);
    let keys = format!("proxy = \"http://127.0.0.1:{port}\"");
    assert_eq!(System::new("http://erp.invalid", &with(&keys)).probe().await, None);
    assert_eq!(*asked.lock().unwrap(), "GET http://erp.invalid/items HTTP/1.1");

    let (to, serving) = server("elsewhere.pem", false);
    let (port, asked) = proxy(Some(to));
    let keys = format!("proxy = \"http://127.0.0.1:{port}\"");
    assert_eq!(System::new("https://elsewhere.example", &trusting(&keys)).probe().await, None);
    assert_eq!(*asked.lock().unwrap(), "CONNECT elsewhere.example:443 HTTP/1.1");
    serving.join().unwrap();
}

#[tokio::test]
async fn a_proxy_that_does_not_help_is_named() {
    let (closed, _) = proxy(None);
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    for port in [closed, gone] {
        let keys = format!("proxy = \"http://127.0.0.1:{port}\"");
        let created = System::new("https://elsewhere.example", &trusting(&keys)).create(&Map::default()).await;
        let Created::NotExecuted { reason, connection_down: true, .. } = created else { panic!("{created:?}") };
        let through = format!("elsewhere.example cannot be reached through the proxy http://127.0.0.1:{port}");
        says(Some(&reason), &[&through, "look at the connection's proxy"]);
    }
}
