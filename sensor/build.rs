//! The names of all fields that hold text, read off the rows in the parsers' files: a rule that names a field (a
//! pattern's `in`) is checked against what the parsers say, without a second list that somebody would have to keep.
//!
//! In: `sensor/protocol/`. Out: `text_fields.rs`, a sorted array. Never here: anything but names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const PARSERS: &str = "sensor/protocol";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={PARSERS}");
    println!("cargo::rerun-if-changed=sensor/build.rs");
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let mut names = BTreeSet::new();
    read_folder(&variable("CARGO_MANIFEST_DIR")?.join(PARSERS), &mut names)?;
    fs::write(variable("OUT_DIR")?.join("text_fields.rs"), format!("{names:#?}").replace('{', "[").replace('}', "]"))
}

fn read_folder(folder: &Path, names: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_folder(&path, names)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            read_rows(&fs::read_to_string(path)?, names);
        }
    }
    Ok(())
}

/// Rows look like `Field::plain("http.http_user_agent", Form::Text)` and `Field::sought("tls.sni", &KINDS)`; a row ends
/// where its statement or the next row does. Rows of tests name what no parser says.
fn read_rows(source: &str, names: &mut BTreeSet<String>) {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    for row in source.split("Field::").skip(1) {
        let row = row.split(';').next().unwrap_or_default();
        let Some((maker, rest)) = row.split_once('(') else { continue };
        let Some((name, rest)) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')) else {
            continue;
        };
        let is_text = match maker.trim() {
            "plain" => rest.contains("Form::Text"),
            "sought" => !rest.contains(".address()"),
            _ => false,
        };
        if is_text {
            names.insert(name.to_owned());
        }
    }
}
