//! Finding and erasing persons. A person has a handful of rows, so they are read and judged here.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::super::{Erasure, KnownPerson, Lease, Person, Privacy, RawBatch, Result, Traces};
use super::session::Session;
use super::statement::{Argument, Row, Sql};
use super::write::Numbers;
use super::{Pools, SqlStore, lease, rows};
use crate::model::Content;
use crate::model::hash::ContentHash;
use crate::model::{Key, PartKind, person as without};

/// Texts shorter than this are in too many places to tell a person by.
const TELLING: usize = 5;

/// Rejected records read by one statement.
const PAGE: u32 = 500;

#[async_trait]
impl Privacy for SqlStore {
    async fn persons_by_email(&self, email: &str) -> Result<Vec<KnownPerson>> {
        let mut found = Found::default();
        let mut session = self.reader().await?;
        for table in ["part", "history"] {
            let mut sql = self.sql("SELECT kind, company, number, part, content FROM ");
            sql.push(table).push(" WHERE entity = 'customer' AND content IS NOT NULL AND ");
            sql.push(rows::within(self.engine(), "content")).push_bind(email.to_lowercase()).push(") > 0");
            for row in sql.fetch_all(&mut session).await? {
                found.add(&row, table == "part", |contact| same(contact.get("email"), email))?;
            }
        }
        Ok(found.contacts.into_values().collect())
    }

    async fn persons(&self, company: Option<&str>, customer: &str, contact: Option<&str>) -> Result<Vec<KnownPerson>> {
        let mut found = Found::default();
        let mut session = self.reader().await?;
        for table in ["part", "history"] {
            let mut sql = self.sql("SELECT kind, company, number, part, content FROM ");
            sql.push(table).push(" WHERE entity = 'customer' AND content IS NOT NULL AND number = ");
            sql.push_bind(customer);
            if let Some(company) = company {
                sql.push(" AND company = ").push_bind(company);
            }
            for row in sql.fetch_all(&mut session).await? {
                found.add(&row, table == "part", |one| one.get("id").and_then(Value::as_str) == contact)?;
            }
        }
        let found = if contact.is_some() { found.contacts } else { found.customers };
        Ok(found.into_values().collect())
    }

    async fn traces(&self, leases: &[Lease], person: &Person) -> Result<Traces> {
        // What erasing comes upon; nothing of it is committed.
        Ok(self.begin_erasing(leases, person).await?.2)
    }

    async fn replace_raw(&self, leases: &[Lease], id: i64, batch: Option<&RawBatch>) -> Result<()> {
        let mut tx = self.write().await?;
        check(&mut tx, leases).await?;
        let sql = match batch {
            Some(RawBatch { records, bytes }) => {
                tx.sql("UPDATE raw SET records = ?, bytes = ? WHERE id = ?").bind(*records).bind(bytes).bind(id)
            }
            None => tx.sql("DELETE FROM raw WHERE id = ?").bind(id),
        };
        sql.execute(&mut tx).await?;
        tx.commit().await
    }

    async fn erase(&self, leases: &[Lease], person: &Person) -> Result<Erasure> {
        let (tx, erasure, _) = self.begin_erasing(leases, person).await?;
        tx.commit().await?;
        Ok(erasure)
    }

    async fn scrub(&self) -> Result<()> {
        let Pools::Sqlite { writer, .. } = &self.pools else { return Ok(()) };
        let mut connection = writer.acquire().await?;
        // The file is written anew, without free pages and without what was left in the gaps of others; then the log
        // is emptied, which had it as well.
        sqlx::query("VACUUM").execute(&mut *connection).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await?;
        Ok(())
    }

    async fn erased(&self) -> Result<Vec<Person>> {
        let sql =
            self.sql("SELECT company, number, part FROM erased WHERE entity = 'customer' ORDER BY company, number");
        let found = sql.fetch_all(&mut self.reader().await?).await?;
        found
            .iter()
            .map(|row| {
                let contact = Some(row.get::<String>("part")?).filter(|part| !part.is_empty());
                Ok(Person { customer: rows::key(row)?, contact })
            })
            .collect()
    }

