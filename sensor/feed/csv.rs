//! Tables of comma-separated values: `type,value` and whatever else is said, in any order under a header.
//!
//! A line is a record: a quoted value may hold commas and quotes, but no line end, so that one stray quote loses one
//! line and not the file.

use std::collections::HashMap;
use std::io::{self, BufRead};

use super::intake::Intake;
use super::lines::{Line, Lines};
use super::names::Reading;
use super::words::{WORDS, Word};
use crate::indicator::{Said, Statement};

/// What a column holds.
#[derive(Clone, Copy)]
enum Column {
    Type,
    Value,
    Id,
    Word(&'static Word),
    Other,
}

/// Distinct combinations of words that are remembered; beyond it they are read again.
const KNOWN_MAX: usize = 1 << 16;

const FIELDS_MAX: usize = 64;

/// The table's state between its lines.
struct Table {
    columns: Vec<Column>,
    header: bool,
    known: HashMap<Vec<u8>, Said>,
    wordless: bool,
    all: Option<Said>,
    kind: Option<(Vec<u8>, Reading)>,
    room: Vec<u8>,
}

/// Recognises a header.
pub(super) fn recognise(first: &[u8]) -> bool {
    let line = first.split(|&byte| byte == b'\n').next().unwrap_or_default();
    columns(line.trim_ascii()).is_some()
}

/// Reads a whole table.
pub(super) fn read(from: &mut dyn BufRead, intake: &mut Intake<'_>) -> io::Result<()> {
    let mut lines = Lines::of(from);
    let mut table = Table {
        columns: vec![Column::Type, Column::Value],
        header: true,
        known: HashMap::new(),
        wordless: true,
        all: None,
        kind: None,
        room: Vec::new(),
    };
    while let Some((number, line)) = lines.next()? {
        match line {
            Line::TooLong => intake.refuse(number, "line longer than 64 KiB"),
            Line::Whole(line) if line.is_empty() || line[0] == b'#' || line.trim_ascii().is_empty() => {}
            Line::Whole(line) => table.line(number, line, intake),
        }
    }
    Ok(())
}

/// The columns of a header; `None` if this is none.
fn columns(line: &[u8]) -> Option<Vec<Column>> {
    let column = |name: &[u8]| match name.trim_ascii().to_ascii_lowercase().as_slice() {
        b"type" | b"ioc_type" | b"indicator_type" | b"indicator type" => Column::Type,
        b"value" | b"ioc_value" | b"indicator" => Column::Value,
        b"id" => Column::Id,
        name => WORDS.iter().find(|word| word.name.as_bytes() == name).map_or(Column::Other, Column::Word),
    };
    let unquoted = |name: &[u8]| name.iter().copied().filter(|&byte| byte != b'"').collect::<Vec<u8>>();
    let columns: Vec<Column> =
        line.split(|&b| b == b',').take(FIELDS_MAX).map(|name| column(&unquoted(name))).collect();
    let has = |wanted: fn(&Column) -> bool| columns.iter().filter(|column| wanted(column)).count() == 1;
    (has(|column| matches!(column, Column::Type)) && has(|column| matches!(column, Column::Value))).then_some(columns)
}

impl Table {
    fn line(&mut self, number: u64, line: &[u8], intake: &mut Intake<'_>) {
        if std::mem::take(&mut self.header)
            && let Some(columns) = columns(line)
        {
            self.wordless = !columns.iter().any(|column| matches!(column, Column::Word(_)));
            self.columns = columns;
            return;
        }
        let mut fields = [b"".as_slice(); FIELDS_MAX];
        if !line.contains(&b'"') {
            match self.fill(&mut fields, line.split(|&byte| byte == b',')) {
                Ok(()) => self.record(number, &fields, intake),
                Err(reason) => intake.refuse(number, reason),
            }
            return;
        }
        let mut record = ::csv::ByteRecord::new();
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line);
        let filled = match reader.read_byte_record(&mut record) {
            Ok(true) if !reader.is_done() && unread(&mut reader) => Err("more than one record in a line"),
            Ok(true) => self.fill(&mut fields, record.iter()),
            _ => Err("unreadable record"),
        };
        match filled {
            Ok(()) => self.record(number, &fields, intake),
            Err(reason) => intake.refuse(number, reason),
        }
    }

    fn fill<'f>(
        &self,
        fields: &mut [&'f [u8]; FIELDS_MAX],
        from: impl Iterator<Item = &'f [u8]>,
    ) -> Result<(), &'static str> {
        for (at, field) in from.enumerate() {
            if at >= self.columns.len() {
                return Err("more fields than columns: a value with commas stands in quotes");
            }
            fields[at] = field;
        }
        Ok(())
    }

    fn record(&mut self, number: u64, fields: &[&[u8]; FIELDS_MAX], intake: &mut Intake<'_>) {
        let (mut kind, mut value, mut id) = (None, b"".as_slice(), None);
        for (column, field) in self.columns.iter().zip(fields) {
            match column {
                Column::Type => kind = Some(*field),
                Column::Value => value = field,
                Column::Id => id = Some(*field),
                Column::Word(_) | Column::Other => {}
            }
        }
        let Some(kind) = self.kind(number, kind.unwrap_or_default(), intake) else { return };
        let Some(said) = self.said(number, fields, intake) else { return };
        let id = id.map(String::from_utf8_lossy);
        intake.take(number, kind, value, said, id.as_deref());
    }

    /// Tables run long stretches of one kind: the last one is remembered.
    fn kind(&mut self, number: u64, name: &[u8], intake: &mut Intake<'_>) -> Option<Reading> {
        if let Some((last, kind)) = &self.kind
            && last == name
        {
            return Some(*kind);
        }
        let kind = intake.reading(number, &String::from_utf8_lossy(name))?;
        self.kind = Some((name.to_owned(), kind));
        Some(kind)
    }

    fn said(&mut self, number: u64, fields: &[&[u8]; FIELDS_MAX], intake: &mut Intake<'_>) -> Option<Said> {
        if self.wordless {
            if self.all.is_none() {
                self.all = intake.say(number, intake.unsaid());
            }
            return self.all;
        }
        self.room.clear();
        for (column, field) in self.columns.iter().zip(fields) {
            if let Column::Word(_) = column {
                self.room.extend_from_slice(field);
                self.room.push(b',');
            }
        }
        if let Some(known) = self.known.get(self.room.as_slice()) {
            return Some(*known);
        }
        let said = self.read_words(number, fields, intake)?;
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(self.room.clone(), said);
        Some(said)
    }

    fn read_words(&self, number: u64, fields: &[&[u8]; FIELDS_MAX], intake: &mut Intake<'_>) -> Option<Said> {
        let mut statement: Statement = intake.unsaid();
        for (column, field) in self.columns.iter().zip(fields) {
            let Column::Word(word) = column else { continue };
            let text = String::from_utf8_lossy(field);
            if !text.trim().is_empty() && !intake.word(number, word.name, &text, &mut statement) {
                return None;
            }
        }
        intake.say(number, statement)
    }
}

fn unread(reader: &mut ::csv::Reader<&[u8]>) -> bool {
    let mut rest = ::csv::ByteRecord::new();
    !matches!(reader.read_byte_record(&mut rest), Ok(false))
}
