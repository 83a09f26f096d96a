//! What fuzzers begin with, and what they have found: without a fuzzer, in no time.

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use properties::TARGETS;

/// Of the fuzzers' workspace.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz")
        .join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries
        .map(|entry| {
            let path = entry.expect("entry").path();
            let name = path.file_stem().expect("name");
            name.to_string_lossy().into_owned()
        })
        .collect()
}

#[test]
fn every_target_has_its_fuzzer_and_seeds() {
    let targets: BTreeSet<String> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(targets, names(&folder("fuzz_targets")));
    assert_eq!(targets, names(&folder("seeds")));
}

#[test]
fn properties_hold_of_all_seeds() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for target in TARGETS {
        let seeds = folder("seeds").join(target.name);
        for name in fs::read_dir(&seeds).expect("seeds") {
            let file = name.expect("entry").path();
            let input = fs::read(&file).expect("a seed");
            checked += 1;
            if catch_unwind(AssertUnwindSafe(|| (target.check)(&input))).is_err() {
                wrong.push(file);
            }
        }
    }
    assert!(wrong.is_empty(), "of these inputs they do not: {wrong:#?}");
    assert!(checked > 100, "only {checked} seeds");
}
