//! Applying differences to the parts and numbering the changes for the feed, within a transaction.
//!
//! Differences are taken in batches that do the same; a batch is a few statements, whatever its size. Before anything is
//! written the feed's end is locked until the commit, so that sequences become visible in their order.

use jiff::Timestamp;

use super::super::{Applied, Difference, Operation, Result, Run};
use super::members;
use super::session::Session;
use super::statement::{Argument, Cell, Engine, Sql};
use crate::model::hash::ContentHash;
use crate::model::{Content, PartKind};

/// Rows of one statement with SQLite: with 17 columns at the most within its 32,766 bound values.
const ROWS: usize = 500;

/// The feed while a transaction writes to it.
pub(super) struct Numbers {
    sequence: i64,
}

impl Numbers {
    /// Locks the feed's end until the transaction ends.
    pub(super) async fn lock(tx: &mut Session<'_>) -> Result<Self> {
        let mut sql = tx.sql("SELECT sequence FROM store");
        if tx.engine() == Engine::Postgres {
            sql.push(" FOR UPDATE");
        }
        Ok(Self { sequence: sql.fetch_one(tx).await?.get("sequence")? })
    }

    /// The next sequence.
    pub(super) fn next(&mut self) -> i64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) async fn save(self, tx: &mut Session<'_>) -> Result<()> {
        tx.sql("UPDATE store SET sequence = ?").bind(self.sequence).execute(tx).await?;
        Ok(())
    }
}

/// Has what the transaction still does looked up row by row: a table that grows by a page each time has no statistics from
/// which PostgreSQL would know that this costs least.
pub(super) async fn look_up_singly(tx: &mut Session<'_>) -> Result<()> {
    if tx.engine() == Engine::Postgres {
        let dear = ["enable_hashjoin", "enable_mergejoin", "enable_seqscan"].map(|name| Some(name.to_owned()));
        let sql = tx.sql("SELECT set_config(name, 'off', true) FROM unnest(?::text[]) name");
        sql.bind(Argument::Texts(dear.to_vec())).fetch_all(tx).await?;
    }
    Ok(())
}

/// Applies differences, each only where the stored hash is the one it was made against. Those without a batch of source
/// rows of their own have theirs in `raw`.
pub(super) async fn apply(
    tx: &mut Session<'_>,
    run: &Run,
    differences: &[Difference],
    raw: Option<i64>,
) -> Result<Applied> {
    let mut applied = Applied::default();
    if differences.is_empty() {
        return Ok(applied);
    }
    look_up_singly(tx).await?;
    let mut numbers = Numbers::lock(tx).await?;
    // What goes makes room for what comes, so it is first.
    for action in [Action::Delete, Action::Update, Action::Recognise, Action::Miss, Action::Insert] {
        let same: Vec<&Difference> = differences.iter().filter(|d| Action::of(d) == action).collect();
        for batch in same.chunks(rows_at_once(tx)) {
            let begun = numbers.sequence;
            let written = action.apply(tx, run, batch, raw, &mut numbers).await?;
            applied.applied += written;
            applied.superseded += batch.len() as u64 - written;
            if action.is_seen() && written > 0 {
                follow(tx, run, batch, begun, &mut numbers).await?;
            }
        }
    }
    numbers.save(tx).await?;
    Ok(applied)
}

/// Writes new parts that nobody has looked for in the store; false where one of them is there, and then nothing may be
/// committed.
pub(super) async fn load(
    tx: &mut Session<'_>,
    run: &Run,
    differences: &[Difference],
    raw: Option<i64>,
) -> Result<bool> {
    let all: Vec<&Difference> = differences.iter().collect();
    let mut numbers = Numbers::lock(tx).await?;
    for batch in all.chunks(rows_at_once(tx)) {
        let begun = numbers.sequence;
        let now = Timestamp::now().as_microsecond();
        let written = match tx {
            Session::Sqlite(_) => {
                let mut sql = tx.sql(&format!("INSERT INTO part ({PART}) VALUES "));
                for (at, d) in batch.iter().enumerate() {
                    sql.push(if at == 0 { "(" } else { ", (" });
                    sql.separated(row(run, d, raw, now, next(run.kind, &mut numbers.sequence)));
                    sql.push(")");
                }
                sql.execute(tx).await
            }
            Session::Postgres(held) => {
                let rows = batch.iter().map(|d| row(run, d, raw, now, next(run.kind, &mut numbers.sequence)));
                super::postgres::copy(held, &format!("part ({PART})"), rows).await
            }
        };
        match written {
            Ok(_) => {}
            Err(error) if error.is_taken() => return Ok(false),
            Err(error) => return Err(error),
        }
        follow(tx, run, batch, begun, &mut numbers).await?;
    }
    numbers.save(tx).await?;
    Ok(true)
}

