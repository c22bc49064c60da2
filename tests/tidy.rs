//! The architecture, as a test: data flows downwards, outside crates stay in their home, every file says why it is there.
//!
//! In: the source files. Out: a list of every fault, or nothing. Only `std` is used, so that the test outlives its subject.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines a file may have, tests included in the file not counted. Files of the models we admire are mostly under 400.
const MAX_LINES: usize = 600;

/// Outside crates and the modules that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("flate2", &["read"]),
    ("libdeflater", &["read"]),
    ("zstd", &["read"]),
    ("zip", &["read"]),
    ("tar", &["read"]),
    ("walkdir", &["discover", "query"]),
    ("glob", &["discover"]),
    ("rustix", &["discover"]),
    ("globset", &["discover", "pipeline"]),
    ("parquet", &["table", "case"]),
    ("snap", &["table"]),
    ("bytes", &["table"]),
    ("arrow_ipc", &["case"]),
    ("polars", &["query"]),
    ("sqlparser", &["query"]),
    ("include_dir", &["query"]),
    ("ring", &["integrity"]),
    ("md5", &["integrity"]),
    ("base64", &["integrity", "report"]),
    ("minijinja", &["report"]),
    ("plotters", &["report"]),
    ("similar", &["report"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["cli"]),
    ("terminal_size", &["cli"]),
    ("unicode_width", &["output"]),
    ("anyhow", &["cli"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path, ending: &str, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, out);
        } else if path.to_string_lossy().ends_with(ending) {
            out.push(path);
        }
    }
}

/// The `pub mod` lines of lib.rs, in order.
fn modules() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned)).collect()
}

/// The module a source file belongs to.
fn home(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules named after `crate::` anywhere in the text, also inside a braced list.
fn used(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let list = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(list, _)| list);
        let names: Vec<&str> = match list {
            Some(list) => list.split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let name: String = name.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            found.push(name);
        }
    }
    found
}

/// Code without comments and without its unit tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + name.len()..];
        let starts = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_' && c != ':' && c != '.');
        starts && (after.starts_with("::") || after.starts_with("!("))
    })
}

#[test]
fn a_module_uses_only_modules_above_it() {
    let order = modules();
    assert!(order.len() > 8, "lib.rs lists the modules in data-flow order");
    let rank: BTreeMap<&str, usize> = order.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let mut sources = Vec::new();
    files(&root().join("src"), ".rs", &mut sources);
    let mut faults = Vec::new();
    let mut checked = 0;
    for path in &sources {
        let module = home(path);
        let Some(own) = rank.get(module.as_str()) else { continue };
        for name in used(&code(&fs::read_to_string(path).unwrap())) {
            if let Some(other) = rank.get(name.as_str()) {
                checked += 1;
                if other > own {
                    faults.push(format!("{}: uses `{name}`, which stands below `{module}` in lib.rs", path.display()));
                }
            }
        }
    }
    assert!(checked > 30, "the property proved nothing");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_outside_crate_is_named_only_at_home() {
    let mut sources = Vec::new();
    files(&root().join("src"), ".rs", &mut sources);
    let mut faults = Vec::new();
    for path in &sources {
        let code = code(&fs::read_to_string(path).unwrap());
        for &(name, homes) in HOMES {
            if names_crate(&code, name) && !homes.contains(&home(path).as_str()) {
                faults.push(format!("{}: names `{name}`, which belongs in {homes:?}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn unsafe_code_stands_in_the_structural_scan_alone() {
    let mut sources = Vec::new();
    files(&root().join("src"), ".rs", &mut sources);
    for path in sources.iter().filter(|path| !path.ends_with("scan/structural.rs")) {
        let text = code(&fs::read_to_string(path).unwrap());
        assert!(!text.contains("unsafe {") && !text.contains("unsafe fn"), "{}: unsafe code", path.display());
    }
}

#[test]
fn every_file_opens_with_why_and_stays_readable() {
    let mut sources = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        files(&root().join(folder), ".rs", &mut sources);
    }
    let mut faults = Vec::new();
    for path in &sources {
        let text = fs::read_to_string(path).unwrap();
        if !text.starts_with("//! ") {
            faults.push(format!("{}: does not open with `//!`", path.display()));
        }
        let lines = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{}: {lines} lines, {MAX_LINES} are readable", path.display()));
        }
    }
    assert!(sources.len() > 30, "the property proved nothing");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Accounts in samples and tests come from AWS's documentation.
#[test]
fn samples_use_documentation_accounts_only() {
    let mut sources = Vec::new();
    files(&root().join("queries"), ".test", &mut sources);
    let mut faults = Vec::new();
    for path in &sources {
        let text = fs::read_to_string(path).unwrap();
        for (at, _) in text.match_indices("arn:aws:iam::") {
            let account: String = text[at + 13..].chars().take_while(char::is_ascii_digit).collect();
            let is_documented = account.is_empty()
                || account.as_bytes().chunks(4).all(|quad| quad.iter().all(|digit| *digit == quad[0]));
            if !is_documented {
                faults.push(format!("{}: account {account}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Planted faults are caught: otherwise the tests above could pass for the wrong reason.
#[test]
fn planted_faults_are_seen() {
    assert_eq!(used("use crate::{case, query::engine};\nlet x = crate::cli::run();"), ["case", "query", "cli"]);
    assert!(names_crate("use polars::prelude::*;", "polars"));
    assert!(!names_crate("use crate::tar::x; my_tar::y()", "tar"));
    assert_eq!(code("// use crate::cli;\nlet a;\n#[cfg(test)]\nmod tests {\nuse crate::cli;"), "let a;");
}
