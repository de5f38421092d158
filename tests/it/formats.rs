//! Formats: real documents come out as they are written, and damaged ones say what is wrong and where.

use std::io::{Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tradebridge::connector::format::write::{self, WriteError};
use tradebridge::connector::format::{
    Encoding, LONGEST_FIELD, Path, ReadError, Reader, csv, fixed, group, json, ndjson, xml,
};
use tradebridge::record::{Map, Value};

fn bytes(content: impl Into<Vec<u8>>) -> Box<dyn Read + Send> {
    Box::new(Cursor::new(content.into()))
}

/// Every record as JSON, every refusal as its message; a fatal one with its hint behind " | ".
fn all(reader: Result<impl Reader, ReadError>) -> Vec<Result<serde_json::Value, String>> {
    let shown = |error: ReadError| match &error {
        ReadError::Record { .. } => error.to_string(),
        ReadError::Fatal { hint, .. } => format!("{error} | {}", hint.as_deref().unwrap_or_default()),
    };
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return vec![Err(shown(error))],
    };
    let mut found = Vec::new();
    while let Some(record) = reader.next() {
        found.push(record.map_err(shown).map(|r| r.fields.to_json()));
    }
    assert!(reader.next().is_none(), "nothing comes after the end");
    found
}

fn error(found: &[Result<serde_json::Value, String>]) -> &str {
    found.iter().find_map(|r| r.as_ref().err()).expect("there is an error")
}

/// The only error, and it names this.
fn fails(found: &[Result<serde_json::Value, String>], wanted: &[&str]) {
    let error = error(found);
    for wanted in wanted {
        assert!(error.contains(wanted), "'{wanted}' is not in: {error}");
    }
}

/// A text many times over, each time with another number in the place of `#`.
fn numbered(count: usize, text: &str) -> String {
    let texts: Vec<String> = (0..count).map(|n| text.replace('#', &n.to_string())).collect();
    texts.concat()
}

fn xml_format(records: &[&str]) -> xml::Format {
    xml::Format { records: records.iter().map(|p| p.parse().unwrap()).collect(), ..xml::Format::default() }
}

fn xml(content: impl Into<Vec<u8>>, format: &xml::Format) -> Vec<Result<serde_json::Value, String>> {
    all(xml::XmlReader::new(bytes(content), "t.xml", format))
}

fn json_at(content: impl Into<Vec<u8>>, records: &[&str]) -> Vec<Result<serde_json::Value, String>> {
    let records = records.iter().map(|&n| n.to_owned()).collect();
    all(json::JsonReader::new(bytes(content), "t.json", &json::Format { records, ..json::Format::default() }))
}

fn lines(content: impl Into<Vec<u8>>) -> Vec<Result<serde_json::Value, String>> {
    all(ndjson::NdjsonReader::new(bytes(content), "t.ndjson", &ndjson::Format::default()))
}

fn column(name: &str, start: usize, length: usize) -> fixed::Column {
    fixed::Column { name: name.to_owned(), start, length }
}

fn positions() -> fixed::Format {
    fixed::Format { columns: vec![column("nr", 1, 5), column("naam", 6, 8)], ..fixed::Format::default() }
}

fn fixed_width(content: impl Into<Vec<u8>>, format: &fixed::Format) -> Vec<Result<serde_json::Value, String>> {
    all(fixed::FixedReader::new(bytes(content), "t.txt", format))
}

#[test]
fn columns_of_fixed_width_count_characters() {
    let windows = fixed::Format { encoding: Encoding::of("windows-1252").unwrap(), ..positions() };
    let found = fixed_width(b"00010Caf\xe9 \x80 x\r\n00011        \r\n".to_vec(), &windows);
    assert_eq!(found[0], Ok(serde_json::json!({"nr": "00010", "naam": "Café € x"})));
    assert_eq!(found[1], Ok(serde_json::json!({"nr": "00011", "naam": null})));
}

