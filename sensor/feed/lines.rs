//! A feed line by line, whatever its bytes: no line longer than its bound is ever held.

use std::io::{self, BufRead, Read};

use crate::limits::FEED_LINE_BYTES_MAX;

/// Lines of a feed, without their ends and without the mark that some editors put before the first.
pub(super) struct Lines<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
}

/// A line of a feed.
pub(super) enum Line<'a> {
    /// Its bytes.
    Whole(&'a [u8]),
    /// It was longer than [`FEED_LINE_BYTES_MAX`]: skipped.
    TooLong,
}

impl<R: BufRead> Lines<R> {
    /// Lines of `from`.
    pub(super) fn of(from: R) -> Self {
        Lines { from, line: Vec::new(), number: 0 }
    }

    /// The next line with its number, from 1.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        self.line.clear();
        let bound = FEED_LINE_BYTES_MAX as u64 + 2;
        if (&mut self.from).take(bound).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() != Some(&b'\n') && self.line.len() > FEED_LINE_BYTES_MAX {
            self.skip_rest()?;
            return Ok(Some((self.number, Line::TooLong)));
        }
        let mut line = self.line.as_slice();
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.number == 1 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        Ok(Some((self.number, Line::Whole(line))))
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            let room = self.from.fill_buf()?;
            if room.is_empty() {
                return Ok(());
            }
            let end = room.iter().position(|&byte| byte == b'\n');
            let used = end.map_or(room.len(), |at| at + 1);
            self.from.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::of(bytes);
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            all.push((number, if let Line::Whole(bytes) = line { Some(bytes.to_vec()) } else { None }));
        }
        all
    }

    #[test]
    fn marks_and_line_ends_of_other_systems_are_no_part_of_a_line() {
        let expected = vec![(1, Some(b"a".to_vec())), (2, Some(vec![])), (3, Some(b"b".to_vec()))];
        assert_eq!(lines(b"\xef\xbb\xbfa\r\n\nb"), expected);
    }

    #[test]
    fn an_endless_line_is_skipped_and_the_next_one_read() {
        let mut bytes = vec![b'x'; 3 * FEED_LINE_BYTES_MAX];
        bytes.extend_from_slice(b"\nnext\n");
        assert_eq!(lines(&bytes), vec![(1, None), (2, Some(b"next".to_vec()))]);
        let just = [vec![b'y'; FEED_LINE_BYTES_MAX], b"\r\n".to_vec()].concat();
        assert_eq!(lines(&just)[0].1.as_ref().map(Vec::len), Some(FEED_LINE_BYTES_MAX));
    }
}