    async fn readmit(&self, person: &Person) -> Result<bool> {
        let mut tx = self.write().await?;
        let lifted = tx
            .sql("DELETE FROM erased WHERE entity = 'customer' AND company = ? AND number = ? AND part = ?")
            .bind(&person.customer.company)
            .bind(&person.customer.number)
            .bind(person.contact.as_deref().unwrap_or_default())
            .execute(&mut tx)
            .await?;
        if lifted > 0 {
            // What the sources say of the customer is looked at again, though it did not change.
            tx.sql("UPDATE part SET source_hash = ? WHERE entity = 'customer' AND company = ? AND number = ? AND source_key IS NOT NULL")
                .bind([0; 16])
                .bind(&person.customer.company)
                .bind(&person.customer.number)
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
        Ok(lifted > 0)
    }
}

impl SqlStore {
    /// Erases a person in a transaction that is left open.
    async fn begin_erasing(&self, leases: &[Lease], person: &Person) -> Result<(Session<'static>, Erasure, Traces)> {
        let mut tx = self.write().await?;
        check(&mut tx, leases).await?;
        let mut numbers = Numbers::lock(&mut tx).await?;
        let traces = Traces { customer: person.customer.number.clone(), ..Traces::default() };
        let mut erasing = Erasing { person, traces, hashes: Vec::new() };
        let records = erasing.records(&mut tx, &mut numbers).await?;
        let versions = erasing.history(&mut tx).await?;
        let staged = erasing.staged(&mut tx).await?;
        let rejected = erasing.rejected(&mut tx).await?;
        let orders = erasing.orders(&mut tx).await?;
        let calls = erasing.calls(&mut tx).await?;
        let sql = "INSERT INTO erased (entity, company, number, part, at) VALUES ('customer', ?, ?, ?, ?) \
                   ON CONFLICT DO NOTHING";
        tx.sql(sql)
            .bind(&person.customer.company)
            .bind(&person.customer.number)
            .bind(person.contact.as_deref().unwrap_or_default())
            .bind(Timestamp::now().as_microsecond())
            .execute(&mut tx)
            .await?;
        numbers.save(&mut tx).await?;
        let erasure =
            Erasure { person: person.clone(), records, versions, staged, rejected, source_rows: 0, orders, calls };
        Ok((tx, erasure, erasing.traces))
    }
}

async fn check(tx: &mut Session<'_>, leases: &[Lease]) -> Result<()> {
    for held in leases {
        lease::check(tx, held).await?;
    }
    Ok(())
}

fn same(value: Option<&Value>, text: &str) -> bool {
    value.and_then(Value::as_str).is_some_and(|value| value.to_lowercase() == text.to_lowercase())
}

/// Persons that were found, each once; a present record counts before a past one.
#[derive(Default)]
struct Found {
    contacts: BTreeMap<Person, KnownPerson>,
    customers: BTreeMap<Person, KnownPerson>,
}

impl Found {
    /// Adds the customer and those contacts of a row that are meant.
    fn add(&mut self, row: &Row, present: bool, meant: impl Fn(&Value) -> bool) -> Result<()> {
        let content: Value = rows::json(&row.get::<String>("content")?)?;
        let customer = rows::key(row)?;
        let contacts = match rows::kind(row)? {
            PartKind::Contact => std::slice::from_ref(&content),
            PartKind::Customer => {
                let person = Person { customer: customer.clone(), contact: None };
                self.customers.entry(person.clone()).or_insert_with(|| known(person, &content, present));
                content.get("contacts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
            }
            _ => &[],
        };
        for contact in contacts.iter().filter(|contact| meant(contact)) {
            let id = contact.get("id").and_then(Value::as_str).map(str::to_owned);
            let person = Person { customer: customer.clone(), contact: id };
            self.contacts.entry(person.clone()).or_insert_with(|| known(person, contact, present));
        }
        Ok(())
    }
}

fn known(person: Person, content: &Value, present: bool) -> KnownPerson {
    let text = |name: &str| content.get(name).and_then(Value::as_str).map(str::to_owned);
    KnownPerson { person, name: text("name").unwrap_or_default(), email: text("email"), present }
}

/// A person that is being erased.
struct Erasing<'a> {
    person: &'a Person,
    traces: Traces,
    /// Hashes of present contents before and after.
    hashes: Vec<(ContentHash, ContentHash)>,
}

/// What becomes of a row.
enum Rest {
    /// It says nothing of the person.
    Same,
    /// Without the person it is this.
    Content(Content),
    /// Nothing is left of it.
    Nothing,
}

impl Erasing<'_> {
    fn key(&self) -> &Key {
        &self.person.customer
    }

    /// What is left of a row of the customer, whose person is noted.
    fn rest(&mut self, kind: PartKind, part: &str, mut content: Value) -> Rest {
        let before = content.clone();
        match (kind, &self.person.contact) {
            (PartKind::Contact, Some(contact)) if part == contact => {
                self.note(&before);
                Rest::Nothing
            }
            (PartKind::Contact | PartKind::Address, None) => {
                self.note(&before);
                Rest::Nothing
            }
            (PartKind::Customer, Some(contact)) if without::leave_out_contact(&mut content, contact) => {
                let id = |one: &&Value| one.get("id").and_then(Value::as_str) == Some(contact);
                let contacts = before.get("contacts").and_then(Value::as_array);
                contacts.into_iter().flatten().filter(id).for_each(|one| self.note(one));
                Rest::Content(Content::of(kind, &content))
            }
            (PartKind::Customer, None) if without::leave_out_everything(&mut content) => {
                self.note(&before);
                for list in ["contacts", "addresses"] {
                    before.get(list).and_then(Value::as_array).into_iter().flatten().for_each(|one| self.note(one));
                }
                Rest::Content(Content::of(kind, &content))
            }
            _ => Rest::Same,
        }
    }

