//! The mappings that ship: every one compiles, has examples, and its examples hold.

use std::path::{Path, PathBuf};

use tradebridge::config::Document;
use tradebridge::mapping::AnyMapping;
use tradebridge::model::PartKind;

fn mapping_files(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            mapping_files(&path, files);
        } else if path.extension().is_some_and(|e| e == "toml") {
            files.push(path);
        }
    }
}

#[test]
fn the_examples_of_every_shipped_mapping_hold() {
    let mut files = Vec::new();
    mapping_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings"), &mut files);
    assert!(!files.is_empty());
    for file in files {
        let mapping =
            AnyMapping::compile(&Document::load(&file).unwrap()).unwrap_or_else(|problems| panic!("{problems}"));
        let results = mapping.examples();
        assert!(results.len() >= 2, "{} has too few examples", file.display());
        for result in results {
            assert!(result.differences.is_empty(), "{}:{}: {:?}", file.display(), result.line, result.differences);
        }
    }
}

#[test]
fn configuration_and_model_name_the_same_kinds() {
    for kind in PartKind::ALL {
        let configured = tradebridge::config::ENTITIES.contains(&kind.name());
        assert!(configured || kind == PartKind::OrderStatusLine, "{kind} cannot be configured");
    }
}
