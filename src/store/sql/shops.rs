//! What shops see: the scope is part of every statement, so a page is a page of what the shop sees.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::super::{Condition, Judged, Listing, Part, Result, ShopChange, ShopChanges, ShopScope, Shops, View};
use super::session::Session;
use super::statement::{Engine, Row, Sql};
use super::{SqlStore, members, rows};
use crate::model::{Entity, Key, PartKind};

/// Keys looked up by one statement.
const LOOKUP: usize = 1000;

/// More targets than these are looked up together and sorted, instead of each walking its own index range.
const RANGES: usize = 100;

/// Keys that living parts and history are walked through side by side for.
const STRETCH: u32 = 10_000;

/// The customer that a part `p` is about, whose membership decides who sees it; null where everyone does. What an ERP
/// says about an order without naming the customer is nobody's.
const OWNER: &str = "CASE WHEN p.entity = 'customer' THEN p.number \
     WHEN substr(p.who, 1, 2) = '1:' THEN substr(p.who, 3) WHEN p.entity = 'order_status' THEN '' END";

/// The customer that an earlier life `f` of a part `p` was about.
const FORMER_OWNER: &str = "CASE WHEN p.entity = 'customer' THEN p.number \
     WHEN substr(f.who, 1, 2) = '1:' THEN substr(f.who, 3) WHEN p.entity = 'order_status' THEN '' END";

#[async_trait]
impl Shops for SqlStore {
    async fn scope(&self, shop: &str) -> Result<Option<ShopScope>> {
        let row = self
            .sql("SELECT h.digest, h.epoch, s.purged FROM shop h CROSS JOIN store s WHERE h.name = ?")
            .bind(shop)
            .fetch_optional(&mut self.reader().await?)
            .await?;
        let scope = |row: Row| -> Result<_> {
            Ok(ShopScope { digest: row.get("digest")?, epoch: row.get("epoch")?, purged: row.get("purged")? })
        };
        row.map(scope).transpose()
    }

    async fn rescope(&self, shop: &str, page: &[Judged]) -> Result<()> {
        let mut tx = self.write().await?;
        // A sequence of its own keeps a membership that ends and one that begins apart.
        let sequence = self
            .sql("UPDATE store SET sequence = sequence + 1 RETURNING sequence")
            .fetch_one(&mut tx)
            .await?
            .get("sequence")?;
        members::judge(&mut tx, shop, page, sequence).await?;
        tx.commit().await
    }

    async fn keep_scopes(&self, shops: &[String]) -> Result<()> {
        let mut tx = self.write().await?;
        let mut query = self.sql("DELETE FROM shop WHERE NOT (");
        // No shop has the empty name; a list needs an element.
        let kept: Vec<&str> = shops.iter().map(String::as_str).chain([""]).collect();
        query.push_in("name", &kept).push(")");
        query.execute(&mut tx).await?;
        tx.commit().await
    }

