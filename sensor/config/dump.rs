//! The effective configuration as YAML, for a person who asks what holds and for a program that keeps it.
//!
//! In: the tree that was obeyed, the manual's defaults. Out: YAML that reads to the same configuration, wherever it lies.
//! Never here: a secret; options have none, only the paths of files that do.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::fault::{Place, join};
use super::manual::{self, Entry};
use super::shape::{Member, Shape, shape};
use super::tree::{Node, Tree, Value};
use super::written::Written;

/// Spaces for each level.
const INDENT: usize = 2;

/// Writes every option with its value. Relative paths are written behind `folder`.
pub(super) fn dump(tree: &Tree, folder: &Path) -> String {
    let mut out = format!(
        "# The configuration that holds (haetae {}). `default`: no file says it; `not set`: nothing does.\n",
        env!("CARGO_PKG_VERSION")
    );
    if let Some(Shape::Section(members)) = shape::<Written>() {
        let desk = Desk { entries: manual::entries(), folder };
        desk.section(&mut out, &members, Some(&tree.root), "", 0);
    }
    out
}

struct Desk<'a> {
    entries: BTreeMap<String, Entry>,
    folder: &'a Path,
}

impl Desk<'_> {
    fn section(&self, out: &mut String, members: &[Member], node: Option<&Node>, path: &str, indent: usize) {
        // Beside a folder the options of an interface mean nothing and are refused.
        let folder = path == "capture[]" && node.and_then(|node| node.child("directory")).is_some();
        for member in members {
            let given = node.and_then(|node| node.child(member.name));
            if given.is_some() || !folder {
                self.option(out, member, given, &join(path, member.name), indent);
            }
        }
    }

    fn option(&self, out: &mut String, member: &Member, given: Option<&Node>, path: &str, indent: usize) {
        let Member { name, shape, optional } = member;
        let default = self.entries.get(path).and_then(|entry| entry.default.as_deref());
        let line = match (shape, given, default) {
            (Shape::Section(members), ..) if given.is_some() || !optional || path == "outputs.eve" => {
                let _ = writeln!(out, "{:indent$}{name}:", "");
                return self.section(out, members, given, path, indent + INDENT);
            }
            (Shape::List(item), Some(node), _) if matches!(**item, Shape::Section(_)) => {
                return self.list(out, name, item, node, path, indent);
            }
            (_, Some(node), _) => format!("{name}: {}{}", self.value(shape, node), origin(&node.place)),
            (_, None, Some(default)) => {
                let node = Tree::parse("the manual", default).map(|tree| self.value(shape, &tree.root));
                format!("{name}: {}  # default", node.unwrap_or_else(|_| default.to_string()))
            }
            (_, None, None) => format!("# {name}: not set"),
        };
        let _ = writeln!(out, "{:indent$}{line}", "");
    }

    fn list(&self, out: &mut String, name: &str, item: &Shape, node: &Node, path: &str, indent: usize) {
        let (Value::List(items), Shape::Section(members)) = (&node.value, item) else { return };
        let empty = if items.is_empty() { " []" } else { "" };
        let _ = writeln!(out, "{:indent$}{name}:{empty}{}", "", origin(&node.place));
        for item in items {
            let _ = writeln!(out, "{:1$}-", "", indent + INDENT);
            self.section(out, members, Some(item), &format!("{path}[]"), indent + 2 * INDENT);
        }
    }

    fn value(&self, shape: &Shape, node: &Node) -> String {
        match (&node.value, shape) {
            (Value::List(items), _) => {
                let item = if let Shape::List(item) = shape { item } else { shape };
                let items: Vec<String> = items.iter().map(|node| self.value(item, node)).collect();
                format!("[{}]", items.join(", "))
            }
            (Value::Map(entries), _) => {
                let each = if let Shape::Names(each) = shape { each } else { shape };
                let entry = |name: &str, node: &Node| format!("{}: {}", quoted(name), self.value(each, node));
                let entries: Vec<String> = entries.iter().map(|(key, node)| entry(&key.name, node)).collect();
                format!("{{{}}}", entries.join(", "))
            }
            (Value::Number { value, .. }, Shape::Text | Shape::OneOrMany) => quoted(&value.to_string()),
            (Value::Number { value, .. }, Shape::Path) => self.path(&value.to_string()),
            (Value::Number { value, .. }, _) => value.to_string(),
            (Value::Text(text), Shape::Path) => self.path(text),
            // The reader knows their letters, and none needs quotes.
            (Value::Text(text), Shape::Word(_) | Shape::Formed(_)) => text.trim().to_string(),
            (Value::Text(text), _) => quoted(text),
            (Value::Bool(value), _) => value.to_string(),
            // No option takes these; a configuration that has them is refused before it is written out.
            (Value::Fraction(_) | Value::Null, _) => "null".to_string(),
        }
    }

    fn path(&self, text: &str) -> String {
        quoted(&self.folder.join(text).to_string_lossy())
    }
}

/// Who says it, if not the file.
fn origin(place: &Place) -> &'static str {
    match place {
        Place::File { .. } | Place::Absent(_) => "",
        Place::Environment(_) => "  # HAETAE_LOG",
        Place::Set(_) => "  # --set",
    }
}

