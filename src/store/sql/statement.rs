//! Statements in the words that both engines understand: placeholders are `?`, values are one of a few kinds, and the
//! few things that each engine says in its own way have a method here.
//!
//! What does not live here: connections (`session`) and what is asked of the tables.

use std::fmt::{Display, Write as _};

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Postgres, Row as _, Sqlite};

use super::super::Result;
use super::session::Session;
use crate::model::Key;

/// Which engine keeps the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    /// One file, one process.
    Sqlite,
    /// A server, any number of processes.
    Postgres,
}

/// A value that a statement is given.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Truth(bool),
    /// Columns of values: PostgreSQL takes a list as one value.
    Integers(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
    ByteStrings(Vec<Option<Vec<u8>>>),
}

/// A value of a new row, not copied yet: it goes into a statement or into a copy.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Integer(Option<i64>),
    Text(Option<&'a str>),
    Bytes(Option<&'a [u8]>),
}

impl From<Cell<'_>> for Argument {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Integer(value) => value.into(),
            Cell::Text(value) => value.into(),
            Cell::Bytes(value) => Self::Bytes(value.map(<[u8]>::to_vec)),
        }
    }
}

impl Argument {
    /// The values of a column, one by one.
    fn values(self) -> Vec<Self> {
        match self {
            Self::Integers(values) => values.into_iter().map(Self::Integer).collect(),
            Self::Texts(values) => values.into_iter().map(Self::Text).collect(),
            Self::ByteStrings(values) => values.into_iter().map(Self::Bytes).collect(),
            value => vec![value],
        }
    }

    /// The type of a column, as PostgreSQL is told.
    fn array(&self) -> &'static str {
        match self {
            Self::Integers(_) => "::bigint[]",
            Self::Texts(_) => "::text[]",
            Self::ByteStrings(_) => "::bytea[]",
            Self::Integer(_) | Self::Text(_) | Self::Bytes(_) | Self::Truth(_) => "",
        }
    }
}

macro_rules! argument {
    ($($from:ty => $kind:ident, $value:ident => $given:expr;)+) => {
        $(
            impl From<$from> for Argument {
                fn from($value: $from) -> Self {
                    Self::$kind($given)
                }
            }
        )+
    };
}

argument! {
    i64 => Integer, value => Some(value);
    u32 => Integer, value => Some(i64::from(value));
    i32 => Integer, value => Some(i64::from(value));
    Option<i64> => Integer, value => value;
    Option<i32> => Integer, value => value.map(i64::from);
    String => Text, value => Some(value);
    &String => Text, value => Some(value.clone());
    &str => Text, value => Some(value.to_owned());
    Option<String> => Text, value => value;
    &Option<String> => Text, value => value.clone();
    Option<&str> => Text, value => value.map(str::to_owned);
    Vec<u8> => Bytes, value => Some(value);
    &Vec<u8> => Bytes, value => Some(value.clone());
    &[u8] => Bytes, value => Some(value.to_vec());
    [u8; 16] => Bytes, value => Some(value.to_vec());
    Option<Vec<u8>> => Bytes, value => value;
    Option<[u8; 16]> => Bytes, value => value.map(|hash| hash.to_vec());
    bool => Truth, value => value;
}

/// A statement that is being written.
#[derive(Debug)]
#[must_use = "a statement does nothing until it is executed"]
pub(super) struct Sql {
    pub(super) engine: Engine,
    text: String,
    arguments: Vec<Argument>,
}

impl Sql {
    /// Begins a statement; `?` stands for a value that is bound later, in order.
    pub(super) fn new(engine: Engine, text: &str) -> Self {
        Self { engine, text: text.to_owned(), arguments: Vec::new() }
    }