    async fn finish_rescope(&self, shop: &str, digest: &str) -> Result<()> {
        let mut tx = self.write().await?;
        // Nobody follows from before this any more: who left need not be remembered.
        self.sql("DELETE FROM member WHERE shop = ? AND until IS NOT NULL").bind(shop).execute(&mut tx).await?;
        self.sql(
            "INSERT INTO shop (name, digest, epoch) VALUES (?, ?, ?) \
             ON CONFLICT (name) DO UPDATE SET digest = excluded.digest, epoch = excluded.epoch",
        )
        .bind(shop)
        .bind(digest)
        .bind(uuid::Uuid::now_v7().simple().to_string())
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    async fn membership(&self, shop: &str, customers: &[Key]) -> Result<Vec<bool>> {
        let mut members = std::collections::HashSet::new();
        for chunk in customers.chunks(LOOKUP) {
            let mut query = Sql::with_keys(self.engine(), chunk);
            query.push(
                "SELECT k.company, k.number FROM k CROSS JOIN member m WHERE m.company = k.company \
                 AND m.customer = k.number AND m.until IS NULL AND m.shop = ",
            );
            query.push_bind(shop.to_owned());
            for row in query.fetch_all(&mut self.reader().await?).await? {
                members.insert(rows::key(&row)?);
            }
        }
        Ok(customers.iter().map(|key| members.contains(key)).collect())
    }

    async fn visible(&self, view: &View, entity: Entity, keys: &[Key]) -> Result<Vec<Part>> {
        let mut parts: Vec<Part> = Vec::new();
        for chunk in keys.chunks(LOOKUP) {
            let mut query = rows::select_parts_of(self.engine(), entity, chunk);
            push_scope(&mut query, Eyes::Shop(view), entity);
            query.push(" ORDER BY p.company, p.number, p.part <> '', p.kind, p.part");
            for row in query.fetch_all(&mut self.reader().await?).await? {
                let part = rows::part(&row)?;
                // Parts without a main part that the shop sees are nothing it sees.
                if part.part.is_empty() || parts.last().is_some_and(|last| last.key == part.key) {
                    parts.push(part);
                }
            }
        }
        Ok(parts)
    }

    async fn visible_keys(&self, view: &View, listing: &Listing) -> Result<Vec<Key>> {
        keys(self, Eyes::Shop(view), listing, None).await
    }

    async fn visible_changes(&self, view: &View, after: i64, entities: &[Entity], limit: u32) -> Result<ShopChanges> {
        // One read transaction: what lies before the end that is reported has been looked at.
        let mut tx = self.snapshot().await?;
        let head: i64 = self.sql("SELECT sequence FROM store").fetch_one(&mut tx).await?.get("sequence")?;
        let mut query = self.sql(
            "SELECT * FROM (SELECT p.id, p.sequence, p.entity, p.company, p.number, p.changed_at, p.source, p.who, \
             p.born, p.source_key IS NOT NULL AND ",
        );
        push_source(&mut query, &view.connections, "p.source");
        push_member(&mut query, view, OWNER, None);
        query.push(" AS visible FROM part p WHERE p.sequence > ").push_bind(after);
        query.push(" AND p.sequence <= ").push_bind(head).push(" AND ");
        query.push_in("p.company", &view.companies);
        if !entities.is_empty() {
            let names: Vec<&str> = entities.iter().map(|entity| entity.name()).collect();
            query.push(" AND ").push_in("p.entity", &names);
        }
        if let Some(warehouses) = &view.warehouses {
            // A tombstone has its key alone, which ends with the warehouse.
            query.push(" AND (p.entity <> 'stock'");
            for warehouse in warehouses {
                let end = format!("~{warehouse}");
                query.push(" OR substr(p.number, -length(").push_bind(end.clone()).push(")) = ").push_bind(end);
            }
            query.push(")");
        }
        query.push(") p WHERE p.visible OR (");
        push_source(&mut query, &view.connections, "p.source");
        push_member(&mut query, view, OWNER, Some(("COALESCE(p.born, 0)", "p.sequence")));
        query.push(") OR EXISTS (SELECT 1 FROM formerly f WHERE f.part = p.id AND ");
        push_source(&mut query, &view.connections, "f.source");
        push_member(&mut query, view, FORMER_OWNER, Some(("f.since", "f.until")));
        query.push(") ORDER BY p.sequence LIMIT ").push_bind(i64::from(limit) + 1);
        let found = query.fetch_all(&mut tx).await?;
        let more = found.len() > limit as usize;
        let mut changes = Vec::with_capacity(found.len());
        for row in found.iter().take(limit as usize) {
            let name: String = row.get("entity")?;
            changes.push(ShopChange {
                sequence: row.get("sequence")?,
                entity: Entity::from_name(&name).ok_or_else(|| rows::unreadable("entity", &name))?,
                key: rows::key(row)?,
                visible: row.get("visible")?,
                changed_at: rows::instant(row.get("changed_at")?)?,
            });
        }
        tx.commit().await?;
        let last = changes.last().map(|c| c.sequence);
        Ok(ShopChanges { sequence: last.filter(|_| more).unwrap_or(head.max(after)), changes, more })
    }
}

/// Whose eyes records are read with.
#[derive(Clone, Copy)]
pub(super) enum Eyes<'a> {
    /// A shop's.
    Shop(&'a View),
    /// An operator's, who looks at what came over some connections.
    Operator(&'a [String]),
}

/// Which versions of records are looked through.
#[derive(Clone, Copy)]
enum Era {
    /// The living ones.
    Now,
    /// Those of the living that were stored by an instant.
    Living(i64),
    /// Those that an instant fell into and that were superseded since.
    Superseded(i64),
}

/// A list that is walked through.
struct Walk<'a> {
    eyes: Eyes<'a>,
    listing: &'a Listing,
    company: &'a str,
    /// After this number.
    after: Option<String>,
    /// Not beyond this number.
    upto: Option<String>,
    limit: u32,
}

/// Keys of entities as they are now, or as they were known at an instant, in their order.
pub(super) async fn keys(
    store: &SqlStore,
    eyes: Eyes<'_>,
    listing: &Listing,
    known_at: Option<i64>,
) -> Result<Vec<Key>> {
    let mut companies: Vec<&String> = match eyes {
        Eyes::Shop(view) => view.companies.iter().collect(),
        Eyes::Operator(_) => listing.company.iter().collect(),
    };
    companies.sort_unstable();
    companies.dedup();
    let mut keys = Vec::new();
    for company in companies {
        if listing.company.as_ref().is_some_and(|c| c != company)
            || listing.after.as_ref().is_some_and(|after| *company < after.company)
        {
            continue;
        }
        let limit = listing.limit - u32::try_from(keys.len()).unwrap_or(u32::MAX);
        if limit == 0 {
            break;
        }
        let after = listing.after.as_ref().filter(|a| a.company == *company).map(|a| a.number.clone());
        let walk = Walk { eyes, listing, company, after, upto: None, limit };
        let mut reader = store.reader().await?;
        let numbers = match known_at {
            None => numbers(&mut reader, &walk, Era::Now).await?,
            Some(at) => known_numbers(&mut reader, walk, at).await?,
        };
        keys.extend(numbers.into_iter().map(|number| Key::new(company.clone(), number)));
    }
    Ok(keys)
}

/// The numbers of a walk through one era, in their order.
async fn numbers(reader: &mut Session<'_>, walk: &Walk<'_>, era: Era) -> Result<Vec<String>> {
    let mut query = reader.sql("SELECT number FROM (");
    for (at, range) in ranges(walk.listing, era).iter().enumerate() {
        query.push(if at == 0 { "" } else { " UNION ALL " }).push("SELECT number FROM (");
        push_range(&mut query, walk, range, era);
        query.push(format_args!(") r{at}"));
    }
    query.push(") r ORDER BY number LIMIT ").push_bind(walk.limit);
    query.fetch_all(reader).await?.iter().map(|row| row.get("number")).collect()
}

/// The numbers of what was known at an instant, in their order.
///
/// Living parts and history are walked side by side, a stretch of keys after the other: where few of the one were known
/// then, a page of the other must not have to look through all of it.
async fn known_numbers(reader: &mut Session<'_>, walk: Walk<'_>, at: i64) -> Result<Vec<String>> {
    let limit = walk.limit as usize;
    let by_key = matches!(ranges(walk.listing, Era::Superseded(at)).as_slice(), [Range::Key]);
    let mut after = walk.after.clone();
    let mut found: Vec<String> = Vec::new();
    loop {
        let end = if by_key { end_of_stretch(reader, &walk, after.as_ref()).await? } else { None };
        let rest = limit - found.len();
        let mut page = BTreeSet::new();
        let mut upto = end.clone();
        // What is superseded between the two is found twice, not missed.
        for era in [Era::Living(at), Era::Superseded(at)] {
            let limit = u32::try_from(rest).unwrap_or(u32::MAX);
            let stretch = Walk { after: after.clone(), upto: upto.clone(), limit, ..walk };
            page.extend(numbers(reader, &stretch, era).await?);
            upto = page.iter().nth(rest.saturating_sub(1)).cloned().or(upto);
        }
        found.extend(page.into_iter().take(rest));
        if found.len() >= limit || end.is_none() {
            return Ok(found);
        }
        after = end;
    }
}

/// The last number of the next stretch of keys; none where the rest is one.
async fn end_of_stretch(reader: &mut Session<'_>, walk: &Walk<'_>, after: Option<&String>) -> Result<Option<String>> {
    let row = reader
        .sql("SELECT number FROM part WHERE entity = ? AND company = ? AND number > ? ORDER BY number LIMIT 1 OFFSET ?")
        .bind(walk.listing.entity.name())
        .bind(walk.company)
        .bind(after.map(String::as_str).unwrap_or_default())
        .bind(STRETCH)
        .fetch_optional(reader)
        .await?;
    row.map(|row| row.get("number")).transpose()
}

/// What a list walks along, in the order of numbers.
enum Range<'a> {
    Number(&'a str),
    Term(&'static str, &'a str),
    Column(&'static str, &'a [String]),
    Key,
}

/// The ranges that together hold what is listed; the narrowest that the listing offers.
fn ranges(listing: &Listing, era: Era) -> Vec<Range<'_>> {
    // The terms are those of living content.
    let terms_kept = !matches!(era, Era::Superseded(_));
    for condition in &listing.conditions {
        match condition {
            Condition::Number(number) => return vec![Range::Number(number)],
            Condition::Gtin(gtin) if terms_kept => return vec![Range::Term("product.gtin", gtin)],
            _ => {}
        }
    }
    // Far fewer records are about one product than about everyone.
    for (column, terms) in [("p.what", &listing.what), ("p.who", &listing.who)] {
        if terms.len() > RANGES {
            return vec![Range::Column(column, terms)];
        }
        if !terms.is_empty() {
            return terms.chunks(1).map(|term| Range::Column(column, term)).collect();
        }
    }
    let group = listing.conditions.iter().find_map(|c| match c {
        Condition::Group(group) if terms_kept => Some(vec![Range::Term(group_term(listing.entity), group)]),
        _ => None,
    });
    group.unwrap_or_else(|| vec![Range::Key])
}