/// The columns of a new part, in the order of [`row`].
const PART: &str = "source, source_key, entity, kind, company, number, part, who, what, content, hash, source_hash, run, \
                    changed_at, sequence, born, raw, turn";

fn row<'a>(run: &'a Run, d: &'a Difference, raw: Option<i64>, now: i64, sequence: Option<i64>) -> [Cell<'a>; 18] {
    [
        Cell::Integer(Some(run.source)),
        Cell::Text(Some(&d.source_key)),
        Cell::Text(Some(run.kind.entity().name())),
        Cell::Text(Some(run.kind.name())),
        Cell::Text(Some(&d.key.company)),
        Cell::Text(Some(&d.key.number)),
        Cell::Text(Some(&d.part)),
        Cell::Text(d.who.as_deref()),
        Cell::Text(d.what.as_deref()),
        Cell::Text(d.content.as_ref().map(Content::as_str)),
        Cell::Bytes(d.after.as_ref().map(<[u8; 16]>::as_slice)),
        Cell::Bytes(Some(&d.source_hash)),
        Cell::Text(Some(&run.id)),
        Cell::Integer(Some(now)),
        Cell::Integer(sequence),
        Cell::Integer(sequence),
        Cell::Integer(d.raw.or(raw)),
        Cell::Integer(d.turn.map(i64::from)),
    ]
}

/// What follows from written differences: customers come into shops' scopes or leave them, and a change of a part is a
/// change of the entity that it belongs to.
async fn follow(
    tx: &mut Session<'_>,
    run: &Run,
    batch: &[&Difference],
    begun: i64,
    numbers: &mut Numbers,
) -> Result<()> {
    if run.kind == PartKind::Customer {
        members::follow(tx, batch, begun, &mut numbers.sequence).await?;
    }
    if !run.kind.is_main() {
        touch_owners(tx, run.kind, batch, numbers).await?;
    }
    Ok(())
}

fn rows_at_once(tx: &Session<'_>) -> usize {
    match tx.engine() {
        Engine::Sqlite => ROWS,
        Engine::Postgres => usize::MAX,
    }
}

fn next(kind: PartKind, sequence: &mut i64) -> Option<i64> {
    kind.is_main().then(|| {
        *sequence += 1;
        *sequence
    })
}

fn content(difference: &Difference) -> Option<String> {
    difference.content.as_ref().map(|content| content.as_str().to_owned())
}

/// What a difference comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Delete,
    Update,
    Recognise,
    Miss,
    Insert,
}

/// That a part `p` is the one that a difference `d` was made against.
const SAME: &str = "p.source_key = d.source_key AND p.company = d.company AND p.number = d.number AND p.part = d.part \
                    AND p.hash = d.before";

impl Action {
    fn of(difference: &Difference) -> Self {
        match difference.operation {
            Operation::Delete => Self::Delete,
            Operation::Recognise => Self::Recognise,
            Operation::Miss => Self::Miss,
            Operation::Upsert if difference.before.is_none() => Self::Insert,
            Operation::Upsert => Self::Update,
        }
    }

    /// Whether whoever follows the feed sees it.
    fn is_seen(self) -> bool {
        !matches!(self, Self::Recognise | Self::Miss)
    }