#[test]
fn lines_of_the_wrong_length_are_said() {
    let found = fixed_width("00010De Vries\n00011\n00012Jansen  X\n00013Bakker     \n\n", &positions());
    assert_eq!(found.len(), 4);
    assert!(found[0].is_ok() && found[3].is_ok());
    assert_eq!(found[1], Err("t.txt, line 2, record 2: has 5 characters where a line has 13".to_owned()));
    assert_eq!(found[2], Err("t.txt, line 3, record 3: has 14 characters where a line has 13".to_owned()));

    let short = fixed::Format { short_lines: true, ..positions() };
    assert_eq!(fixed_width("00011\n", &short), [Ok(serde_json::json!({"nr": "00011", "naam": null}))]);
    let longer = fixed::Format { length: Some(14), skip: 1, ..positions() };
    assert_eq!(
        fixed_width("KOP\n00012Jansen  X\n", &longer),
        [Ok(serde_json::json!({"nr": "00012", "naam": "Jansen"}))]
    );
    fails(&fixed_width("00010De Vries\n0001", &positions()), &["line 2, record 2", "4 characters", "cut off"]);
}

#[test]
fn columns_that_make_no_sense_are_refused() {
    let refused = |columns: Vec<fixed::Column>, length| {
        fixed::Format { columns, length, ..fixed::Format::default() }.check().unwrap_err()
    };
    assert!(refused(vec![], None).contains("columns"));
    assert!(refused(vec![column("a", 0, 1)], None).contains("counted from 1"));
    assert!(refused(vec![column("a", 1, 1), column("a", 2, 1)], None).contains("twice"));
    assert!(refused(vec![column("a", usize::MAX, 1)], None).contains("longest line"));
    assert!(refused(vec![column("a", 5, 3)], Some(6)).contains("behind the line's length"));
}

#[test]
fn fixed_width_withstands_bad_input() {
    assert_eq!(fixed_width("", &positions()), []);
    fails(&fixed_width(b"00010Caf\xe9    \n".to_vec(), &positions()), &["offset 8, line 1", "UTF-8"]);
    fails(&fixed_width("00010De\u{0}Vries\n", &positions()), &["line 1, record 1", "'naam'", "U+0000"]);
    let found = fixed_width(format!("{}\n00010De Vries\n", "x".repeat(LONGEST_FIELD + 1)), &positions());
    fails(&found, &["line 1, record 1", "longer than"]);
    assert!(found[1].is_ok());
}

#[test]
fn an_element_becomes_a_record() {
    let format = xml::Format {
        lists: vec!["PRIJS".to_owned()],
        texts: vec!["NR".to_owned()],
        maps: vec!["GTIN".to_owned()],
        null: vec!["-".to_owned()],
        ..xml_format(&["L/A"])
    };
    let found = xml(
        "<?xml version='1.0'?>\n<!-- export --><x:L xmlns:x='urn:x'>\n<x:A mode='new' xmlns='urn:y'><NR type='x'> 1 </NR>\
         <NAAM>De &amp; Vries &#233;&lt;<![CDATA[<B.V.>]]>\r\n</NAAM><GTIN>1</GTIN><LEEG/><STREEP>-</STREEP>\
         <PRIJS soort='n'>1.50</PRIJS><T>a</T><T/><T>b</T><G x='1'/></x:A>\n<A><NR/><LOS>tekst</LOS></A></x:L>",
        &format,
    );
    assert_eq!(
        found[0],
        Ok(serde_json::json!({
            "@mode": "new", "NR": "1", "NAAM": "De & Vries é<<B.V.>", "GTIN": {"#text": "1"}, "LEEG": null,
            "STREEP": null, "PRIJS": [{"@soort": "n", "#text": "1.50"}], "T": ["a", "b"], "G": {"@x": "1"}
        }))
    );
    assert_eq!(found[1], Ok(serde_json::json!({"NR": null, "LOS": "tekst"})));
    let kept = xml::Format { prefixes: true, ..xml_format(&["x:L/x:A"]) };
    let found = xml("<x:L><x:A><x:B>1</x:B><B>2</B></x:A></x:L>", &kept);
    assert_eq!(found, [Ok(serde_json::json!({"x:B": "1", "B": "2"}))]);
}