fn group_term(entity: Entity) -> &'static str {
    if entity == Entity::Customer { "customer.group" } else { "product.group" }
}

/// The numbers of a company's records in a range, in their order, each once.
fn push_range(query: &mut Sql, walk: &Walk<'_>, range: &Range<'_>, era: Era) {
    let Walk { listing, company, .. } = *walk;
    let number = if matches!(range, Range::Term(..)) { "t.number" } else { "p.number" };
    // Where a clock was put back, two versions of a record can cover an instant.
    let distinct = if matches!(era, Era::Superseded(_)) { "DISTINCT " } else { "" };
    query.push(format_args!("SELECT {distinct}{number} FROM "));
    if let Range::Term(name, value) = range {
        query.push("term t CROSS JOIN part p WHERE p.id = t.part AND t.name = ").push_bind(*name);
        query.push(" AND t.company = ").push_bind(company);
        query.push(" AND t.value = ").push_bind(*value);
    } else {
        query.push(if matches!(era, Era::Superseded(_)) { "history p" } else { "part p" });
        query.push(" WHERE p.company = ").push_bind(company);
        match range {
            Range::Number(number) => {
                query.push(" AND p.number = ").push_bind(*number);
            }
            Range::Column(column, [term]) => {
                query.push(format_args!(" AND {column} = ")).push_bind(term);
                if !matches!(era, Era::Superseded(_)) {
                    query.push_about(column, is_about_one(term));
                }
            }
            Range::Column(column, terms) => {
                query.push(" AND ").push_in(column, terms);
            }
            Range::Key | Range::Term(..) => {}
        }
    }
    query.push(" AND p.entity = ").push_bind(listing.entity.name());
    query.push(" AND p.kind = ").push_bind(PartKind::from(listing.entity).name());
    query.push(" AND p.part = ''");
    match era {
        Era::Now => {
            query.push(" AND p.source_key IS NOT NULL");
        }
        Era::Living(at) => push_known(query, true, at),
        Era::Superseded(at) => push_known(query, false, at),
    }
    if let Some(after) = &walk.after {
        query.push(format_args!(" AND {number} > ")).push_bind(after);
    }
    if let Some(upto) = &walk.upto {
        query.push(format_args!(" AND {number} <= ")).push_bind(upto);
    }
    for (column, terms) in [("p.who", &listing.who), ("p.what", &listing.what)] {
        if !terms.is_empty() && !matches!(range, Range::Column(c, _) if *c == column) {
            let column = query.unindexed(column);
            query.push(" AND ").push_in(&column, terms);
        }
    }
    for condition in &listing.conditions {
        push_condition(query, listing.entity, condition, era);
    }
    push_scope(query, walk.eyes, listing.entity);
    match (query.engine, range) {
        // What is about one customer or product is little: found by its index and sorted. Walked along in its order, the
        // whole entity would be read.
        (Engine::Postgres, Range::Column(_, terms))
            if !matches!(era, Era::Superseded(_)) && terms.iter().all(|term| is_about_one(term)) =>
        {
            query.push(format_args!(" ORDER BY {number} || '' LIMIT ")).push_bind(walk.limit)
        }
        _ => query.push(format_args!(" ORDER BY {number} LIMIT ")).push_bind(walk.limit),
    };
}

