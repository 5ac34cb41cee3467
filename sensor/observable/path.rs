//! Where a value stands in an EVE record: a dotted path, taken apart once, when its row is made.
//!
//! In: `dns.queries[].rrname`. Out: its containers and its own name, each with whether it is a list. Never here: a value.

/// Objects that a value may stand in, one inside the other; a row with more does not compile.
const CONTAINERS_MAX: usize = 4;

/// A part of a path; `[]` behind it is not part of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// As it is written.
    pub text: &'static str,
    /// Whether there are several: of objects for a container, of values for the last name.
    pub list: bool,
}

impl Name {
    const NONE: Name = Name { text: "", list: false };

    const fn of(written: &'static str) -> Self {
        match written.as_bytes() {
            [.., b'[', b']'] => Name { text: written.split_at(written.len() - 2).0, list: true },
            _ => Name { text: written, list: false },
        }
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Path {
    text: &'static str,
    /// The text up to the last name: two paths with the same one need no look at their containers.
    parent: &'static str,
    containers: [Name; CONTAINERS_MAX],
    depth: usize,
    innermost_list: Option<usize>,
    /// The last name.
    pub leaf: Name,
}

impl Path {
    /// A path as it is written.
    ///
    /// # Panics
    /// A container without a name, or more containers than a path may have; for a static row, when it is compiled.
    pub const fn of(text: &'static str) -> Self {
        let (mut containers, mut depth, mut innermost_list) = ([Name::NONE; CONTAINERS_MAX], 0, None);
        let (mut start, mut at) = (0, 0);
        while at < text.len() {
            if text.as_bytes()[at] == b'.' {
                assert!(at > start && depth < CONTAINERS_MAX, "a container without a name, or too many of them");
                containers[depth] = Name::of(text.split_at(at).0.split_at(start).1);
                if containers[depth].list {
                    innermost_list = Some(depth);
                }
                depth += 1;
                start = at + 1;
            }
            at += 1;
        }
        let (parent, leaf) = text.split_at(start);
        Path { text, parent, containers, depth, innermost_list, leaf: Name::of(leaf) }
    }

    /// Whether it leads nowhere: such a value is never printed.
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The objects that the value stands in, outermost first.
    pub fn containers(&self) -> &[Name] {
        &self.containers[..self.depth]
    }

    /// Which of them is the innermost list.
    pub const fn innermost_list(&self) -> Option<usize> {
        self.innermost_list
    }

    /// How many containers two paths have in common.
    pub fn shared(&self, other: &Path) -> usize {
        if self.parent == other.parent {
            return self.depth;
        }
        self.containers().iter().zip(other.containers()).take_while(|(one, other)| one == other).count()
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Path {}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &Path) -> Vec<(&'static str, bool)> {
        path.containers().iter().chain([&path.leaf]).map(|name| (name.text, name.list)).collect()
    }

    #[test]
    fn a_path_is_its_containers_and_its_own_name() {
        let path = Path::of("dns.answers[].srv.port");
        assert_eq!(texts(&path), [("dns", false), ("answers", true), ("srv", false), ("port", false)]);
        assert_eq!(path.innermost_list(), Some(1));
        let path = Path::of("tls.client_alpns[]");
        assert_eq!((texts(&path), path.innermost_list()), (vec![("tls", false), ("client_alpns", true)], None));
        assert_eq!(texts(&Path::of("tx_id")), [("tx_id", false)]);
        assert!(Path::of("").is_empty() && !Path::of("tx_id").is_empty());
    }

    #[test]
    fn two_paths_share_the_containers_that_are_the_same_from_the_outside() {
        let shared = |one, other| Path::of(one).shared(&Path::of(other));
        assert_eq!(shared("dns.answers[].rrname", "dns.answers[].rdata"), 2);
        assert_eq!(shared("dns.answers[].rrname", "dns.answers[].srv.port"), 2);
        assert_eq!(shared("dns.answers[].rrname", "dns.queries[].rrname"), 1);
        assert_eq!(shared("dns.answers.rrname", "dns.answers[].rrname"), 1);
        assert_eq!(shared("tx_id", "dns.id"), 0);
        assert_eq!(shared("tx_id", "flow_id"), 0);
    }

    #[test]
    #[should_panic(expected = "a container without a name")]
    fn a_container_has_a_name() {
        Path::of("dns..id");
    }
}