    /// Applies differences; how many took effect.
    async fn apply(
        self,
        tx: &mut Session<'_>,
        run: &Run,
        batch: &[&Difference],
        raw: Option<i64>,
        numbers: &mut Numbers,
    ) -> Result<u64> {
        // A version ends at the very instant at which the next one begins.
        let now = Timestamp::now().as_microsecond();
        match self {
            Self::Insert => return insert(tx, run, batch, raw, numbers).await,
            Self::Update | Self::Delete => keep_versions(tx, run, batch, now).await?,
            Self::Recognise | Self::Miss => {}
        }
        let mut columns = identity(batch);
        columns.push(("source_hash", hashes(batch.iter().map(|d| Some(d.source_hash)))));
        columns.push(("raw", Argument::Integers(batch.iter().map(|d| d.raw.or(raw)).collect())));
        if self.is_seen() {
            let sequences = batch.iter().map(|_| next(run.kind, &mut numbers.sequence)).collect();
            columns.push(("sequence", Argument::Integers(sequences)));
        }
        if self == Self::Update {
            columns.push(("who", texts(batch.iter().map(|d| d.who.clone()))));
            columns.push(("what", texts(batch.iter().map(|d| d.what.clone()))));
            columns.push(("content", texts(batch.iter().map(|d| content(d)))));
            columns.push(("after", hashes(batch.iter().map(|d| d.after))));
            columns.push(("turn", Argument::Integers(batch.iter().map(|d| d.turn.map(i64::from)).collect())));
        }
        let mut sql = Sql::with_columns(tx.engine(), columns);
        sql.push("UPDATE part AS p SET ");
        match self {
            Self::Update => {
                sql.push(
                    "born = CASE WHEN p.who IS NOT DISTINCT FROM d.who THEN p.born ELSE d.sequence END, who = d.who, ",
                );
                sql.push(
                    "what = d.what, content = d.content, hash = d.after, source_hash = d.source_hash, raw = d.raw, ",
                );
                sql.push("turn = d.turn, sequence = d.sequence, run = ").push_bind(&run.id);
                sql.push(", changed_at = ").push_bind(now);
            }
            Self::Delete => {
                sql.push(
                    "source_key = NULL, content = NULL, hash = NULL, source_hash = NULL, raw = NULL, turn = NULL, ",
                );
                sql.push("missed = FALSE, sequence = d.sequence, run = ").push_bind(&run.id);
                sql.push(", changed_at = ").push_bind(now);
            }
            Self::Miss => {
                sql.push("missed = TRUE");
            }
            // Its turn stays: one that is due must not be lost.
            Self::Recognise | Self::Insert => {
                sql.push("source_hash = d.source_hash, raw = COALESCE(d.raw, p.raw)");
            }
        }
        sql.push(" FROM d WHERE p.source = ").push_bind(run.source).push(" AND ").push(SAME);
        sql.execute(tx).await
    }
}

/// New parts: a tombstone of the same key is taken over, a living one is left alone, and so is a row of the source that
/// lives under another canonical key.
async fn insert(
    tx: &mut Session<'_>,
    run: &Run,
    batch: &[&Difference],
    raw: Option<i64>,
    numbers: &mut Numbers,
) -> Result<u64> {
    let mut columns = identity(batch);
    columns.retain(|(name, _)| *name != "before");
    columns.push(("who", texts(batch.iter().map(|d| d.who.clone()))));
    columns.push(("what", texts(batch.iter().map(|d| d.what.clone()))));
    columns.push(("content", texts(batch.iter().map(|d| content(d)))));
    columns.push(("hash", hashes(batch.iter().map(|d| d.after))));
    columns.push(("source_hash", hashes(batch.iter().map(|d| Some(d.source_hash)))));
    let sequences = batch.iter().map(|_| next(run.kind, &mut numbers.sequence)).collect();
    columns.push(("sequence", Argument::Integers(sequences)));
    columns.push(("raw", Argument::Integers(batch.iter().map(|d| d.raw.or(raw)).collect())));
    columns.push(("turn", Argument::Integers(batch.iter().map(|d| d.turn.map(i64::from)).collect())));
    let mut sql = Sql::with_columns(tx.engine(), columns);
    sql.push(format_args!("INSERT INTO part ({PART}) SELECT ")).push_bind(run.source);
    sql.push(", d.source_key, ").push_bind(run.kind.entity().name()).push(", ").push_bind(run.kind.name());
    sql.push(", d.company, d.number, d.part, d.who, d.what, d.content, d.hash, d.source_hash, ").push_bind(&run.id);
    sql.push(", ").push_bind(Timestamp::now().as_microsecond());
    sql.push(", d.sequence, d.sequence, d.raw, d.turn FROM d WHERE NOT EXISTS (SELECT 1 FROM part o WHERE o.source = ");
    sql.push_bind(run.source).push(" AND o.source_key = d.source_key) ");
    sql.push(
        "ON CONFLICT (entity, company, number, kind, part) DO UPDATE SET source = excluded.source, \
         source_key = excluded.source_key, who = excluded.who, what = excluded.what, content = excluded.content, \
         hash = excluded.hash, source_hash = excluded.source_hash, run = excluded.run, \
         changed_at = excluded.changed_at, sequence = excluded.sequence, born = excluded.born, raw = excluded.raw, \
         turn = excluded.turn, missed = FALSE WHERE part.source_key IS NULL",
    );
    sql.execute(tx).await
}

