//! Which customers are in which shop's scope, within the transaction that changes the customers.

use std::collections::{BTreeSet, HashMap};

use sqlx::{Row as _, SqliteConnection};

use super::super::{Difference, Operation, Result};
use super::rows;
use crate::model::hash::ContentHash;
use crate::model::{Entity, Key};

/// Customers handled by one statement.
const CHUNK: usize = 500;

/// A customer whose place in the scopes is to be this one.
struct Wanted {
    key: Key,
    shops: BTreeSet<String>,
    /// The sequence at which it changes.
    sequence: i64,
}

/// Follows the customers that were written after a sequence into and out of the shops' scopes. What is about one whose
/// place changed gets new sequences, so that shops that follow the feed see it appear or vanish.
pub(super) async fn follow(
    tx: &mut SqliteConnection,
    differences: &[Difference],
    before: i64,
    sequence: &mut i64,
) -> Result<()> {
    let shops: HashMap<&Key, BTreeSet<String>> = differences
        .iter()
        .filter_map(|d| match d.operation {
            Operation::Delete => Some((&d.key, BTreeSet::new())),
            Operation::Upsert => Some((&d.key, d.shops.as_ref()?.iter().cloned().collect())),
            Operation::Recognise => None,
        })
        .collect();
    if shops.is_empty() {
        return Ok(());
    }
    // What was superseded has no sequence of this page: it changes nothing here either.
    let written = sqlx::query("SELECT company, number, sequence FROM part WHERE sequence > ? AND kind = 'customer'")
        .bind(before)
        .fetch_all(&mut *tx)
        .await?;
    let mut wanted = Vec::new();
    for row in &written {
        let key = rows::key(row)?;
        if let Some(shops) = shops.get(&key) {
            wanted.push(Wanted { shops: shops.clone(), key, sequence: row.try_get("sequence")? });
        }
    }
    let mut moved = Vec::new();
    for chunk in wanted.chunks(CHUNK) {
        let mut now = current(tx, chunk).await?;
        for Wanted { key, shops, sequence } in chunk {
            let now = now.remove(key).unwrap_or_default();
            for shop in now.difference(shops) {
                leave(tx, shop, key, *sequence).await?;
            }
            for shop in shops.difference(&now) {
                join(tx, shop, key, *sequence).await?;
            }
            if now != *shops {
                moved.push(key.clone());
            }
        }
    }
    renumber(tx, &moved, sequence).await
}

async fn leave(tx: &mut SqliteConnection, shop: &str, key: &Key, sequence: i64) -> Result<()> {
    sqlx::query("UPDATE member SET until = ? WHERE shop = ? AND company = ? AND customer = ? AND until IS NULL")
        .bind(sequence)
        .bind(shop)
        .bind(&key.company)
        .bind(&key.number)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

async fn join(tx: &mut SqliteConnection, shop: &str, key: &Key, sequence: i64) -> Result<()> {
    sqlx::query("INSERT INTO member (shop, company, customer, since) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
        .bind(shop)
        .bind(&key.company)
        .bind(&key.number)
        .bind(sequence)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// The shops that have the customers in scope now.
async fn current(tx: &mut SqliteConnection, wanted: &[Wanted]) -> Result<HashMap<Key, BTreeSet<String>>> {
    let mut query = rows::with_keys(wanted.iter().map(|w| &w.key));
    query.push(
        "SELECT k.company, k.number, m.shop FROM k CROSS JOIN member m ON m.company = k.company \
         AND m.customer = k.number WHERE m.until IS NULL",
    );
    let mut found: HashMap<Key, BTreeSet<String>> = HashMap::new();
    for row in query.build().fetch_all(&mut *tx).await? {
        found.entry(rows::key(&row)?).or_default().insert(row.try_get("shop")?);
    }
    Ok(found)
}

/// Gives what is about the customers new sequences: records about one of them, and products with article numbers of
/// theirs.
async fn renumber(tx: &mut SqliteConnection, customers: &[Key], sequence: &mut i64) -> Result<()> {
    for chunk in customers.chunks(CHUNK) {
        let mut query = rows::with_keys(chunk);
        query.push(
            ", found AS (SELECT p.id FROM k CROSS JOIN part p ON p.company = k.company AND p.who = '1:' || k.number ",
        );
        query.push("AND p.entity IN (");
        let mut entities = query.separated(", ");
        for entity in Entity::ALL {
            entities.push_bind(entity.name());
        }
        query.push(
            ") WHERE p.source_key IS NOT NULL AND p.sequence IS NOT NULL \
             UNION SELECT m.id FROM k CROSS JOIN part p ON p.company = k.company AND p.who = '1:' || k.number \
             AND p.entity = 'product' CROSS JOIN part m ON m.entity = 'product' AND m.company = p.company \
             AND m.number = p.number AND m.kind = 'product' AND m.part = '' \
             WHERE p.source_key IS NOT NULL AND m.source_key IS NOT NULL) \
             UPDATE part SET sequence = n.rank + ",
        );
        query.push_bind(*sequence);
        query.push(
            " FROM (SELECT id, row_number() OVER (ORDER BY id) AS rank FROM found) n \
             WHERE part.id = n.id",
        );
        let done = query.build().execute(&mut *tx).await?;
        *sequence += i64::try_from(done.rows_affected()).unwrap_or(i64::MAX);
    }
    Ok(())
}

/// Sets memberships of one shop at a sequence, of each customer only where its content is still what was judged. The
/// shop's cursors are void afterwards, so nothing gets a new sequence.
pub(super) async fn judge(
    tx: &mut SqliteConnection,
    shop: &str,
    page: &[super::super::Judged],
    sequence: i64,
) -> Result<()> {
    for chunk in page.chunks(CHUNK) {
        let mut query = rows::with_keys(chunk.iter().map(|j| &j.key));
        query.push(
            "SELECT p.company, p.number, p.hash FROM k CROSS JOIN part p ON p.company = k.company \
             AND p.number = k.number WHERE p.entity = 'customer' AND p.kind = 'customer' AND p.source_key IS NOT NULL",
        );
        let mut stored: HashMap<Key, ContentHash> = HashMap::new();
        for row in query.build().fetch_all(&mut *tx).await? {
            stored.insert(rows::key(&row)?, rows::hash(&row.try_get::<Vec<u8>, _>("hash")?)?);
        }
        let fresh = chunk.iter().filter(|j| stored.get(&j.key) == Some(&j.hash));
        let wanted: Vec<Wanted> = fresh
            .map(|j| Wanted {
                key: j.key.clone(),
                shops: j.member.then(|| shop.to_owned()).into_iter().collect(),
                sequence,
            })
            .collect();
        if wanted.is_empty() {
            continue;
        }
        let now = current(tx, &wanted).await?;
        for Wanted { key, shops, sequence } in &wanted {
            let is = now.get(key).is_some_and(|s| s.contains(shop));
            match (is, !shops.is_empty()) {
                (true, false) => leave(tx, shop, key, *sequence).await?,
                (false, true) => join(tx, shop, key, *sequence).await?,
                _ => {}
            }
        }
    }
    Ok(())
}
