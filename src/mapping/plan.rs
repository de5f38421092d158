//! The order in which a mapping's fields are written: that of the canonical text, worked out once.
//!
//! What does not live here: writing them (`write`).

use std::collections::BTreeMap;

use super::compile::{ListTarget, Target};
use crate::model::PartKind;
use crate::model::identity;
use crate::model::shape::{Field, Kind, Shape};
use crate::record::write_text;

/// The fields of a record in the order of the canonical text.
#[derive(Debug)]
pub(super) struct Plan(pub Vec<Planned>);

/// A field that a mapping fills.
#[derive(Debug)]
pub(super) struct Planned {
    pub name: String,
    /// Its name as it stands in the text, with quotes and colon.
    pub key: Vec<u8>,
    /// Whether a record without it is refused.
    pub required: bool,
    /// Where its text is noted, if it decides where the record stands: a place in [`identity::FIELDS`].
    pub watched: Option<usize>,
    /// Whether it is the owner's key, which is no part of the content.
    pub owner: bool,
    /// What is looked at once the record is written.
    pub role: Role,
    pub filling: Filling,
}

/// What fills a field: the values are named by their places in the mapping.
#[derive(Debug)]
pub(super) enum Filling {
    Value(usize),
    Record(Plan),
    List(usize),
}

/// Fields whose values are looked at beside others of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    None,
    /// The code of a unit.
    UnitCode,
    PriceKind,
    PriceValue,
    Currency,
    ValidFrom,
    ValidTo,
}

impl Plan {
    /// The plan of a kind's record; nothing where two expressions meet in one field, or a field that must be there
    /// never is.
    pub fn of(kind: PartKind, shape: &Shape, targets: &[Target], lists: &[ListTarget]) -> Option<Self> {
        let mut plan = Self::of_shape(shape, targets, lists)?;
        for planned in &mut plan.0 {
            let name = planned.name.as_str();
            planned.watched = identity::FIELDS.iter().position(|field| *field == name);
            planned.owner = kind.owner().is_some_and(|owner| owner.field == name);
            if kind == PartKind::PriceAgreement {
                planned.role = match name {
                    "kind" => Role::PriceKind,
                    "value" => Role::PriceValue,
                    "currency" => Role::Currency,
                    "valid_from" => Role::ValidFrom,
                    "valid_to" => Role::ValidTo,
                    _ => Role::None,
                };
            }
        }
        Some(plan)
    }

    /// The plan of a record anywhere.
    pub fn of_shape(shape: &Shape, targets: &[Target], lists: &[ListTarget]) -> Option<Self> {
        let open = targets.iter().enumerate().map(|(at, target)| (at, target.path.as_slice())).collect::<Vec<_>>();
        let mut plan = fields(&shape.fields, &open)?;
        for (at, list) in lists.iter().enumerate() {
            let place = shape.fields.iter().position(|field| field.name == list.name)?;
            if lists[..at].iter().any(|other| other.name == list.name) {
                return None;
            }
            let behind = |planned: &Planned| {
                shape.fields.iter().position(|field| field.name == planned.name).is_some_and(|at| at > place)
            };
            let before = plan.iter().position(behind).unwrap_or(plan.len());
            let field = &shape.fields[place];
            plan.insert(before, Planned::of(&field.name, field.required, Filling::List(at)));
        }
        let missing = |field: &&Field| field.required && plan.iter().all(|planned| planned.name != field.name);
        if shape.fields.iter().find(missing).is_some() { None } else { Some(Self(plan)) }
    }
}

impl Planned {
    fn of(name: &str, required: bool, filling: Filling) -> Self {
        let mut key = Vec::new();
        write_text(name, &mut key);
        key.push(b':');
        Self { name: name.to_owned(), key, required, watched: None, owner: false, role: Role::None, filling }
    }
}

type Open<'t> = (usize, &'t [String]);

fn fields(shape: &[Field], targets: &[Open]) -> Option<Vec<Planned>> {
    let mut planned = Vec::new();
    for field in shape {
        let mine = |(at, path): &Open<'_>| {
            let [first, rest @ ..] = *path else { return None };
            (*first == field.name).then(|| (*at, rest.to_vec()))
        };
        let mine: Vec<(usize, Vec<String>)> = targets.iter().filter_map(mine).collect();
        let inner: Vec<Open> = mine.iter().map(|(at, rest)| (*at, rest.as_slice())).collect();
        let filling = match inner.as_slice() {
            [] => continue,
            [(at, [])] => Filling::Value(*at),
            _ if inner.iter().any(|(_, rest)| rest.is_empty()) => return None,
            _ => Filling::Record(Plan(match &field.kind {
                Kind::Record(shape) => within(&shape.fields, &inner)?,
                Kind::Unit(shape) => {
                    let mut unit = within(&shape.fields, &inner)?;
                    for planned in unit.iter_mut().filter(|planned| planned.name == "code") {
                        planned.role = Role::UnitCode;
                    }
                    unit
                }
                Kind::Table(_) => table(&inner)?,
                _ => return None,
            })),
        };
        planned.push(Planned::of(&field.name, field.required, filling));
    }
    Some(planned)
}

fn within(shape: &[Field], targets: &[Open]) -> Option<Vec<Planned>> {
    let planned = fields(shape, targets)?;
    let there = |field: &Field| planned.iter().any(|planned| planned.name == field.name);
    shape.iter().all(|field| !field.required || there(field)).then_some(planned)
}

fn table(targets: &[Open]) -> Option<Vec<Planned>> {
    let mut names = BTreeMap::new();
    for (at, path) in targets {
        let [name] = path else { return None };
        names.insert(name.as_str(), *at);
    }
    Some(names.into_iter().map(|(name, at)| Planned::of(name, false, Filling::Value(at))).collect())
}
