//! `deploy/haetae.yaml` read as the manual that it is: what an option is for stands in the comment above it, and its default
//! is what is switched on there.
//!
//! In: the file as it was when the program was built. Out: a description and a default for each option. Never here: a
//! second text about an option.

use std::collections::BTreeMap;

/// The file with every option.
pub(super) const TEXT: &str = include_str!("../../deploy/haetae.yaml");

/// Defaults of options whose section is absent by default, so that the file can only show an example of it.
static WITHIN: &[(&str, &str)] = &[
    ("networks.proxies[].trust_forwarded_for", "false"),
    ("capture[].backend", "auto"),
    ("capture[].ring", "64MiB"),
    ("capture[].snaplen", "262144"),
    ("capture[].promiscuous", "true"),
    ("capture[].allow_cut_off", "false"),
    ("capture[].busy_poll", "0"),
    ("capture[].shunt", "0"),
    ("centre.spool", "/var/lib/haetae/spool"),
    ("metrics.allow_remote", "false"),
    ("quarantine.files", "32"),
];

/// What the manual says of an option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// In sentences; empty if it has no line of its own.
    pub(super) description: String,
    /// As YAML; `None`: it is absent by default.
    pub(super) default: Option<String>,
}

/// All options that have a line, by path; the entries of a list are `[]`.
pub(super) fn entries() -> BTreeMap<String, Entry> {
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut above: Vec<(usize, String)> = Vec::new();
    let mut prose: Vec<&str> = Vec::new();
    for line in TEXT.lines() {
        let text = line.trim_start();
        if let Some(sentence) = text.strip_prefix("# ").filter(|rest| !rest.starts_with(' ')) {
            prose.push(sentence);
            continue;
        }
        if let Some((indent, path, value)) = option(line, &mut above) {
            let default = (!line.starts_with('#') && !value.is_empty()).then(|| value.to_string());
            let description = prose.join(" ");
            // The second entry of a list may show the same option again.
            entries.entry(path).or_insert(Entry { description, default });
            debug_assert!(above.last().is_some_and(|(at, _)| *at == indent), "it was put there");
        }
        prose.clear();
    }
    for (path, default) in WITHIN {
        entries.entry((*path).to_string()).or_default().default = Some((*default).to_string());
    }
    entries
}

/// The indentation, path and value of a line with an option, switched on or off; `above` are the sections around it.
fn option<'a>(line: &'a str, above: &mut Vec<(usize, String)>) -> Option<(usize, String, &'a str)> {
    let line = line.strip_prefix('#').unwrap_or(line);
    let item = line.trim_start().starts_with("- ");
    let words = line.trim_start().trim_start_matches("- ");
    let (name, value) = words.split_once(':')?;
    let indent = line.len() - words.len();
    let begin = if item { indent - "- ".len() } else { indent };
    above.retain(|(at, _)| *at < begin);
    let path = match above.last() {
        None => name.to_string(),
        Some((_, section)) if item => format!("{section}[].{name}"),
        Some((_, section)) => format!("{section}.{name}"),
    };
    if item {
        // The options that follow stand in the same entry.
        let section = above.last().map(|(_, section)| format!("{section}[]"))?;
        above.push((begin, section));
    }
    above.push((indent, path.clone()));
    Some((indent, path, value.trim()))
}

/// `deploy/haetae.yaml` with its options switched on: `#name:` and `#  name:` are options, `# Text` is prose.
#[cfg(test)]
pub(super) fn switched_on(text: &str) -> String {
    let option = |line: &&str| line.starts_with('#') && !line.starts_with("# ") || line.starts_with("#  ");
    text.lines().map(|line| if option(&line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_describes_the_option_below_it() {
        let entries = entries();
        let id = &entries["site.id"];
        assert_eq!(id.default.as_deref(), Some("local"));
        assert!(entries["site"].description.starts_with("Who we are."), "{entries:?}");
        assert!(entries["limits.workers"].description.starts_with("Worker threads: auto"), "{entries:?}");
        assert!(entries["capture[].backend"].description.starts_with("How it is read"), "{entries:?}");
        assert!(entries["capture[].directory"].description.contains("another program rotates"), "{entries:?}");
        assert_eq!(entries["centre.token"].default, None, "what is switched off is an example");
    }
}