/// Whether a term of an index stands for one customer or product, and not for a group or everyone.
fn is_about_one(term: &str) -> bool {
    term.starts_with("1:")
}

/// That a living part `p`, or a superseded version `p`, is what was known at an instant.
pub(super) fn push_known(query: &mut Sql, living: bool, at: i64) {
    if living {
        query.push(" AND p.source_key IS NOT NULL AND p.changed_at <= ").push_bind(at);
    } else {
        // Keys and targets are narrower than time.
        let until = query.unindexed("p.until");
        query.push(" AND p.since <= ").push_bind(at).push(format_args!(" AND {until} > ")).push_bind(at);
    }
}

fn push_condition(query: &mut Sql, entity: Entity, condition: &Condition, era: Era) {
    let superseded = matches!(era, Era::Superseded(_));
    let mut term = |name: &'static str, value: &str| {
        query.push(" AND EXISTS (SELECT 1 FROM term c WHERE c.part = p.id AND c.name = ").push_bind(name);
        query.push(" AND c.value = ").push_bind(value.to_owned()).push(")");
    };
    match condition {
        Condition::Group(group) if superseded => {
            let groups = query.json_items("p.content", "groups");
            query.push(format_args!(" AND EXISTS (SELECT 1 FROM {groups} WHERE i.value = ")).push_bind(group).push(")");
        }
        Condition::Gtin(gtin) if superseded => {
            let (own, units) = (query.json_text("p.content", "gtin"), query.json_objects("p.content", "units"));
            let of_unit = query.json_text("i.value", "gtin");
            query.push(format_args!(" AND ({own} = ")).push_bind(gtin);
            query.push(format_args!(" OR EXISTS (SELECT 1 FROM {units} WHERE {of_unit} = ")).push_bind(gtin).push("))");
        }
        Condition::Group(group) => term(group_term(entity), group),
        Condition::Gtin(gtin) => term("product.gtin", gtin),
        Condition::Number(number) => {
            query.push(" AND p.number = ").push_bind(number.clone());
        }
        Condition::Status(status) => {
            // A product that says nothing is sold.
            let stored = query.json_text("p.content", "status");
            query.push(format_args!(" AND COALESCE({stored}, 'active') = ")).push_bind(status);
        }
        Condition::Warehouse(warehouse) => {
            let stored = query.json_text("p.content", "warehouse");
            query.push(format_args!(" AND {stored} = ")).push_bind(warehouse);
        }
        Condition::ValidOn(day) => {
            let (from, to) = (query.json_text("p.content", "valid_from"), query.json_text("p.content", "valid_to"));
            query.push(format_args!(" AND COALESCE({from}, '') <= ")).push_bind(day.to_string());
            query.push(format_args!(" AND COALESCE({to}, '9') >= ")).push_bind(day.to_string());
        }
    }
}