#[test]
fn records_carry_what_stands_around_them() {
    let format = xml::Format {
        context: ["nr=L/A/NR", "van=L/A/D[@type=van]/DATUM", "soort=L/A/@soort", "valuta=L/K/V", "land=L/K/LAND"]
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, path)| (name.to_owned(), path.parse::<Path>().unwrap()))
            .to_vec(),
        rename: [("OUD".to_owned(), "A".to_owned())].into(),
        ..xml_format(&["L/A/P"])
    };
    let found = xml(
        "<L><K><V>EUR</V><LAND>NL</LAND><LAND>BE</LAND></K>\
         <A soort='x'><NR>1</NR><D type='tot'><DATUM>2</DATUM></D><D type='van'><DATUM>1</DATUM></D><P>5</P><P>6</P></A>\
         <OUD><P>7</P><NR>2</NR></OUD></L>",
        &format,
    );
    let carried = |price: &str, nr: Option<&str>, from: Option<&str>, kind: Option<&str>| {
        Ok(serde_json::json!({
            "#text": price, "nr": nr, "van": from, "soort": kind, "valuta": "EUR", "land": ["NL", "BE"]
        }))
    };
    assert_eq!(found[0], carried("5", Some("1"), Some("1"), Some("x")));
    assert_eq!(found[1], carried("6", Some("1"), Some("1"), Some("x")));
    // Nothing of the element before is left, and what comes later is not known yet.
    assert_eq!(found[2], carried("7", None, None, None));
    let clash = xml::Format { context: vec![("NR".to_owned(), "L/K".parse().unwrap())], ..xml_format(&["L/A"]) };
    fails(&xml("<L><K>1</K><A><NR>1</NR></A></L>", &clash), &["line 1, record 1", "'NR'", "something else"]);
}

#[test]
fn xml_is_decoded_as_it_declares() {
    let declared = b"<?xml version='1.0' encoding='windows-1252'?><L><A><N>Caf\xe9 \x80</N></A></L>";
    assert_eq!(xml(declared, &xml_format(&["L/A"])), [Ok(serde_json::json!({"N": "Café €"}))]);
    let wrong = b"<?xml version='1.0'?>\n<L><A><N>Caf\xe9</N></A></L>";
    fails(&xml(wrong, &xml_format(&["L/A"])), &["t.xml", "offset 34, line 2, is not UTF-8", "set the encoding"]);
    let format = xml::Format { encoding: Encoding::of("windows-1252"), ..xml_format(&["L/A"]) };
    assert_eq!(xml(wrong, &format), [Ok(serde_json::json!({"N": "Café"}))]);
    fails(&xml("<?xml version='1.0' encoding='ebcdic-1047'?><L/>", &xml_format(&["L/A"])), &["ebcdic-1047"]);
}

