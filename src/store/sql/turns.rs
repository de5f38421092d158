//! Turning parts whose day has come.

use async_trait::async_trait;

use super::super::{DueTurn, Lease, Result, Turning, Turns};
use super::statement::{Argument, Sql};
use super::write::{Numbers, look_up_singly};
use super::{SqlStore, lease, rows};
use crate::model::Content;

/// Parts of one statement.
const ROWS: usize = 500;

#[async_trait]
impl Turns for SqlStore {
    async fn due_turns(&self, connections: &[String], day: i32, limit: u32) -> Result<Vec<DueTurn>> {
        if connections.is_empty() {
            return Ok(Vec::new());
        }
        let mut sql = self.sql("SELECT p.id, p.kind, p.content, p.hash, p.turn FROM part p WHERE p.turn <= ");
        let source = self.sql("").unindexed("p.source");
        sql.push_bind(day).push(format_args!(" AND p.source_key IS NOT NULL AND {source} IN (SELECT id FROM source "));
        sql.push("WHERE ").push_in("connection", connections);
        sql.push(") ORDER BY p.turn, p.id LIMIT ").push_bind(limit);
        let found = sql.fetch_all(&mut self.reader().await?).await?;
        found
            .iter()
            .map(|row| {
                Ok(DueTurn {
                    id: row.get("id")?,
                    kind: rows::kind(row)?,
                    content: Content::of_text(row.get::<String>("content")?),
                    hash: rows::hash(&row.get::<Vec<u8>>("hash")?)?,
                    turn: rows::day(row.get("turn")?)?,
                })
            })
            .collect()
    }

    async fn turn(&self, held: &Lease, page: &[Turning]) -> Result<u64> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, held).await?;
        look_up_singly(&mut tx).await?;
        let mut numbers = Numbers::lock(&mut tx).await?;
        let mut turned = 0;
        for chunk in page.chunks(ROWS) {
            let integers = |value: fn(&Turning) -> Option<i64>| Argument::Integers(chunk.iter().map(value).collect());
            let columns = vec![
                ("id", integers(|t| Some(t.id))),
                ("hash", Argument::ByteStrings(chunk.iter().map(|t| Some(t.hash.to_vec())).collect())),
                ("turn", integers(|t| Some(i64::from(t.turn)))),
                ("next", integers(|t| t.next.map(i64::from))),
                ("sequence", Argument::Integers(chunk.iter().map(|_| Some(numbers.next())).collect())),
            ];
            let mut sql = Sql::with_columns(self.engine(), columns);
            sql.push("UPDATE part AS p SET turn = d.next, sequence = d.sequence FROM d WHERE p.id = d.id ");
            sql.push("AND p.hash = d.hash AND p.turn = d.turn AND p.sequence IS NOT NULL");
            turned += sql.execute(&mut tx).await?;
        }
        numbers.save(&mut tx).await?;
        tx.commit().await?;
        Ok(turned)
    }

    async fn turned(&self, zone: &str) -> Result<Option<i32>> {
        let sql = self.sql("SELECT day FROM turned WHERE zone = ?").bind(zone);
        let row = sql.fetch_optional(&mut self.reader().await?).await?;
        row.map(|row| rows::day(row.get("day")?)).transpose()
    }

    async fn finish_turns(&self, held: &Lease, zone: &str, day: i32) -> Result<()> {
        let mut tx = self.write().await?;
        lease::check(&mut tx, held).await?;
        self.sql("INSERT INTO turned (zone, day) VALUES (?, ?) ON CONFLICT (zone) DO UPDATE SET day = excluded.day")
            .bind(zone)
            .bind(day)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }
}
