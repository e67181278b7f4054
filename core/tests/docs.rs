//! The documents name what there is.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below `place` with this ending, but for what is built.
fn files(place: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place).expect("a directory") {
        let path = entry.expect("an entry").path();
        let skipped = path.file_name().is_some_and(|name| name == "target" || name == ".git");
        if path.is_dir() && !skipped {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found
}

/// The README and all below `docs`, each with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = files(&root().join("docs"), "md");
    paths.push(root().join("README.md"));
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).expect("text"))).collect()
}

/// What stands between each `open` and the `close` that follows.
fn between<'t>(text: &'t str, open: &'t str, close: char) -> impl Iterator<Item = &'t str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split_once(close).map(|(inside, _)| inside))
}

#[test]
fn every_test_and_field_that_a_document_names_is_there() {
    let sources: Vec<_> =
        files(&root(), "rs").iter().map(|path| fs::read_to_string(path).expect("text")).collect();
    let mut named = 0;
    for (path, text) in documents() {
        let names = text.split('`').filter(|name| {
            name.matches('_').count() >= 2
                && name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
        });
        for name in names {
            let (function, field) = (format!("fn {name}("), format!("{name}:"));
            let there = |source: &String| source.contains(&function) || source.contains(&field);
            assert!(sources.iter().any(there), "{}: {name}", path.display());
            named += 1;
        }
    }
    assert!(named > 50, "only {named} are named");
}

#[test]
fn every_link_between_documents_and_files_leads_somewhere() {
    for (path, text) in documents() {
        for link in between(&text, "](", ')').filter(|link| !link.starts_with("http")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name("").join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if heading.is_empty() {
                continue;
            }
            let target = fs::read_to_string(target).expect("text");
            let headings = target.lines().filter(|line| line.starts_with('#'));
            let mut anchors =
                headings.map(|line| line.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-"));
            assert!(anchors.any(|anchor| anchor == heading), "{}: {link}", path.display());
        }
    }
}
