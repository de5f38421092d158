//! Neighbouring records that belong together as one: an order whose every line repeats the order's own columns.

use std::collections::HashSet;
use std::sync::Arc;

use super::origin::cut;
use super::{ReadError, Reader};
use crate::record::{Fields, Map, Place, Record, Salt, Value};

/// Most records in one group.
const MOST_RECORDS: usize = 10_000;

/// Most groups in one source. Eight bytes of each are remembered, so that its coming again is noticed.
const MOST_GROUPS: usize = 7_000_000;

/// How records are gathered.
#[derive(Debug, Clone)]
pub struct Grouping {
    /// The fields in which neighbours agree.
    pub by: Vec<String>,
    /// The field that holds the list of a group's records; beside it the group has the fields of its first record.
    pub into: String,
}

/// Gathers the records of another reader.
///
/// A group is over once a record of another one comes. One that comes again later is refused as a whole: its parts
/// would overwrite each other. A record that cannot be read may belong to the group before it, around it or behind
/// it, so these are refused as well.
pub struct GroupReader {
    records: Box<dyn Reader>,
    grouping: Grouping,
    into: Arc<str>,
    group: Option<Group>,
    seen: HashSet<u64>,
    /// A record that could not be read, where it stands and why, since the last one that could.
    unread: Option<String>,
    number: u64,
    ended: bool,
}

struct Group {
    key: Vec<Value>,
    records: Vec<Map>,
    place: Place,
    refused: Option<String>,
}

impl GroupReader {
    /// Gathers the records of a reader.
    pub fn new(records: Box<dyn Reader>, grouping: Grouping) -> Self {
        let into = Arc::from(grouping.into.as_str());
        Self { records, grouping, into, group: None, seen: HashSet::new(), unread: None, number: 0, ended: false }
    }

    /// Takes a record into its group; gives the group that is over.
    fn take(&mut self, record: Record) -> Result<Option<Group>, ReadError> {
        let key: Vec<Value> =
            self.grouping.by.iter().map(|n| record.fields.get(n).unwrap_or_default().into_value()).collect();
        if key.iter().all(Value::is_empty) {
            let message = format!("has no value in {}, by which records are gathered", self.grouping.by.join(", "));
            let error = ReadError::Record { place: record.place, message };
            self.unreadable(&error);
            return Err(error);
        }
        if let Some(group) = &mut self.group
            && group.key == key
        {
            self.unread = None;
            if group.records.len() == MOST_RECORDS {
                group.refused = Some(format!("has more than {MOST_RECORDS} records"));
            } else {
                group.records.push(record.fields.into_map());
            }
            return Ok(None);
        }
        let again = !self.seen.insert(digest(&key));
        if self.seen.len() > MOST_GROUPS {
            (self.ended, self.group) = (true, None);
            let message = format!("there are more than {MOST_GROUPS} groups of records");
            let hint = Some("have the file split".to_owned());
            return Err(ReadError::Fatal { place: record.place, message, hint });
        }
        let mut refused = self.unread.take();
        if again {
            let names: Vec<String> = key.iter().map(|v| cut(&v.to_json().to_string())).collect();
            refused = Some(format!(
                "the group {} {} is there already, further up; have the file sorted by it",
                self.grouping.by.join(", "),
                names.join(", ")
            ));
        } else if record.fields.get(&self.into).is_some() {
            refused = Some(format!("has a field '{}'; gather the records into another", self.into));
        }
        let group = Group { key, records: vec![record.fields.into_map()], place: record.place, refused };
        Ok(self.group.replace(group))
    }

    fn unreadable(&mut self, error: &ReadError) {
        let reason = format!("a record beside it cannot be read: {error}");
        if let Some(group) = &mut self.group {
            group.refused.get_or_insert_with(|| reason.clone());
        }
        self.unread = Some(reason);
    }

    fn give(&mut self, group: Group) -> Result<Record, ReadError> {
        self.number += 1;
        let place = Place { record: self.number, ..group.place };
        if let Some(message) = group.refused {
            return Err(ReadError::Record { place, message });
        }
        let mut fields = group.records.first().cloned().unwrap_or_default();
        fields.push(Arc::clone(&self.into), Value::List(group.records.into_iter().map(Value::Map).collect()));
        Ok(Record { fields: fields.into(), place })
    }
}

impl Reader for GroupReader {
    fn next(&mut self) -> Option<Result<Record, ReadError>> {
        while !self.ended {
            match self.records.next() {
                None => self.ended = true,
                Some(Ok(record)) => match self.take(record) {
                    Ok(None) => {}
                    Ok(Some(group)) => return Some(self.give(group)),
                    Err(error) => return Some(Err(error)),
                },
                Some(Err(error @ ReadError::Record { .. })) => {
                    self.unreadable(&error);
                    return Some(Err(error));
                }
                Some(Err(fatal)) => {
                    // The last group may lack its end.
                    self.ended = true;
                    self.group = None;
                    return Some(Err(fatal));
                }
            }
        }
        self.group.take().map(|group| self.give(group))
    }
}

impl std::fmt::Debug for GroupReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupReader")
            .field("grouping", &self.grouping)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

fn digest(key: &[Value]) -> u64 {
    let key: Map = key.iter().map(|value| ("", value.clone())).collect();
    let digest = Fields::Map(key).digest(&Salt::new(b""), &mut Vec::new());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