/// That a version `p` is to be seen now.
pub(super) fn push_scope(query: &mut Sql, eyes: Eyes<'_>, entity: Entity) {
    let view = match eyes {
        Eyes::Shop(view) => view,
        Eyes::Operator(connections) => {
            query.push(" AND ");
            return push_source(query, connections, "p.source");
        }
    };
    query.push(" AND ").push_in("p.company", &view.companies).push(" AND ");
    push_source(query, &view.connections, "p.source");
    push_member(query, view, OWNER, None);
    if let Some(warehouses) = view.warehouses.as_ref().filter(|_| entity == Entity::Stock) {
        let stored = query.json_text("p.content", "warehouse");
        query.push(" AND ").push_in(&stored, warehouses);
    }
}

/// That a source is one of some connections.
fn push_source(query: &mut Sql, connections: &[String], column: &str) {
    let column = query.unindexed(column);
    query.push(format_args!("{column} IN (SELECT id FROM source WHERE ")).push_in("connection", connections);
    query.push(")");
}

/// That the customer it is about, if it is about one, is in the shop's scope: now, or at some time in a span of
/// sequences.
fn push_member(query: &mut Sql, view: &View, owner: &str, during: Option<(&str, &str)>) {
    query.push(format_args!(
        " AND (({owner}) IS NULL OR EXISTS (SELECT 1 FROM member m WHERE m.company = p.company \
         AND m.customer = ({owner}) AND m.shop = "
    ));
    query.push_bind(view.shop.clone());
    match during {
        None => query.push(" AND m.until IS NULL))"),
        Some((from, to)) => {
            query.push(format_args!(" AND m.since <= {to} AND (m.until IS NULL OR m.until >= {from})))"))
        }
    };
}