    fn note(&mut self, content: &Value) {
        let told = |name: &str| {
            let text = content.get(name).and_then(Value::as_str).filter(|text| text.len() >= TELLING);
            text.filter(|text| *text != without::ERASED_NAME).map(str::to_lowercase)
        };
        self.traces.alone.extend(["email", "vat_number"].into_iter().filter_map(told));
        self.traces.shared.extend(["name", "legal_name", "phone", "attention"].into_iter().filter_map(told));
    }

    /// Present records: what is a part of its own gets a tombstone, a customer is written anew.
    async fn records(&mut self, tx: &mut Session<'_>, numbers: &mut Numbers) -> Result<u64> {
        let found =
            self.select(tx, "SELECT id, source, source_key, kind, part, content, hash FROM part WHERE ").await?;
        let (mut gone, mut rewritten) = (Vec::new(), Vec::new());
        for row in &found {
            self.traces.sources.insert(row.get("source")?);
            // A tombstone says nothing any more.
            let Some(content) = row.get::<Option<String>>("content")? else { continue };
            match self.rest(rows::kind(row)?, &row.get::<String>("part")?, rows::json(&content)?) {
                Rest::Same => continue,
                Rest::Content(content) => {
                    self.hashes.push((rows::hash(&row.get::<Vec<u8>>("hash")?)?, content.hash()));
                    rewritten.push((row.get("id")?, content));
                }
                Rest::Nothing => gone.push(row.get("id")?),
            }
            self.traces.rows.insert((row.get("source")?, row.get("source_key")?));
        }
        let count = (gone.len() + rewritten.len()) as u64;
        let now = Timestamp::now().as_microsecond();
        if !gone.is_empty() {
            let mut sql =
                tx.sql("UPDATE part SET source_key = NULL, content = NULL, hash = NULL, source_hash = NULL, ");
            sql.push("raw = NULL, turn = NULL, changed_at = ").push_bind(now).push(" WHERE ");
            sql.push_in_integers("id", &gone);
            sql.execute(tx).await?;
        }
        rewrite(tx, "part", &rewritten).await?;
        if count > 0 {
            // A change of what belongs to a customer is a change of the customer. When it was stored stays, since its
            // history goes on without a gap.
            let mut sql = tx.sql("UPDATE part SET sequence = ");
            sql.push_bind(numbers.next());
            sql.push(" WHERE entity = 'customer' AND kind = 'customer' AND part = '' AND source_key IS NOT NULL AND company = ");
            sql.push_bind(&self.key().company).push(" AND number = ").push_bind(&self.key().number);
            sql.execute(tx).await?;
        }
        Ok(count)
    }

    async fn history(&mut self, tx: &mut Session<'_>) -> Result<u64> {
        let found = self.select(tx, "SELECT id, source, source_key, kind, part, content FROM history WHERE ").await?;
        let (mut gone, mut rewritten) = (Vec::new(), Vec::new());
        for row in &found {
            self.traces.sources.insert(row.get("source")?);
            let content = rows::json(&row.get::<String>("content")?)?;
            match self.rest(rows::kind(row)?, &row.get::<String>("part")?, content) {
                Rest::Same => continue,
                Rest::Content(content) => rewritten.push((row.get("id")?, content)),
                Rest::Nothing => gone.push(row.get("id")?),
            }
            self.traces.rows.insert((row.get("source")?, row.get("source_key")?));
        }
        if !gone.is_empty() {
            let mut sql = tx.sql("DELETE FROM history WHERE ");
            sql.push_in_integers("id", &gone);
            sql.execute(tx).await?;
        }
        rewrite(tx, "history", &rewritten).await?;
        Ok((gone.len() + rewritten.len()) as u64)
    }