#[test]
fn damaged_xml_is_an_error_with_its_line() {
    let format = xml_format(&["L/A"]);
    for (document, wanted) in [
        ("", &["line 1", "empty", "cut off"][..]),
        ("  \n", &["line 2", "empty"]),
        ("<L>\n<A><N>1</N></A>\n<A><N>2", &["line 3, record 2", "within the element N, begun on line 3", "cut off"]),
        ("<L>\n<A><N>1</N></A>\n", &["line 3", "within the element L, begun on line 1"]),
        ("<L><A><N", &["cut off"]),
        ("<L><A></N></A></L>", &["line 1", "N"]),
        ("<L/><L/>", &["second document"]),
        ("<L><A>&nbsp;</A></L>", &["'&nbsp;'", "not one of XML's own"]),
        ("<L><A>a & b</A></L>", &["line 1"]),
        ("<L><A x='1' x='2'/></L>", &["line 1"]),
        ("Nr;Naam\n1;A\n", &["outside the root", "is the file XML?"]),
        ("<html><body>Not found</body></html>", &["the document is html", "records are L/A"]),
    ] {
        fails(&xml(document, &format), wanted);
    }
    let found = xml("<L>\n<A><N>\u{1}</N></A>\n<A><N>2</N></A></L>", &format);
    assert_eq!(found[0], Err("t.xml, line 2, record 1: the field 'N' has the control character U+0001".to_owned()));
    assert_eq!(found[1], Ok(serde_json::json!({"N": "2"})));
}

#[test]
fn xml_bombs_and_external_entities_stay_unread() {
    let format = xml_format(&["L/A"]);
    let bomb = "<!DOCTYPE L [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>]><L><A>&b;</A></L>";
    fails(&xml(bomb, &format), &["line 1", "declares entities"]);
    let external = "<!DOCTYPE L [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><L><A>&x;</A></L>";
    fails(&xml(external, &format), &["declares entities"]);
    let parameter = "<!DOCTYPE L [<!ENTITY % x SYSTEM 'http://127.0.0.1/x.dtd'> %x;]><L><A/></L>";
    fails(&xml(parameter, &format), &["declares entities"]);
    fails(&xml("<L><A B='&x;'/></L>", &format), &["line 1", "x"]);
    let plain = "<!DOCTYPE L SYSTEM \"bmecat_new_catalog_1_2.dtd\"><L><A>1</A></L>";
    assert_eq!(xml(plain, &format), [Ok(serde_json::json!({"#text": "1"}))]);
}

#[test]
fn sizes_of_xml_are_limited() {
    let format = xml_format(&["L/A"]);
    let deep = "<B>".repeat(100_000);
    fails(&xml(format!("<L><A>{deep}"), &format), &["line 1, record 1", "more than 100 levels"]);
    fails(&xml(format!("<L>{deep}"), &format), &["line 1", "more than 100 levels"]);
    let long = "x".repeat(LONGEST_FIELD + 100_000);
    fails(&xml(format!("<L>\n<A><N>{long}</N></A></L>"), &format), &["line 2, record 1", "longer than"]);
    fails(&xml(format!("<L><A N='{long}'/></L>"), &format), &["longer than"]);
    fails(&xml(format!("<L><!--{long}--></L>"), &format), &["longer than"]);
    let attributes = numbered(1_000_000, " a#=''");
    fails(&xml(format!("<L><A{attributes}/></L>"), &format), &["line 1"]);
    let attributes = numbered(1_001, " a#=''");
    fails(&xml(format!("<L><A{attributes}/></L>"), &format), &["more than 1000 attributes"]);
    // What one record has too much of costs that record and no other.
    for (children, wanted) in [
        ("<N>1</N>".repeat(1_000_000), "more than 500000 values"),
        (numbered(1_100, "<N#/>"), "more than 1000 children"),
        (format!("<N>{}</N>", "<![CDATA[0123456789]]>".repeat(1_000_001)), "longer than"),
        (format!("<N>{}</N>", "x".repeat(9_000_000)).repeat(6), "longer than 50000000 bytes"),
    ] {
        let found = xml(format!("<L>\n<A>{children}</A><A>2</A></L>"), &format);
        fails(&found, &["t.xml, line 2, record 1", wanted]);
        assert_eq!(found[1..], [Ok(serde_json::json!({"#text": "2"}))]);
    }
}

