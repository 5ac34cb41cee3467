//! Groups of this machine, as `/etc/group` lists them (group(5)).

use std::fs;

/// The number of a group that is named, or given as a number.
pub(super) fn number(group: &str) -> Option<u32> {
    group.parse().ok().or_else(|| number_in(&listed(), group))
}

/// The name of a group.
pub(crate) fn name(number: u32) -> Option<String> {
    let listed = listed();
    let mut rows = rows(&listed);
    rows.find(|row| row.1 == number).map(|row| row.0.to_owned())
}

fn listed() -> String {
    fs::read_to_string("/etc/group").unwrap_or_default()
}

fn rows(listed: &str) -> impl Iterator<Item = (&str, u32)> {
    listed.lines().filter_map(|line| {
        let mut parts = line.split(':');
        Some((parts.next()?, parts.nth(1)?.parse().ok()?))
    })
}

fn number_in(listed: &str, group: &str) -> Option<u32> {
    rows(listed).find(|row| row.0 == group).map(|row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name_and_number() {
        let listed = "root:x:0:\n# a remark\nnonsense\nhaetae:x:971:ana,ben\n:x:5:\nodd:x:-1:\n";
        assert_eq!(number_in(listed, "haetae"), Some(971));
        assert_eq!((number_in(listed, "haeta"), number_in(listed, "odd")), (None, None));
        assert_eq!((number("0"), name(0)), (Some(0), Some("root".to_owned())));
    }
}
