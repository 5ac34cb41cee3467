//! The source tree as text: files, code without comments and literals, the rooms it names, its functions.
//!
//! In: a folder. Out: [`Source`]s. Never here: a rule.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file, with a copy in which comments and literals are blank.
pub struct Source {
    pub path: String,
    pub text: String,
    pub code: String,
    /// The line, from 0, at which its tests begin; all of it for a file of tests.
    pub tests: usize,
}

impl Source {
    pub fn new(path: String, text: String, only_tests: bool) -> Self {
        let code = blanked(&text);
        let lines: Vec<&str> = code.lines().collect();
        let marks = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].contains('{');
        let foot = lines.windows(2).position(marks).unwrap_or(lines.len());
        Source { path, text, code, tests: if only_tests { 0 } else { foot } }
    }

    /// `sensor/flow/table.rs` and `sensor/flow.rs` are the room `flow`.
    pub fn room(&self) -> &str {
        let inside = self.path.strip_prefix("sensor/").unwrap_or(&self.path);
        inside.split(['/', '.']).next().unwrap_or_default()
    }

    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().take(self.tests).enumerate().map(|(at, line)| (at + 1, line))
    }
}

pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into()).into()
}

/// All files of the project, as paths with `/`, without what is built, fetched or not ours.
fn files(folder: &Path, found: &mut Vec<(String, u64)>) {
    let mut entries: Vec<_> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let data = entry.metadata().expect("its size");
        let name = entry.file_name();
        if data.is_dir() && name != "target" && name != ".git" {
            files(&entry.path(), found);
        } else if data.is_file() && name != ".git" {
            let path = entry.path();
            let path = path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
            found.push((path, data.len()));
        }
    }
}

pub fn all_files() -> Vec<(String, u64)> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    found
}

pub fn sources(below: &str) -> Vec<Source> {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("source is text");
    let mut paths: Vec<String> = all_files().into_iter().map(|(path, _)| path).collect();
    paths.retain(|path| path.starts_with(below) && path.ends_with(".rs"));
    let texts: Vec<(String, String)> = paths.into_iter().map(|path| (path.clone(), read(&path))).collect();
    let only_tests: BTreeSet<String> = texts.iter().flat_map(|(path, text)| test_files(path, text)).collect();
    texts
        .into_iter()
        .map(|(path, text)| {
            let only = only_tests.contains(&path);
            Source::new(path, text, only)
        })
        .collect()
}

/// Files that a `#[cfg(test)] mod name;` line brings in.
fn test_files(path: &str, text: &str) -> Vec<String> {
    let folder = match path.rsplit_once('/') {
        Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_string(),
        _ => path.trim_end_matches(".rs").to_string(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let named = |pair: &[&str]| {
        let name = pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ")?.strip_suffix(';')?;
        (pair[0] == "#[cfg(test)]").then(|| format!("{folder}/{name}.rs"))
    };
    lines.windows(2).filter_map(named).collect()
}

/// The same text with comments, strings and characters blank; line breaks stay.
fn blanked(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let end = blank_end(&letters, at);
        if end == at {
            out.push(letters[at]);
            at += 1;
        } else {
            out.extend(letters[at..end].iter().map(|&letter| if letter == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` if none begins.
fn blank_end(letters: &[char], at: usize) -> usize {
    let next = |ahead: usize| letters.get(at + ahead).copied().unwrap_or('\n');
    let wordy = at > 0 && (letters[at - 1].is_alphanumeric() || letters[at - 1] == '_');
    match (letters[at], next(1)) {
        ('/', '/') => find(letters, at, &['\n']),
        ('/', '*') => find(letters, at + 2, &['*', '/']) + 2,
        ('"', _) => quote_end(letters, at + 1, '"'),
        // A lifetime has no closing quote two letters on.
        ('\'', '\\') => quote_end(letters, at + 1, '\''),
        ('\'', _) if next(2) == '\'' => at + 3,
        ('r', '"' | '#') if !wordy => raw_end(letters, at),
        _ => at,
    }
    .min(letters.len())
}

fn raw_end(letters: &[char], at: usize) -> usize {
    let hashes = letters[at + 1..].iter().take_while(|&&letter| letter == '#').count();
    if letters.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    find(letters, at + 2 + hashes, &close) + close.len()
}

fn quote_end(letters: &[char], mut at: usize, quote: char) -> usize {
    while at < letters.len() && letters[at] != quote {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn find(letters: &[char], from: usize, what: &[char]) -> usize {
    let rest = letters.get(from..).unwrap_or_default();
    rest.windows(what.len()).position(|window| window == what).map_or(letters.len(), |found| from + found)
}

/// Where `word` stands in a line, not as a part of a longer word.
pub fn has_word(line: &str, word: &str) -> bool {
    let wordy = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(wordy) && word.starts_with(wordy);
        let after = line[at + word.len()..].chars().next().is_some_and(wordy) && word.ends_with(wordy);
        !before && !after
    })
}

/// The rooms that code names behind `crate::`, with their lines from 1.
pub fn rooms_used(code: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + "crate::".len()..];
        let names = rest.strip_prefix('{').map_or(vec![rest], top_level);
        for name in names {
            let name: String =
                name.trim().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
            used.push((line, name));
        }
    }
    used
}

/// The items of a braced list, without those of lists inside it.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if letter == '}' && start == at + 1 {
            break;
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// Functions with their first line (from 1) and length in lines.
pub fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(place) = line.find("fn ").filter(|&place| place == 0 || line[..place].ends_with([' ', '('])) else {
            continue;
        };
        let name: String =
            line[place + 3..].chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
        if let Some(length) = block_lines(&lines[at..], place).filter(|_| !name.is_empty()) {
            found.push((name, at + 1, length));
        }
    }
    found
}

/// Lines up to the brace that closes the first one opened; `None` if a `;` comes first.
fn block_lines(lines: &[&str], from: usize) -> Option<usize> {
    let (mut depth, mut brackets) = (0, 0);
    for (at, line) in lines.iter().enumerate() {
        for letter in line.chars().skip(if at == 0 { from } else { 0 }) {
            match letter {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                '{' => depth += 1,
                '}' if depth <= 1 => return Some(at + 1),
                '}' => depth -= 1,
                ';' if depth == 0 && brackets == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

#[test]
fn the_reader_of_source_is_not_fooled() {
    let text = "let a = \"std::fs // {\"; // fn x() {\nlet c = '{'; let l: &'a str = r#\"}\"#; /* fn\n */ go();\n";
    let code = blanked(text);
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(!code.contains(['{', '}']) && !code.contains("fn") && code.contains("go()") && code.contains("&'a str"));
    let used = rooms_used("use crate::{\n    flow::{Scene, View},\n    limits,\n};\nuse crate::alert::Alert;\n");
    assert_eq!(used, [(1, "flow".into()), (1, "limits".into()), (5, "alert".into())]);
    let found = functions("fn one(a: [u8; 2]) {\n    if a { b }\n}\ntrait T {\n    fn two();\n    fn three() {}\n}\n");
    assert_eq!(found, [("one".into(), 1, 3), ("three".into(), 6, 1)]);
    assert!(has_word("a.println!(", "println!") && !has_word("eprintln!(", "println!"));
    assert_eq!(test_files("sensor/a/mod.rs", "#[cfg(test)]\nmod b;\n"), ["sensor/a/b.rs"]);
}