/// Keeps the versions that are about to be superseded.
async fn keep_versions(tx: &mut Session<'_>, run: &Run, batch: &[&Difference], now: i64) -> Result<()> {
    let mut sql = Sql::with_columns(tx.engine(), identity(batch));
    sql.push(
        "INSERT INTO history (source, source_key, entity, kind, company, number, part, who, what, content, hash, run, \
         raw, since, until) SELECT p.source, p.source_key, p.entity, p.kind, p.company, p.number, p.part, p.who, p.what, \
         p.content, p.hash, p.run, p.raw, p.changed_at, ",
    );
    sql.push_bind(now);
    sql.push(" FROM d CROSS JOIN part p WHERE p.source = ").push_bind(run.source).push(" AND ").push(SAME);
    sql.execute(tx).await?;
    Ok(())
}

/// What tells which parts differences are about.
fn identity(batch: &[&Difference]) -> Vec<(&'static str, Argument)> {
    vec![
        ("source_key", texts(batch.iter().map(|d| Some(d.source_key.clone())))),
        ("company", texts(batch.iter().map(|d| Some(d.key.company.clone())))),
        ("number", texts(batch.iter().map(|d| Some(d.key.number.clone())))),
        ("part", texts(batch.iter().map(|d| Some(d.part.clone())))),
        ("before", hashes(batch.iter().map(|d| d.before))),
    ]
}

fn texts(values: impl Iterator<Item = Option<String>>) -> Argument {
    Argument::Texts(values.collect())
}

fn hashes(values: impl Iterator<Item = Option<ContentHash>>) -> Argument {
    Argument::ByteStrings(values.map(|hash| hash.map(|h| h.to_vec())).collect())
}

/// Gives the entities that parts belong to new sequences, each one.
async fn touch_owners(
    tx: &mut Session<'_>,
    kind: PartKind,
    batch: &[&Difference],
    numbers: &mut Numbers,
) -> Result<()> {
    let mut owners: Vec<&crate::model::Key> = batch.iter().map(|d| &d.key).collect();
    owners.sort_unstable();
    owners.dedup();
    let entity = kind.entity();
    let mut sql = Sql::with_keys(tx.engine(), owners);
    sql.push("UPDATE part SET sequence = n.place + ").push_bind(numbers.sequence);
    sql.push(
        " FROM (SELECT p.id, row_number() OVER (ORDER BY p.id) AS place FROM k CROSS JOIN part p \
         WHERE p.company = k.company AND p.number = k.number AND p.entity = ",
    );
    sql.push_bind(entity.name()).push(" AND p.kind = ").push_bind(PartKind::from(entity).name());
    sql.push(" AND p.part = '' AND p.source_key IS NOT NULL) n WHERE part.id = n.id");
    numbers.sequence += i64::try_from(sql.execute(tx).await?).unwrap_or(i64::MAX);
    Ok(())
}