#[test]
fn json_lists_are_read_wherever_they_stand() {
    let found = json_at(r#" [ {"a": 1.10, "b": [true, null, {"c": ""}]} , {"a": 1e400, "ü\"": "\u00e9"} ] "#, &[]);
    assert_eq!(found[0], Ok(serde_json::json!({"a": "1.10", "b": [true, null, {"c": null}]})));
    assert_eq!(found[1], Ok(serde_json::json!({"a": "1e+400", "ü\"": "é"})));
    let nested = r#"{"x": {"results": [9]}, "d": {"n": "}]", "results": [{"a": 1}], "next": null}, "z": 1}"#;
    assert_eq!(json_at(nested, &["d", "results"]), [Ok(serde_json::json!({"a": "1"}))]);
    assert_eq!(json_at(r#"{"d": {"a": 1}}"#, &["d"]), [Ok(serde_json::json!({"a": "1"}))]);
    assert_eq!(json_at(r#"{"a": 1}"#, &[]), [Ok(serde_json::json!({"a": "1"}))]);
    assert_eq!(json_at("[]", &[]), []);
}

#[test]
fn damaged_json_is_an_error_with_its_line() {
    for (document, path, wanted) in [
        ("", &[][..], &["empty", "cut off"][..]),
        ("[{\"a\": 1},\n{\"a\"", &[], &["line 2, record 2", "cut off"]),
        ("[{\"a\": 1}\n", &[], &["line 2", "cut off"]),
        ("{\"d\": [{\"a\": 1}]", &["d"], &["cut off"]),
        ("[{\"a\": 1}\n{\"a\": 2}]", &[], &["line 2", "expected a comma"]),
        ("[] []", &[], &["end of the file"]),
        ("<html>", &[], &["looks like XML or HTML"]),
        ("{\"error\": \"no\"}", &["value"], &["no 'value'", "there is error"]),
        ("{\"d\": null}", &["d"], &["no list of records at 'd'"]),
        ("{\"d\": [], \"d\": []}", &["d"], &["'d' twice"]),
        ("[1]", &["d"], &["an object with 'd'"]),
        ("\"x\"", &[], &["no list of records at the root"]),
    ] {
        fails(&json_at(document, path), wanted);
    }
    let found = json_at("[{\"a\": 1, \"a\": 2},\n 7,\n {\"a\":\n tru}, {\"a\": \"\\u0000\"}, {\"a\": 3}]", &[]);
    assert_eq!(found[0], Err("t.json, line 1, record 1: the object has 'a' twice".to_owned()));
    assert_eq!(found[1], Err("t.json, line 2, record 2: is a number, not an object".to_owned()));
    fails(&found[2..3], &["line 3, record 3", "is not JSON", "on line 4"]);
    fails(&found[3..4], &["record 4", "'a'", "U+0000"]);
    assert_eq!(found[4], Ok(serde_json::json!({"a": "3"})));
    let latin = b"[{\"a\": \"Caf\xe9\"}]".to_vec();
    fails(&json_at(latin, &[]), &["offset 11, line 1", "UTF-8"]);
}

#[test]
fn sizes_of_json_are_limited() {
    let deep = format!("[{{\"a\": {}{}}}, {{\"a\": 1}}]", "[".repeat(100_000), "]".repeat(100_000));
    let found = json_at(deep.clone(), &[]);
    fails(&found, &["record 1", "more than 100 levels"]);
    assert!(found[1].is_ok());
    let beside = format!("{{\"x\": {deep}, \"d\": []}}");
    assert_eq!(json_at(beside, &["d"]), []);
    fails(
        &lines(format!("{{\"a\": {}\n{{\"a\": 1}}\n", "[".repeat(100_000))),
        &["line 1, record 1", "recursion limit"],
    );
    let long = format!("[{{\"a\": \"{}\"}}]", "x".repeat(LONGEST_FIELD + 1));
    fails(&json_at(long, &[]), &["record 1", "'a' is longer than"]);
    let longer = format!("[{{\"a\": \"{}\"}}]", "x".repeat(5 * LONGEST_FIELD));
    fails(&json_at(longer, &[]), &["record 1", "is longer than 50000000"]);
    let fields = numbered(1_000_000, "\"f#\": 1,");
    fails(&json_at(format!("[{{{fields} \"f\": 1}}]"), &[]), &["more than 10000 fields"]);
    fails(&json_at(format!("[{{\"a\": [{}1]}}]", "1,".repeat(1_000_000)), &[]), &["more than 500000 values"]);
}

#[test]
fn lines_of_json_are_records() {
    let found = lines("{\"a\": 1}\r\n\n{\"a\": }\n[1]\n{\"a\": 2}");
    assert_eq!(found[0], Ok(serde_json::json!({"a": "1"})));
    fails(&found[1..2], &["t.ndjson, line 3, record 2", "is not JSON", "column 7"]);
    assert_eq!(found[2], Err("t.ndjson, line 4, record 3: is a list, not an object".to_owned()));
    assert_eq!(found[3], Ok(serde_json::json!({"a": "2"})));
    fails(&lines("{\"a\": 1}\n{\"a\":"), &["line 2, record 2", "cut off"]);
    assert_eq!(lines(""), []);
}

fn grouped(table: &str) -> Vec<Result<serde_json::Value, String>> {
    let format = csv::Format { delimiter: b';', ..csv::Format::default() };
    let rows = csv::CsvReader::new(bytes(table), "t.csv", &format).unwrap();
    let grouping = group::Grouping { by: vec!["Ref".to_owned()], into: "regels".to_owned() };
    all(Ok(group::GroupReader::new(Box::new(rows), grouping)))
}

#[test]
fn neighbouring_rows_become_one_record() {
    let found = grouped("Ref;Nr;Regel\nA;1;1\nA;1;2\nB;2;1\n");
    assert_eq!(
        found[0],
        Ok(serde_json::json!({"Ref": "A", "Nr": "1", "Regel": "1", "regels": [
            {"Ref": "A", "Nr": "1", "Regel": "1"}, {"Ref": "A", "Nr": "1", "Regel": "2"}]}))
    );
    assert_eq!(found[1].as_ref().unwrap()["regels"].as_array().unwrap().len(), 1);
    assert_eq!(found.len(), 2);
}

#[test]
fn a_group_that_comes_again_is_refused() {
    let found = grouped("Ref;Regel\nA;1\nB;1\nA;2\n");
    assert!(found[0].is_ok() && found[1].is_ok());
    fails(&found[2..], &["t.csv, line 4, record 3", "the group Ref \"A\" is there already"]);
    fails(&grouped("Ref;Regel\n;1\n"), &["line 2", "no value in Ref"]);
    fails(&grouped("Ref;regels\nA;1\n"), &["line 2", "a field 'regels'"]);
}

#[test]
fn a_group_with_an_unreadable_row_is_refused() {
    let found = grouped("Ref;Regel\nA;1\nB;1\nB\nB;2\nC;1\n");
    let ok: Vec<bool> = found.iter().map(Result::is_ok).collect();
    // A; the unreadable row; B, which it stands in; C.
    assert_eq!(ok, [true, false, false, true], "{found:?}");
    let found = grouped("Ref;Regel\nA;1\nB\nC;1\nD;1\n");
    let ok: Vec<bool> = found.iter().map(Result::is_ok).collect();
    assert_eq!(ok, [false, false, false, true], "{found:?}");
}

fn request(json: serde_json::Value) -> Map {
    match Value::from_json(json) {
        Value::Map(map) => map,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_written_as_xml_and_read_back() {
    let format = write::xml::Format {
        namespaces: vec![(String::new(), "urn:o".to_owned()), ("b".to_owned(), "urn:b".to_owned())],
        ..write::xml::Format::new("ORDER")
    };
    let order = request(serde_json::json!({
        "@version": "2.1", "KOP": {"NR": "A<1>&\"'", "LEEG": null, "NIETS": {"A": null, "B": [null]}},
        "b:REGEL": [{"@id": "a\"\n", "AANTAL": 1.25, "OK": true}, {"#text": "=1+1"}], "TEKST": " a\r\nb\t"
    }));
    let written = write::xml::write(&order, &format).unwrap();
    assert_eq!(
        String::from_utf8(written.clone()).unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ORDER xmlns=\"urn:o\" xmlns:b=\"urn:b\" version=\"2.1\">\n  <KOP>\n    <NR>A&lt;1&gt;&amp;\"'</NR>\n  </KOP>\n  \
         <b:REGEL id=\"a&quot;&#10;\">\n    <AANTAL>1.25</AANTAL>\n    <OK>true</OK>\n  </b:REGEL>\n  \
         <b:REGEL>=1+1</b:REGEL>\n  <TEKST> a&#13;\nb\t</TEKST>\n</ORDER>\n"
    );
    let found = xml(written, &xml_format(&["ORDER"]));
    assert_eq!(
        found,
        [Ok(serde_json::json!({"@version": "2.1", "KOP": {"NR": "A<1>&\"'"},
            "REGEL": [{"@id": "a\"\n", "AANTAL": "1.25", "OK": "true"}, "=1+1"], "TEKST": "a\r\nb"}))]
    );
}

#[test]
fn what_xml_cannot_hold_is_refused_by_name() {
    let format = write::xml::Format { namespaces: vec![("b".into(), "urn:b".into())], ..write::xml::Format::new("R") };
    for (json, wanted) in [
        (serde_json::json!({"A": [{"B": "x"}, {"B": "a\u{0}"}]}), "A[2]/B: the control character U+0000"),
        (serde_json::json!({"A": {"@t": "\u{1b}"}}), "A/@t: the control character U+001B"),
        (serde_json::json!({"1A": "x"}), "1A: '1A' is no name"),
        (serde_json::json!({"A": {"@b c": "x"}}), "A/@b c: 'b c' is no name"),
        (serde_json::json!({"c:A": "x"}), "the prefix 'c' has no namespace"),
        (serde_json::json!({"A": [["x"]]}), "A[1]: a list in a list"),
        (serde_json::json!({"A": {"@t": ["x"]}}), "A/@t: a list is no text"),
    ] {
        let error = write::xml::write(&request(json), &format).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let windows =
        write::xml::Format { encoding: Encoding::of("windows-1252").unwrap(), ..write::xml::Format::new("R") };
    let written = write::xml::write(&request(serde_json::json!({"A": "é Łódź"})), &windows).unwrap();
    assert_eq!(xml(written, &xml_format(&["R"])), [Ok(serde_json::json!({"A": "é Łódź"}))]);
    assert!(write::xml::Format { encoding: Encoding::of("utf-16le").unwrap(), ..windows }.check().is_err());
    assert!(write::xml::Format::new("a b").check().is_err());
}

fn dutch() -> write::csv::Format {
    write::csv::Format {
        encoding: Encoding::of("windows-1252").unwrap(),
        delimiter: b';',
        decimal_comma: true,
        ..write::csv::Format::default()
    }
}

#[test]
fn a_request_is_written_as_a_table() {
    let order = request(serde_json::json!({"rows": [
        {"Nr": "1", "Aantal": 2.25, "Tekst": "Café; \"x\"\r\ny", "Leeg": null}, {"Nr": "=1+1", "Ja": true}
    ]}));
    let written = write::csv::write(&order, &dutch()).unwrap();
    let expected = "Nr;Aantal;Tekst;Leeg;Ja\r\n1;2,25;\"Café; \"\"x\"\"\r\ny\";;\r\n=1+1;;;;true\r\n";
    assert_eq!(written, expected.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<_>>());
    let columns = Some(["Ja", "Nr", "Aantal", "Leeg", "Tekst"].map(str::to_owned).to_vec());
    let format = write::csv::Format { columns, header: false, carriage_return: false, ..dutch() };
    let written = String::from_utf8_lossy(&write::csv::write(&order, &format).unwrap()).into_owned();
    assert!(written.starts_with(";1;2,25;;") && written.ends_with("\ntrue;=1+1;;;\n"), "{written}");
}

#[test]
fn what_a_table_cannot_hold_is_refused_by_name() {
    let error = write::csv::write(&request(serde_json::json!({"rows": [{"Naam": "x"}, {"Naam": "Łódź"}]})), &dutch());
    match error {
        Err(WriteError::Encoding { field, character: 'Ł', encoding: "windows-1252" }) => {
            assert_eq!(field.to_string(), "rows[2]/Naam");
        }
        other => panic!("{other:?}"),
    }
    let narrow = write::csv::Format { columns: Some(vec!["Nr".to_owned()]), ..dutch() };
    for (json, wanted) in [
        (serde_json::json!({}), "'rows', which is missing or empty"),
        (serde_json::json!({"rows": [], "x": 1}), "missing or empty"),
        (serde_json::json!({"rows": [{"Nr": 1}], "x": 1}), "x: a table has 'rows' and nothing beside"),
        (serde_json::json!({"rows": [1]}), "rows[1]: a number is no row"),
        (serde_json::json!({"rows": [{"Naam": "x"}]}), "rows[1]/Naam: is none of the columns Nr"),
        (serde_json::json!({"rows": [{"Nr": [1]}]}), "rows[1]/Nr: a list is no field"),
    ] {
        let error = write::csv::write(&request(json), &narrow).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

/// A document without end: its beginning, and then the same record over and over.
struct Endless {
    text: Vec<u8>,
    record: &'static [u8],
    given: Arc<AtomicUsize>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.text.len() < buffer.len() {
            self.text.extend_from_slice(self.record);
        }
        let rest = self.text.split_off(buffer.len());
        buffer.copy_from_slice(&self.text);
        self.text = rest;
        self.given.fetch_add(buffer.len(), Ordering::Relaxed);
        Ok(buffer.len())
    }
}

#[test]
fn a_reader_holds_a_record_and_not_the_file() {
    type Open = fn(Box<dyn Read + Send>) -> Box<dyn Reader>;
    let formats: [(&str, &str, &'static [u8], Open); 5] = [
        ("xml", "<L>", b"<A><N>1</N></A>", |bytes| {
            Box::new(xml::XmlReader::new(bytes, "t", &xml_format(&["L/A"])).unwrap())
        }),
        ("json", "[{\"a\":0}", b",{\"a\":1}", |bytes| {
            Box::new(json::JsonReader::new(bytes, "t", &json::Format::default()).unwrap())
        }),
        ("ndjson", "", b"{\"a\":1}\n", |bytes| {
            Box::new(ndjson::NdjsonReader::new(bytes, "t", &ndjson::Format::default()).unwrap())
        }),
        ("fixed", "", b"00010De Vries\n", |bytes| Box::new(fixed::FixedReader::new(bytes, "t", &positions()).unwrap())),
        ("csv", "Nr\n", b"1\n", |bytes| Box::new(csv::CsvReader::new(bytes, "t", &csv::Format::default()).unwrap())),
    ];
    for (name, beginning, record, open) in formats {
        let given = Arc::new(AtomicUsize::new(0));
        let source = Endless { text: beginning.as_bytes().to_vec(), record, given: Arc::clone(&given) };
        let mut reader = open(Box::new(source));
        let records = 50_000;
        for _ in 0..records {
            assert!(reader.next().unwrap().is_ok(), "{name}");
        }
        let ahead = given.load(Ordering::Relaxed).saturating_sub(records * record.len());
        assert!(ahead < 1 << 20, "{name} read {ahead} bytes ahead");
    }
}
