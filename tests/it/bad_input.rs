//! Bad input and bad surroundings, end to end through the running daemon: each gives an error that names the place,
//! and nothing that was good is damaged.

use serde_json::Value;

use crate::daemon::{ENTITIES, Site};
use crate::daemon_orders::{Shop, files, order};

/// What a read and a complete pass find unchanged: everything that was stored is whole.
fn whole(site: &Site, entity: &str, count: u64) {
    let (code, reports) = site.ask(&["sync", "erp", entity, "--full"]);
    let counts = &reports[0]["run"]["counts"];
    assert_eq!((code, &counts["read"], &counts["unchanged"]), (0, &count.into(), &count.into()), "{reports:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_orders_whole_and_serves_on() {
    let site = Site::new();
    let mut daemon = site.spawn_within(1_000_000);
    daemon.until_all_pulled(&ENTITIES);
    let shop = Shop::of(&site);
    assert_eq!(shop.post(&order("WEB-BEFORE")).await.unwrap().0, 202);
    daemon.until(|line| line["to"] == "submitted");

    daemon.limit_files(Some(0));
    let mut refused = Vec::new();
    for number in 0..5 {
        refused.push(shop.post(&order(&format!("WEB-FULL-{number}"))).await.unwrap());
    }
    for (status, problem) in &refused {
        assert_eq!((*status, &problem["type"]), (503, &"urn:tradebridge:problem:unavailable".into()), "{problem:#}");
        assert!(problem["detail"].as_str().unwrap().contains("nothing was changed, try again"), "{problem:#}");
    }
    site.edit_export("kredieten.csv", |lines| {
        lines[1] = b"10000;EUR;26.000,00;5.309,03;0,00;1.750,33;N\r\n".to_vec();
    });
    let failed = daemon.until(|line| line["entity"] == "credit" && line["level"] == "ERROR");
    assert!(failed.to_string().contains("the store cannot be written"), "{failed:#}");
    assert_eq!(shop.order("WEB-BEFORE").await["state"], "submitted", "what is stored is served");
    for number in 0..5 {
        assert_eq!(shop.order(&format!("WEB-FULL-{number}")).await, Value::Null, "not half accepted either");
    }
    assert_eq!(files(&site.path("inbox")).len(), 1);

    daemon.limit_files(None);
    assert_eq!(shop.post(&order("WEB-FULL-0")).await.unwrap().0, 202, "the very order that was refused");
    daemon.until(|line| line["to"] == "submitted");
    let (_, reports) = site.ask(&["sync", "erp", "credit"]);
    assert_eq!(reports[0]["run"]["counts"]["updated"], 1, "{reports:#}");
    assert_eq!(files(&site.path("inbox")).len(), 2);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    whole(&site, "price_agreement", 7629);
}

#[test]
fn a_first_load_that_finds_no_room_goes_on_once_there_is() {
    let site = Site::new();
    let mut daemon = site.spawn_within(1500);
    let failed = daemon.until(|line| line["level"] == "ERROR");
    assert!(failed.to_string().contains("the store cannot be written"), "{failed:#}");
    daemon.limit_files(None);
    for (entity, count) in [("customer", 240), ("price_agreement", 7629), ("credit", 240)] {
        site.ask(&["sync", "erp", entity]);
        whole(&site, entity, count);
    }
    daemon.signal("KILL");
    daemon.wait();
    let _daemon = site.start();
    whole(&site, "price_agreement", 7629);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_under_way_when_the_disk_fills_up_arrives_once() {
    let site = Site::new();
    site.edit_config(|text| text.replace("initial = \"5s\", max = \"5m\"", "initial = \"1s\", max = \"2s\""));
    let mut daemon = site.spawn_within(1_000_000);
    daemon.until_all_pulled(&ENTITIES);
    let away = site.path("away");
    std::fs::rename(site.path("inbox"), &away).unwrap();
    let shop = Shop::of(&site);
    assert_eq!(shop.post(&order("WEB-1")).await.unwrap().0, 202);
    daemon.until(|line| line.to_string().contains("inbox is not there"));
    daemon.limit_files(Some(0));
    std::fs::rename(away, site.path("inbox")).unwrap();
    daemon.until(|line| line.to_string().contains("the store cannot be written"));
    assert_eq!(files(&site.path("inbox")).len(), 0, "nothing is sent that cannot be noted");
    daemon.limit_files(None);
    daemon.until(|line| line["to"] == "submitted");
    assert_eq!(files(&site.path("inbox")).len(), 1);
}

/// An entity, its file, the line that takes the place of the first record, and what is to be said of it.
type Damage = (&'static str, &'static str, &'static [u8], &'static str);

/// Bytes in the place of a file's line.
fn line(at: usize, bytes: &[u8]) -> impl FnOnce(&mut Vec<Vec<u8>>) {
    move |lines| lines[at] = bytes.to_vec()
}

#[test]
fn damaged_exports_are_told_place_by_place_and_nothing_good_goes() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.until_all_pulled(&ENTITIES);
    site.edit_config(|text| text.replace("every = \"1s\"", "every = \"1h\""));
    daemon.signal("HUP");
    daemon.until(|line| line["message"] == "the files are read again and in force");

    // One record is wrong: it alone is refused, and what was stored of it stays.
    let records: [Damage; 11] = [
        ("credit", "kredieten.csv", b"10000;EUX;1,00;0,00;0,00;0,00;N\r\n", "currency: 'EUX'"),
        ("credit", "kredieten.csv", b"10000;EUR;1e400;0,00;0,00;0,00;N\r\n", "limit: "),
        ("credit", "kredieten.csv", b"10000;EUR;99999999999999999999999999999999;0,00;0,00;0,00;N\r\n", "limit: "),
        ("credit", "kredieten.csv", b"10000;EUR;NaN;0,00;0,00;0,00;N\r\n", "limit: "),
        ("credit", "kredieten.csv", b"10000;EUR;1,00;0,00;0,00;0,\x0000;N\r\n", "U+0000"),
        ("credit", "kredieten.csv", b"10000;E\x1bR;1,00;0,00;0,00;0,00;N\r\n", "U+001B"),
        ("credit", "kredieten.csv", b"10000;EUR\r\n", "has 2 fields where the table has 7 columns"),
        ("stock", "voorraad.csv", b"KGL-12-045;UTR;XYZ;498;0;498;17-01-2027;300\r\n", "'XYZ'"),
        ("stock", "voorraad.csv", b"KGL-12-045;UTR;ST;498;0;498;31-02-2027;300\r\n", "31-02-2027"),
        ("stock", "voorraad.csv", b"KGL-12-045;UTR;ST;498;0;498;17-01-99999;300\r\n", "17-01-99999"),
        ("stock", "voorraad.csv", b"KGL-12-045;UTR;ST;4\xa098;0;498;17-01-2027;300\r\n", "on_hand: "),
    ];
    for (entity, file, bytes, wanted) in records {
        site.edit_export(file, line(1, bytes));
        let (_, reports) = site.ask(&["sync", "erp", entity]);
        let run = &reports[0]["run"];
        assert_eq!((&run["state"], &run["counts"]["rejected"]), (&"done".into(), &1.into()), "{wanted}: {reports:#}");
        assert_eq!((&run["counts"]["deleted"], &run["counts"]["updated"]), (&0.into(), &0.into()), "{reports:#}");
        let (_, shown) = site.ask(&["runs", "show", run["id"].as_str().unwrap()]);
        let shown = shown.to_string();
        assert!(shown.contains(wanted) && shown.contains(&format!("{file}, line 2, record 1")), "{wanted}: {shown}");
    }

    // The file is wrong: nothing of it counts.
    let long = [b"10000;\"", &b"x".repeat(10_600_000)[..]].concat();
    let lines_without_end = [b"10000;\"", &b"xxxxxxxx\r\n".repeat(1_060_000)[..]].concat();
    let wide = b";".repeat(1_000_000);
    let packed = [0x1f, 0x8b, 8, 0, 1, 2, 3];
    let whole_files: [(&[u8], &str); 8] = [
        (b"", "the file is empty"),
        (b"\x00\x00\x00\x00", "kredieten.csv"),
        (b"<html>404</html>", "the header has no column"),
        (&long, "a field is longer than"),
        (&lines_without_end, "a field is longer than"),
        (&wide, "columns"),
        (&packed, "kredieten.csv"),
        (b"Klantnummer;Valuta;Klantnummer\r\n", "the header has the column 'Klantnummer' twice"),
    ];
    let header = std::fs::read(site.path("export/kredieten.csv")).unwrap();
    let header = header.split_inclusive(|b| *b == b'\n').next().unwrap().to_vec();
    for (bytes, wanted) in whole_files {
        let under_header = bytes.starts_with(b"10000");
        site.edit_export("kredieten.csv", |lines| {
            *lines = if under_header { vec![header.clone(), bytes.to_vec()] } else { vec![bytes.to_vec()] };
        });
        let (code, said) = site.ask(&["sync", "erp", "credit"]);
        assert_ne!(code, 0, "{wanted}: {said:#}");
        let said = said.to_string();
        assert!(said.contains(wanted) && said.contains("kredieten.csv"), "{wanted}: {said}");
    }
    std::fs::copy(crate::daemon::root().join("config/demo/export/kredieten.csv"), site.path("new.csv")).unwrap();
    std::fs::rename(site.path("new.csv"), site.path("export/kredieten.csv")).unwrap();
    site.ask(&["sync", "erp", "credit"]);
    whole(&site, "credit", 240);
}

#[test]
fn a_store_that_finds_no_room_at_the_start_says_so_and_is_no_worse_for_it() {
    let site = Site::new();
    let mut daemon = site.spawn_within(8);
    let mut said = Vec::new();
    while let Some(line) = daemon.next() {
        said.push(line.to_string());
    }
    assert_eq!(daemon.wait().code(), Some(1), "{said:#?}");
    let said = said.concat();
    assert!(
        said.contains("cannot open the store") && said.contains("has room") && said.contains("tradebridge.db"),
        "{said}"
    );
    let mut daemon = site.start();
    daemon.until_all_pulled(&ENTITIES);
    whole(&site, "customer", 240);
}

#[test]
fn a_store_with_a_damaged_page_is_refused_and_left_as_it_is() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.until_all_pulled(&ENTITIES);
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    let path = site.path("tradebridge.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 40 * 4096].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let output = site.command(&["run"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("tradebridge.db is damaged") && said.contains("restore it from a backup"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "whoever examines it finds it as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_bytes_at_the_door_break_nothing() {
    let site = Site::new();
    let mut daemon = site.start();
    daemon.until_all_pulled(&["customer", "product"]);
    let shop = Shop::of(&site);
    let address = shop.address.trim_start_matches("http://").to_owned();
    let requests: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/customers/%00%ff%2e%2e HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tb_demo_key\r\nConnection: close\r\n\r\n",
        b"GET /v1/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 9\r\n\r\nabc",
        b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ];
    for request in requests {
        let (address, request) = (address.clone(), request.to_vec());
        let answer = tokio::task::spawn_blocking(move || raw(&address, &request)).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        assert!(answer.is_empty() || status.starts_with('4'), "{answer}");
    }
    let paths = [
        "/v1/customers?limit=-1",
        "/v1/customers?limit=99999999999999999999",
        "/v1/customers?after=%00%ff",
        "/v1/changes?cursor=AAAA",
        "/v1/changes?wait=1e400",
        "/v1/price-agreements?customer=%F0%9F%98%80%00",
        "/v1/orders?reference=%ff",
        "/v1/orders/%00",
        "/v1/products/%C3%28",
        "/v1/stock?valid_on=2026-02-31",
    ];
    for path in paths {
        let answer = shop.http.get(format!("{}{path}", shop.address)).bearer_auth("tb_demo_key").send().await.unwrap();
        assert!(answer.status().as_u16() < 500, "{path}: {}", answer.text().await.unwrap());
    }
    let mut lines = order("WEB-ODD");
    for quantity in ["1e400", "NaN", "-0", "1e-400", "79228162514264337593543950336", "\u{0}", "٣"] {
        lines["lines"][0]["quantity"] = quantity.into();
        let (status, problem) = shop.post(&lines).await.unwrap();
        assert_eq!(status, 422, "{quantity}: {problem:#}");
        assert!(problem["errors"].to_string().contains("/lines/0/quantity"), "{quantity}: {problem:#}");
    }
    assert_eq!(shop.post(&order("WEB-ODD")).await.unwrap().0, 202);
    daemon.until(|line| {
        assert!(!line.to_string().contains("panicked"), "{line:#}");
        line["to"] == "submitted"
    });
}

/// What is answered to bytes that no client sends.
fn raw(address: &str, request: &[u8]) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::daemon::PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has said all that it has to say.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
