//! Which customers are in which shop's scope, within the transaction that changes the customers.

use std::collections::{BTreeSet, HashMap};

use super::super::{Difference, Operation, Result};
use super::rows;
use super::session::Session;
use super::statement::{Argument, Sql};
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
    tx: &mut Session<'_>,
    differences: &[&Difference],
    before: i64,
    sequence: &mut i64,
) -> Result<()> {
    let shops: HashMap<&Key, BTreeSet<String>> = differences
        .iter()
        .filter_map(|d| match d.operation {
            Operation::Delete => Some((&d.key, BTreeSet::new())),
            Operation::Upsert => Some((&d.key, d.shops.as_ref()?.iter().cloned().collect())),
            Operation::Recognise | Operation::Miss => None,
        })
        .collect();
    if shops.is_empty() {
        return Ok(());
    }
    // What was superseded has no sequence of this page: it changes nothing here either.
    let written = tx
        .sql("SELECT company, number, sequence FROM part WHERE sequence > ? AND kind = 'customer'")
        .bind(before)
        .fetch_all(tx)
        .await?;
    let mut wanted = Vec::new();
    for row in &written {
        let key = rows::key(row)?;
        if let Some(shops) = shops.get(&key) {
            wanted.push(Wanted { shops: shops.clone(), key, sequence: row.get("sequence")? });
        }
    }
    let mut moved = Vec::new();
    for chunk in wanted.chunks(CHUNK) {
        let now = current(tx, chunk).await?;
        let none = BTreeSet::new();
        let (mut leaving, mut joining) = (Vec::new(), Vec::new());
        for Wanted { key, shops, sequence } in chunk {
            let now = now.get(key).unwrap_or(&none);
            leaving.extend(now.difference(shops).map(|shop| (shop.as_str(), key, *sequence)));
            joining.extend(shops.difference(now).map(|shop| (shop.as_str(), key, *sequence)));
            if now != shops {
                moved.push(key.clone());
            }
        }
        move_members(tx, &leaving, &joining).await?;
    }
    renumber(tx, &moved, sequence).await
}

/// Ends and begins memberships.
async fn move_members(tx: &mut Session<'_>, leaving: &[Move<'_>], joining: &[Move<'_>]) -> Result<()> {
    for chunk in leaving.chunks(CHUNK) {
        let mut sql = Sql::with_columns(tx.engine(), columns(chunk));
        sql.push("UPDATE member AS m SET until = d.sequence FROM d WHERE m.shop = d.shop AND m.company = d.company ");
        sql.push("AND m.customer = d.customer AND m.until IS NULL");
        sql.execute(tx).await?;
    }
    for chunk in joining.chunks(CHUNK) {
        let mut sql = Sql::with_columns(tx.engine(), columns(chunk));
        sql.push("INSERT INTO member (shop, company, customer, since) ");
        sql.push("SELECT d.shop, d.company, d.customer, d.sequence FROM d WHERE TRUE ON CONFLICT DO NOTHING");
        sql.execute(tx).await?;
    }
    Ok(())
}

/// A shop, a customer that comes into its scope or leaves it, and the sequence.
type Move<'a> = (&'a str, &'a Key, i64);

fn columns(moves: &[Move<'_>]) -> Vec<(&'static str, Argument)> {
    let texts = |text: fn(&Move<'_>) -> String| Argument::Texts(moves.iter().map(|m| Some(text(m))).collect());
    vec![
        ("shop", texts(|m| m.0.to_owned())),
        ("company", texts(|m| m.1.company.clone())),
        ("customer", texts(|m| m.1.number.clone())),
        ("sequence", Argument::Integers(moves.iter().map(|m| Some(m.2)).collect())),
    ]
}

/// The shops that have the customers in scope now.
async fn current(tx: &mut Session<'_>, wanted: &[Wanted]) -> Result<HashMap<Key, BTreeSet<String>>> {
    let mut query = Sql::with_keys(tx.engine(), wanted.iter().map(|w| &w.key));
    query.push(
        "SELECT k.company, k.number, m.shop FROM k CROSS JOIN member m WHERE m.company = k.company \
         AND m.customer = k.number AND m.until IS NULL",
    );
    let mut found: HashMap<Key, BTreeSet<String>> = HashMap::new();
    for row in query.fetch_all(tx).await? {
        found.entry(rows::key(&row)?).or_default().insert(row.get("shop")?);
    }
    Ok(found)
}

/// Gives what is about the customers new sequences: records about one of them, and products with article numbers of
/// theirs.
async fn renumber(tx: &mut Session<'_>, customers: &[Key], sequence: &mut i64) -> Result<()> {
    for chunk in customers.chunks(CHUNK) {
        let mut query = Sql::with_keys(tx.engine(), chunk);
        query.push(
            ", found AS (SELECT p.id FROM k CROSS JOIN part p WHERE p.company = k.company AND p.who = '1:' || k.number AND ",
        );
        query.push_in("p.entity", &Entity::ALL.map(Entity::name)).push_about("p.who", true);
        query.push(
            " AND p.source_key IS NOT NULL AND p.sequence IS NOT NULL \
             UNION SELECT m.id FROM k CROSS JOIN part p CROSS JOIN part m WHERE p.company = k.company \
             AND p.who = '1:' || k.number",
        );
        query.push_about("p.who", true).push(
            " AND p.entity = 'product' AND m.entity = 'product' AND m.company = p.company \
             AND m.number = p.number AND m.kind = 'product' AND m.part = '' \
             AND p.source_key IS NOT NULL AND m.source_key IS NOT NULL) \
             UPDATE part SET sequence = n.rank + ",
        );
        query.push_bind(*sequence);
        query.push(
            " FROM (SELECT id, row_number() OVER (ORDER BY id) AS rank FROM found) n \
             WHERE part.id = n.id",
        );
        *sequence += i64::try_from(query.execute(tx).await?).unwrap_or(i64::MAX);
    }
    Ok(())
}

/// Sets memberships of one shop at a sequence, of each customer only where its content is still what was judged. The
/// shop's cursors are void afterwards, so nothing gets a new sequence.
pub(super) async fn judge(
    tx: &mut Session<'_>,
    shop: &str,
    page: &[super::super::Judged],
    sequence: i64,
) -> Result<()> {
    for chunk in page.chunks(CHUNK) {
        let mut query = Sql::with_keys(tx.engine(), chunk.iter().map(|j| &j.key));
        query.push(
            "SELECT p.company, p.number, p.hash FROM k CROSS JOIN part p WHERE p.company = k.company \
             AND p.number = k.number AND p.entity = 'customer' AND p.kind = 'customer' AND p.source_key IS NOT NULL",
        );
        let mut stored: HashMap<Key, ContentHash> = HashMap::new();
        for row in query.fetch_all(tx).await? {
            stored.insert(rows::key(&row)?, rows::hash(&row.get::<Vec<u8>>("hash")?)?);
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
        let (mut leaving, mut joining) = (Vec::new(), Vec::new());
        for Wanted { key, shops, sequence } in &wanted {
            let is = now.get(key).is_some_and(|s| s.contains(shop));
            match (is, !shops.is_empty()) {
                (true, false) => leaving.push((shop, key, *sequence)),
                (false, true) => joining.push((shop, key, *sequence)),
                _ => {}
            }
        }
        move_members(tx, &leaving, &joining).await?;
    }
    Ok(())
}