/// A YAML text in double quotes (YAML 1.2.2, section 5.7).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            // What is not printable, ends a line for somebody, or is a byte-order mark.
            _ if letter.is_control() || "\u{2028}\u{2029}\u{feff}".contains(letter) => {
                let _ = write!(out, "\\U{:08x}", u32::from(letter));
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Config, parse};
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HAETAE_LOG" => Some("debug".into()),
            "WHERE" => Some("/tmp".into()),
            _ => None,
        }
    }

    fn settled(text: &str, folder: &Path, sets: &[String]) -> (Config, String) {
        let settled = super::super::settled("f", text, folder, sets, &environment, crate::emit::Secrets::Opened);
        let (config, tree) = settled.unwrap_or_else(|refused| panic!("{text}{refused:?}"));
        let dumped = dump(&tree, folder);
        (config, dumped)
    }

    /// What is written out reads to the same configuration, from another folder and without the arguments.
    fn comes_back(text: &str, folder: &Path, sets: &[String]) -> String {
        let (config, dumped) = settled(text, folder, sets);
        let again = parse("g", &dumped, Path::new("/nowhere"), &[], &|_| None);
        let again = again.unwrap_or_else(|refused| panic!("{dumped}{refused:?}"));
        assert_eq!(format!("{config:?}"), format!("{again:?}"), "{dumped}");
        let (_, twice) = (again, settled(&dumped, Path::new("/nowhere"), &[]).1);
        let bare =
            |text: &str| text.lines().map(|line| line.split("  #").next().map(str::to_string)).collect::<Vec<_>>();
        assert_eq!(bare(&dumped), bare(&twice));
        dumped
    }

    #[test]
    fn nothing_written_is_all_defaults_and_says_so() {
        let dumped = dump(&Tree::parse("f", "").expect("it is YAML"), Path::new("/etc"));
        let config = parse("g", &dumped, Path::new(""), &[], &|_| None).expect("it is sound");
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()), "{dumped}");
        for line in
            ["  id: \"local\"  # default", "  # key: not set", "# centre: not set", "  workers: auto  # default"]
        {
            assert!(dumped.lines().any(|one| one == line), "{line}:\n{dumped}");
        }
    }

    #[test]
    fn everything_written_comes_back_from_another_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["rules.d", "allow \u{e9}.txt", "ring"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let dumped = comes_back(
            "site: { id: 17, sectors: [\"a: b\", \"c # d\"], language: ko }\n\
             networks:\n  home: [10.0.0.0/8, \"2001:db8::/32\"]\n  named: { \"a.b\": 10.1.0.0/16, \"x: y\": [10.2.0.0/16] }\n\
             \x20 proxies: [{ address: 10.0.0.8, trust_forwarded_for: true }, { address: 10.0.0.9 }]\n\
             capture: [{ interface: tap0, filter: \"not port 10514\" }, { directory: ring }]\n\
             rules: { local: [rules.d], allow: [\"allow \u{e9}.txt\", \"${WHERE}\"], answers: true }\n\
             outputs: { eve: { path: eve.json, events: [alert] } }\n\
             centre: { url: \"http://[::1]:9/v1\" }\nmetrics: { listen: \"[::1]:9920\" }\n\
             limits: { flows_max: 0x1000, reassembly_max: \"1 GiB\" }\n",
            folder.path(),
            &["limits.workers=3".to_string()],
        );
        for line in ["  workers: 3  # --set", "  level: debug  # HAETAE_LOG", "  flows_max: 4096", "  id: \"17\""] {
            assert!(dumped.lines().any(|one| one == line), "{line}:\n{dumped}");
        }
        assert!(!dumped.contains("${"), "{dumped}");
    }

    #[test]
    fn a_default_within_an_absent_section_is_what_its_absence_means() {
        let text = "networks: { home: [10.0.0.0/8], proxies: [{ address: 10.0.0.8 }] }\ncapture: [{ interface: a }]\n\
                    centre: { url: \"http://[::1]:9/v1\" }\nmetrics: { listen: \"127.0.0.1:1\" }\n";
        let dumped = comes_back(text, Path::new("/"), &[]);
        for line in ["backend: auto", "ring: 64MiB", "spool: \"/var/lib/haetae/spool\"", "trust_forwarded_for: false"] {
            assert!(dumped.contains(&format!("{line}  # default")), "{line}:\n{dumped}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(id in "[a-zA-Z0-9._-]{1,64}", sector in "[^\\p{C}$]{1,8}[a-z]", file in "[^\\p{C}/$]{1,9}x") {
            let text = format!(
                "site: {{ id: {}, sectors: [{}] }}\noutputs: {{ eve: {{ path: {} }} }}\n",
                quoted(&id), quoted(&sector), quoted(&file)
            );
            comes_back(&text, Path::new("/srv"), &[]);
        }

        #[test]
        fn any_letter_can_be_quoted(text in ".*") {
            let read: String = serde_yaml::from_str(&quoted(&text)).expect("it is YAML");
            prop_assert_eq!(read, text);
        }
    }
}
