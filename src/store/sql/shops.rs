//! What shops see: the scope is part of every statement, so a page is a page of what the shop sees.

use async_trait::async_trait;

use super::super::{Condition, Judged, Listing, Part, Result, ShopChange, ShopChanges, ShopScope, Shops, View};
use super::statement::{Row, Sql};
use super::{SqlStore, members, rows};
use crate::model::{Entity, Key, PartKind};

/// Keys looked up by one statement.
const LOOKUP: usize = 1000;

/// More targets than these are looked up together and sorted, instead of each walking its own index range.
const RANGES: usize = 100;

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
            let mut query = Sql::with_keys(self.engine(), chunk);
            query.push(rows::PART_OF_KEYS);
            query.push(
                "WHERE p.company = k.company AND p.number = k.number AND p.source_key IS NOT NULL AND p.entity = ",
            );
            query.push_bind(entity.name());
            push_scope(&mut query, view, entity);
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
        let mut companies: Vec<&String> = view.companies.iter().collect();
        companies.sort_unstable();
        companies.dedup();
        let mut keys = Vec::new();
        for company in companies {
            if listing.company.as_ref().is_some_and(|c| c != company)
                || listing.after.as_ref().is_some_and(|after| *company < after.company)
            {
                continue;
            }
            let rest = listing.limit - u32::try_from(keys.len()).unwrap_or(u32::MAX);
            if rest == 0 {
                break;
            }
            let after = listing.after.as_ref().filter(|a| a.company == *company).map(|a| a.number.as_str());
            let mut query = self.sql("SELECT number FROM (");
            for (at, range) in ranges(listing).iter().enumerate() {
                query.push(if at == 0 { "" } else { " UNION ALL " }).push("SELECT number FROM (");
                push_range(&mut query, view, listing, company, range, after, rest);
                query.push(format_args!(") r{at}"));
            }
            query.push(") r ORDER BY number LIMIT ").push_bind(rest);
            for row in query.fetch_all(&mut self.reader().await?).await? {
                keys.push(Key::new(company.clone(), row.get::<String>("number")?));
            }
        }
        Ok(keys)
    }

    async fn visible_changes(&self, view: &View, after: i64, entities: &[Entity], limit: u32) -> Result<ShopChanges> {
        // One read transaction: what lies before the end that is reported has been looked at.
        let mut tx = self.snapshot().await?;
        let head: i64 = self.sql("SELECT sequence FROM store").fetch_one(&mut tx).await?.get("sequence")?;
        let mut query = self.sql(
            "SELECT * FROM (SELECT p.id, p.sequence, p.entity, p.company, p.number, p.changed_at, p.source, p.who, \
             p.born, p.source_key IS NOT NULL AND ",
        );
        push_source(&mut query, view, "p.source");
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
        push_source(&mut query, view, "p.source");
        push_member(&mut query, view, OWNER, Some(("COALESCE(p.born, 0)", "p.sequence")));
        query.push(") OR EXISTS (SELECT 1 FROM formerly f WHERE f.part = p.id AND ");
        push_source(&mut query, view, "f.source");
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

/// What a list walks along, in the order of numbers.
enum Range<'a> {
    Number(&'a str),
    Term(&'static str, &'a str),
    Column(&'static str, &'a [String]),
    Key,
}

/// The ranges that together hold what is listed; the narrowest that the listing offers.
fn ranges(listing: &Listing) -> Vec<Range<'_>> {
    for condition in &listing.conditions {
        match condition {
            Condition::Number(number) => return vec![Range::Number(number)],
            Condition::Gtin(gtin) => return vec![Range::Term("product.gtin", gtin)],
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
        Condition::Group(group) => Some(vec![Range::Term(group_term(listing.entity), group)]),
        _ => None,
    });
    group.unwrap_or_else(|| vec![Range::Key])
}

fn group_term(entity: Entity) -> &'static str {
    if entity == Entity::Customer { "customer.group" } else { "product.group" }
}

/// The numbers of a company's visible records in a range, in their order.
fn push_range(
    query: &mut Sql,
    view: &View,
    listing: &Listing,
    company: &str,
    range: &Range<'_>,
    after: Option<&str>,
    limit: u32,
) {
    query.push("SELECT p.number FROM ");
    let number = if let Range::Term(name, value) = range {
        query.push("term t CROSS JOIN part p WHERE p.id = t.part AND t.name = ").push_bind(*name);
        query.push(" AND t.company = ").push_bind(company.to_owned());
        query.push(" AND t.value = ").push_bind((*value).to_owned());
        "t.number"
    } else {
        query.push("part p WHERE p.company = ").push_bind(company.to_owned());
        match range {
            Range::Number(number) => {
                query.push(" AND p.number = ").push_bind((*number).to_owned());
            }
            Range::Column(column, terms) => {
                query.push(" AND ").push_in(column, terms);
            }
            Range::Key | Range::Term(..) => {}
        }
        "p.number"
    };
    query.push(" AND p.entity = ").push_bind(listing.entity.name());
    query.push(" AND p.kind = ").push_bind(PartKind::from(listing.entity).name());
    query.push(" AND p.part = '' AND p.source_key IS NOT NULL");
    if let Some(after) = after {
        query.push(format_args!(" AND {number} > ")).push_bind(after.to_owned());
    }
    for (column, terms) in [("p.who", &listing.who), ("p.what", &listing.what)] {
        if !terms.is_empty() && !matches!(range, Range::Column(c, _) if *c == column) {
            let column = query.unindexed(column);
            query.push(" AND ").push_in(&column, terms);
        }
    }
    for condition in &listing.conditions {
        push_condition(query, listing.entity, condition);
    }
    push_scope(query, view, listing.entity);
    query.push(format_args!(" ORDER BY {number} LIMIT ")).push_bind(limit);
}

fn push_condition(query: &mut Sql, entity: Entity, condition: &Condition) {
    let mut term = |name: &'static str, value: &str| {
        query.push(" AND EXISTS (SELECT 1 FROM term c WHERE c.part = p.id AND c.name = ").push_bind(name);
        query.push(" AND c.value = ").push_bind(value.to_owned()).push(")");
    };
    match condition {
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

/// That the shop sees a living part `p` now.
fn push_scope(query: &mut Sql, view: &View, entity: Entity) {
    query.push(" AND ").push_in("p.company", &view.companies).push(" AND ");
    push_source(query, view, "p.source");
    push_member(query, view, OWNER, None);
    if let Some(warehouses) = view.warehouses.as_ref().filter(|_| entity == Entity::Stock) {
        let stored = query.json_text("p.content", "warehouse");
        query.push(" AND ").push_in(&stored, warehouses);
    }
}

/// That a source is one of the shop's connections.
fn push_source(query: &mut Sql, view: &View, column: &str) {
    let column = query.unindexed(column);
    query.push(format_args!("{column} IN (SELECT id FROM source WHERE ")).push_in("connection", &view.connections);
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
