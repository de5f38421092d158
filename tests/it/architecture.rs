//! The stairs of the house: imports between rooms point down, never up, never sideways, never in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rooms by step, the lowest first. Rooms of one step do not know each other.
const STEPS: &[&[&str]] = &[
    &["model", "record", "config", "telemetry"],
    &["expression"],
    &["connector", "mapping", "store", "trade"],
    &["sync", "answers", "queue"],
    &["publish", "orders"],
    &["api", "console"],
    &["daemon"],
    &["cli"],
];

/// The lowest step is the ground everything stands on: its rooms may use each other where no circle arises.
const GROUND: usize = 0;

fn step(room: &str) -> Option<usize> {
    STEPS.iter().position(|rooms| rooms.contains(&room))
}

fn rust_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

/// The code of a file without its unit tests and its comments.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The module path of a source file: `src/model/value.rs` is `model::value`.
fn module(path: &Path, root: &Path) -> Vec<String> {
    let relative = path.strip_prefix(root).unwrap().with_extension("");
    let mut names: Vec<String> = relative.iter().map(|n| n.to_str().unwrap().to_owned()).collect();
    if names.last().is_some_and(|n| n == "mod" || n == "lib" || n == "main") {
        names.pop();
    }
    names
}

/// Paths that follow `crate::`, groups in braces taken apart: `crate::model::{Key, shape::of}` is two.
fn imports(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let bytes = code.as_bytes();
        if at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') {
            continue;
        }
        paths(&code[at + "crate::".len()..], &mut Vec::new(), &mut found);
    }
    found
}

fn paths<'a>(mut rest: &'a str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> &'a str {
    let depth = prefix.len();
    loop {
        rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            rest = group;
            loop {
                rest = paths(rest, prefix, found).trim_start();
                match rest.strip_prefix(',') {
                    Some(more) if !more.trim_start().starts_with('}') => rest = more,
                    Some(more) => rest = more.trim_start(),
                    None => break,
                }
                if rest.starts_with('}') {
                    break;
                }
            }
            prefix.truncate(depth);
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(rest.len());
        if end == 0 {
            prefix.truncate(depth);
            return rest;
        }
        prefix.push(rest[..end].to_owned());
        rest = &rest[end..];
        if let Some(deeper) = rest.strip_prefix("::") {
            rest = deeper;
        } else {
            found.push(prefix.clone());
            prefix.truncate(depth);
            return rest;
        }
    }
}

#[test]
fn imports_point_down_the_stairs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let own = module(file, &root);
        let Some(home) = own.first() else { continue };
        let own_step = step(home).unwrap_or_else(|| panic!("src/{home} is a room that the stairs do not know"));
        for import in imports(&code(file)) {
            let Some(other) = import.first() else { continue };
            if other == home {
                continue;
            }
            let Some(other_step) = step(other) else { continue };
            let sideways = other_step == own_step && own_step != GROUND;
            if other_step > own_step || sideways {
                let way = if sideways { "sideways" } else { "up" };
                wrong.push(format!("{} imports crate::{}: {way}", file.display(), import.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "imports point down the stairs:\n{}", wrong.join("\n"));
}

#[test]
fn no_circle_between_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let modules: BTreeSet<Vec<String>> = files.iter().map(|f| module(f, &root)).filter(|m| !m.is_empty()).collect();
    let mut edges: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for file in &files {
        let own = module(file, &root);
        if own.is_empty() {
            continue;
        }
        for import in imports(&code(file)) {
            // The file that holds an imported item is the longest prefix of the path that is a module. A room's
            // front (mod.rs) only names its inner files, so a path through it leads to the file behind it.
            let target = (1..=import.len()).rev().map(|n| import[..n].to_vec()).find(|m| modules.contains(m));
            if let Some(target) = target
                && target != own
                && !own.starts_with(&target)
                && !target.starts_with(&own)
            {
                edges.entry(own.clone()).or_default().insert(target);
            }
        }
    }
    let mut done = BTreeSet::new();
    for start in edges.keys() {
        let mut way = Vec::new();
        if let Some(circle) = circle(start, &edges, &mut way, &mut done) {
            let names: Vec<String> = circle.iter().map(|m| m.join("::")).collect();
            panic!("files import each other in a circle: {}", names.join(" -> "));
        }
    }
}

fn circle(
    at: &[String],
    edges: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
    way: &mut Vec<Vec<String>>,
    done: &mut BTreeSet<Vec<String>>,
) -> Option<Vec<Vec<String>>> {
    if let Some(begin) = way.iter().position(|m| m == at) {
        let mut circle = way[begin..].to_vec();
        circle.push(at.to_vec());
        return Some(circle);
    }
    if done.contains(at) {
        return None;
    }
    way.push(at.to_vec());
    for next in edges.get(at).into_iter().flatten() {
        if let Some(found) = circle(next, edges, way, done) {
            return Some(found);
        }
    }
    way.pop();
    done.insert(at.to_vec());
    None
}

#[test]
fn the_reader_of_imports_sees_groups() {
    let found = imports("use crate::model::{Key, shape::{self, of}};\nlet x = crate::config::load();");
    let found: Vec<String> = found.iter().map(|p| p.join("::")).collect();
    assert_eq!(found, ["model::Key", "model::shape::self", "model::shape::of", "config::load"]);
}