    /// Differences of runs that are held or broke off.
    async fn staged(&mut self, tx: &mut Session<'_>) -> Result<u64> {
        let found = tx
            .sql(
                "SELECT g.run, g.position, g.part, g.content, g.before, s.kind FROM source s JOIN run r ON r.source = s.id \
                 JOIN staged g ON g.run = r.id WHERE s.kind IN ('customer', 'address', 'contact') \
                 AND r.state IN ('held', 'running', 'applying') AND g.company = ? AND g.number = ?",
            )
            .bind(&self.key().company)
            .bind(&self.key().number)
            .fetch_all(tx)
            .await?;
        let mut count = 0;
        for row in &found {
            let (run, position): (String, i64) = (row.get("run")?, row.get("position")?);
            let content = row.get::<Option<String>>("content")?.as_deref().map(rows::json).transpose()?;
            let rest = match content {
                Some(content) => self.rest(rows::kind(row)?, &row.get::<String>("part")?, content),
                None => Rest::Same,
            };
            let mut sql = match &rest {
                Rest::Nothing => tx.sql("DELETE FROM staged"),
                Rest::Content(content) => {
                    tx.sql("UPDATE staged SET content = ?, after = ?").bind(content.as_str()).bind(content.hash())
                }
                Rest::Same => continue,
            };
            sql.push(" WHERE run = ").push_bind(run).push(" AND position = ").push_bind(position);
            count += sql.execute(tx).await?;
        }
        for (before, after) in &self.hashes {
            // What was staged against the record as it was still fits it.
            let sql = tx.sql("UPDATE staged SET before = ? WHERE before = ? AND company = ? AND number = ?");
            let sql = sql.bind(*after).bind(*before).bind(&self.key().company).bind(&self.key().number);
            sql.execute(tx).await?;
        }
        Ok(count)
    }

    /// Rejected records stay rejected, without what they say.
    async fn rejected(&self, tx: &mut Session<'_>) -> Result<u64> {
        let (mut after, mut telling) = (0, Vec::new());
        loop {
            let sql = tx.sql(
                "SELECT j.id, j.record, j.reason FROM rejected j JOIN source s ON s.id = j.source \
                 WHERE j.id > ? AND s.kind IN ('customer', 'address', 'contact') ORDER BY j.id LIMIT ?",
            );
            let found = sql.bind(after).bind(PAGE).fetch_all(tx).await?;
            for row in &found {
                after = row.get("id")?;
                let text = format!("{}{}", row.get::<String>("record")?, row.get::<String>("reason")?).to_lowercase();
                if self.traces.are_in(&text) {
                    telling.push(after);
                }
            }
            if found.len() < PAGE as usize {
                break;
            }
        }
        if telling.is_empty() {
            return Ok(0);
        }
        let mut sql = tx.sql("UPDATE rejected SET record = '{}', reason = 'what it said of a person is erased' WHERE ");
        sql.push_in_integers("id", &telling);
        sql.execute(tx).await
    }

    async fn orders(&self, tx: &mut Session<'_>) -> Result<u64> {
        let mut sql = tx.sql("SELECT COUNT(*) AS count FROM orders WHERE company = ? AND customer = ? AND (FALSE");
        sql = sql.bind(&self.key().company).bind(&self.key().number);
        let within = rows::within(tx.engine(), "content");
        for told in self.traces.alone.iter().chain(&self.traces.shared) {
            sql.push(" OR ").push(&within).push_bind(told).push(") > 0");
        }
        sql.push(")");
        Ok(sql.fetch_one(tx).await?.get::<i64>("count")?.unsigned_abs())
    }

    /// What was exchanged over the customer's orders. It may say anything of anybody, in the ERP's own words, and no
    /// business rests on it.
    async fn calls(&self, tx: &mut Session<'_>) -> Result<u64> {
        let orders = "SELECT id FROM orders WHERE company = ? AND customer = ?";
        tx.sql(&format!("DELETE FROM order_call WHERE order_id IN ({orders})"))
            .bind(&self.key().company)
            .bind(&self.key().number)
            .execute(tx)
            .await
    }

    /// The rows of the customer.
    async fn select(&self, tx: &mut Session<'_>, from: &str) -> Result<Vec<Row>> {
        let mut sql = tx.sql(from);
        sql.push("entity = 'customer' AND company = ").push_bind(&self.key().company);
        sql.push(" AND number = ").push_bind(&self.key().number);
        sql.fetch_all(tx).await
    }
}

/// Writes contents anew, by identifier.
async fn rewrite(tx: &mut Session<'_>, table: &str, contents: &[(i64, Content)]) -> Result<()> {
    if contents.is_empty() {
        return Ok(());
    }
    let columns = vec![
        ("id", Argument::Integers(contents.iter().map(|(id, _)| Some(*id)).collect())),
        ("content", Argument::Texts(contents.iter().map(|(_, content)| Some(content.as_str().to_owned())).collect())),
        ("hash", Argument::ByteStrings(contents.iter().map(|(_, c)| Some(c.hash().to_vec())).collect())),
    ];
    let mut sql = Sql::with_columns(tx.engine(), columns);
    sql.push(format_args!("UPDATE {table} AS p SET content = d.content, hash = d.hash FROM d WHERE p.id = d.id"));
    sql.execute(tx).await?;
    Ok(())
}