    /// Begins a statement over rows of text columns, the table `name`; there must be one row at least.
    ///
    /// Joined from there to what is looked up, it walks an index; as a list after `IN` it would read the whole table.
    /// A `CROSS JOIN` with its condition in `WHERE` keeps that order in `SQLite` and leaves `PostgreSQL` free.
    pub(super) fn with_rows<const N: usize>(
        engine: Engine,
        name: &str,
        columns: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Self {
        let mut sql = Self::new(engine, &format!("WITH {name} ({}) AS (", columns.join(", ")));
        match engine {
            Engine::Sqlite => {
                sql.push("VALUES ");
                for (at, row) in rows.into_iter().enumerate() {
                    sql.push(if at == 0 { "(" } else { ", (" });
                    sql.separated(row);
                    sql.push(")");
                }
            }
            Engine::Postgres => {
                let mut lists: [Vec<Option<String>>; N] = std::array::from_fn(|_| Vec::new());
                for row in rows {
                    for (list, value) in lists.iter_mut().zip(row) {
                        list.push(Some(value));
                    }
                }
                sql.push("SELECT * FROM unnest(");
                for (at, list) in lists.into_iter().enumerate() {
                    sql.push(if at == 0 { "?::text[]" } else { ", ?::text[]" });
                    sql.arguments.push(Argument::Texts(list));
                }
                sql.push(")");
            }
        }
        sql.push(") ");
        sql
    }

    /// Begins a statement over places among the parts, key and identifier within the entity: the rows of `k`.
    pub(super) fn with_places(engine: Engine, places: &[(Key, String)]) -> Self {
        let rows = places.iter().map(|(key, part)| [key.company.clone(), key.number.clone(), part.clone()]);
        Self::with_rows(engine, "k", ["company", "number", "part"], rows)
    }

    /// Begins a statement over rows given as columns of the same length, the table `d`; there must be one row at least.
    pub(super) fn with_columns(engine: Engine, columns: Vec<(&str, Argument)>) -> Self {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let mut sql = Self::new(engine, &format!("WITH d ({}) AS (", names.join(", ")));
        match engine {
            Engine::Sqlite => {
                sql.push("VALUES ");
                let mut columns: Vec<_> = columns.into_iter().map(|(_, column)| column.values().into_iter()).collect();
                let mut first = true;
                loop {
                    let row: Vec<Argument> = columns.iter_mut().filter_map(Iterator::next).collect();
                    if row.is_empty() {
                        break;
                    }
                    sql.push(if first { "(" } else { ", (" });
                    sql.separated(row);
                    sql.push(")");
                    first = false;
                }
            }
            Engine::Postgres => {
                sql.push("SELECT * FROM unnest(");
                for (at, (_, column)) in columns.into_iter().enumerate() {
                    sql.push(if at == 0 { "?" } else { ", ?" }).push(column.array());
                    sql.arguments.push(column);
                }
                sql.push(")");
            }
        }
        sql.push(") ");
        sql
    }

    /// Begins a statement over the entities with these keys, the rows of `k`.
    pub(super) fn with_keys<'a>(engine: Engine, keys: impl IntoIterator<Item = &'a Key>) -> Self {
        let rows = keys.into_iter().map(|key| [key.company.clone(), key.number.clone()]);
        Self::with_rows(engine, "k", ["company", "number"], rows)
    }

    /// Gives the next `?` its value.
    pub(super) fn bind(mut self, value: impl Into<Argument>) -> Self {
        self.arguments.push(value.into());
        self
    }

    /// Goes on with text of the program's own.
    pub(super) fn push(&mut self, text: impl Display) -> &mut Self {
        // Writing into a String cannot fail.
        let _ = write!(self.text, "{text}");
        self
    }

    /// Goes on with a value.
    pub(super) fn push_bind(&mut self, value: impl Into<Argument>) -> &mut Self {
        self.text.push('?');
        self.arguments.push(value.into());
        self
    }

    /// Goes on with values, separated by commas.
    pub(super) fn separated<T: Into<Argument>>(&mut self, values: impl IntoIterator<Item = T>) -> &mut Self {
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.text.push_str(", ");
            }
            self.push_bind(value);
        }
        self
    }

    /// Goes on with the condition that a text column is one of some values.
    pub(super) fn push_in<S: AsRef<str>>(&mut self, column: &str, values: &[S]) -> &mut Self {
        self.text.push_str(column);
        match self.engine {
            Engine::Sqlite => {
                self.text.push_str(" IN (");
                self.separated(values.iter().map(AsRef::as_ref));
                self.text.push(')');
            }
            Engine::Postgres => {
                self.text.push_str(" = ANY(?)");
                self.arguments.push(Argument::Texts(values.iter().map(|v| Some(v.as_ref().to_owned())).collect()));
            }
        }
        self
    }

    /// Goes on with the condition that a number column is one of some values.
    pub(super) fn push_in_integers(&mut self, column: &str, values: &[i64]) -> &mut Self {
        self.text.push_str(column);
        match self.engine {
            Engine::Sqlite => {
                self.text.push_str(" IN (");
                self.separated(values.iter().copied());
                self.text.push(')');
            }
            Engine::Postgres => {
                self.text.push_str(" = ANY(?)");
                self.arguments.push(Argument::Integers(values.iter().map(|v| Some(*v)).collect()));
            }
        }
        self
    }

    /// A text field of a column that holds JSON text.
    pub(super) fn json_text(&self, column: &str, field: &str) -> String {
        match self.engine {
            Engine::Sqlite => format!("json_extract({column}, '$.{field}')"),
            Engine::Postgres => format!("({column}::json ->> '{field}')"),
        }
    }

    /// Goes on with a table that is looked into for each row of the one before, what is joined to it, and the condition;
    /// more may follow after `AND`. A table that grows by a page each time has no statistics, so PostgreSQL is not left to choose.
    pub(super) fn push_each(&mut self, table: &str, joins: &str, condition: &str) -> &mut Self {
        let name = table.rsplit(' ').next().unwrap_or(table);
        match self.engine {
            Engine::Sqlite => self.push(format_args!("{table} {joins} WHERE {condition}")),
            Engine::Postgres => self.push(format_args!(
                "LATERAL (SELECT * FROM {table} WHERE {condition} OFFSET 0) {name} {joins} WHERE TRUE"
            )),
        }
    }

    /// Goes on with the condition that names which index of `who` or `what` is meant: PostgreSQL has one for what is about
    /// one customer or product and one for what is about groups and everyone.
    pub(super) fn push_about(&mut self, column: &str, one: bool) -> &mut Self {
        match (self.engine, one) {
            (Engine::Sqlite, _) => self,
            (Engine::Postgres, true) => self.push(format_args!(" AND left({column}, 2) = '1:'")),
            (Engine::Postgres, false) => self.push(format_args!(" AND left({column}, 2) <> '1:'")),
        }
    }

    /// The texts of a list in a column that holds JSON text, as the rows of `i` with their `value`.
    pub(super) fn json_items(&self, column: &str, field: &str) -> String {
        match self.engine {
            Engine::Sqlite => format!("json_each({column}, '$.{field}') i"),
            Engine::Postgres => format!("json_array_elements_text({column}::json -> '{field}') i (value)"),
        }
    }

    /// The objects of a list in a column that holds JSON text, as the rows of `i` with their `value`.
    pub(super) fn json_objects(&self, column: &str, field: &str) -> String {
        match self.engine {
            Engine::Sqlite => format!("json_each({column}, '$.{field}') i"),
            Engine::Postgres => format!("json_array_elements({column}::json -> '{field}') i (value)"),
        }
    }

    /// A column along which no index is to be walked, since another one is narrower.
    pub(super) fn unindexed(&self, column: &str) -> String {
        match self.engine {
            Engine::Sqlite => format!("+{column}"),
            // The planner of PostgreSQL knows how narrow each is.
            Engine::Postgres => column.to_owned(),
        }
    }

    /// Executes the statement; how many rows it wrote.
    pub(super) async fn execute(self, session: &mut Session<'_>) -> Result<u64> {
        Ok(match session {
            Session::Sqlite(held) => self.sqlite().execute(&mut **held).await?.rows_affected(),
            Session::Postgres(held) => self.postgres().execute(&mut **held).await?.rows_affected(),
        })
    }

    /// Every row that it gives.
    pub(super) async fn fetch_all(self, session: &mut Session<'_>) -> Result<Vec<Row>> {
        Ok(match session {
            Session::Sqlite(held) => self.sqlite().fetch_all(&mut **held).await?.into_iter().map(Row::Sqlite).collect(),
            Session::Postgres(held) => {
                self.postgres().fetch_all(&mut **held).await?.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// The first row, where it gives one.
    pub(super) async fn fetch_optional(self, session: &mut Session<'_>) -> Result<Option<Row>> {
        Ok(match session {
            Session::Sqlite(held) => self.sqlite().fetch_optional(&mut **held).await?.map(Row::Sqlite),
            Session::Postgres(held) => self.postgres().fetch_optional(&mut **held).await?.map(Row::Postgres),
        })
    }

    /// The row that it gives.
    pub(super) async fn fetch_one(self, session: &mut Session<'_>) -> Result<Row> {
        self.fetch_optional(session).await?.ok_or_else(|| sqlx::Error::RowNotFound.into())
    }

    fn sqlite(self) -> Query<'static, Sqlite, SqliteArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.text));
        for argument in self.arguments {
            query = match argument {
                Argument::Integer(value) => query.bind(value),
                Argument::Text(value) => query.bind(value),
                Argument::Bytes(value) => query.bind(value),
                Argument::Truth(value) => query.bind(value),
                // Lists are written out for SQLite, value by value.
                Argument::Integers(_) | Argument::Texts(_) | Argument::ByteStrings(_) => query.bind(None::<i64>),
            };
        }
        query
    }

    fn postgres(self) -> Query<'static, Postgres, PgArguments> {
        let mut query = sqlx::query(AssertSqlSafe(numbered(&self.text)));
        for argument in self.arguments {
            query = match argument {
                Argument::Integer(value) => query.bind(value),
                Argument::Text(value) => query.bind(value),
                Argument::Bytes(value) => query.bind(value),
                Argument::Truth(value) => query.bind(value),
                Argument::Integers(values) => query.bind(values),
                Argument::Texts(values) => query.bind(values),
                Argument::ByteStrings(values) => query.bind(values),
            };
        }
        query
    }
}

/// The text with `$1`, `$2` and so on in place of `?`, as PostgreSQL writes them.
fn numbered(text: &str) -> String {
    let mut numbered = String::with_capacity(text.len() + 16);
    for (at, piece) in text.split('?').enumerate() {
        if at > 0 {
            let _ = write!(numbered, "${at}");
        }
        numbered.push_str(piece);
    }
    numbered
}

/// A row of an answer.
#[derive(Debug)]
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// A column's value.
    pub(super) fn get<T>(&self, column: &str) -> Result<T>
    where
        T: for<'r> sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
        T: for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
    {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_for_postgresql() {
        assert_eq!(numbered("a = ? AND b IN (?, ?)"), "a = $1 AND b IN ($2, $3)");
        assert_eq!(numbered("SELECT 1"), "SELECT 1");
    }
}
