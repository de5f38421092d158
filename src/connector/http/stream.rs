//! A stream of pages as a connection has it: its request, how it is divided, and what belongs to its records.
//!
//! What does not live here: fetching it (`walk`, `pages`).

use std::sync::Arc;

use super::client::Client;
use super::cursor::Cursor;
use super::paging::Paging;
use super::related::{JoinPlan, ParentsPlan};
use super::request::RequestPlan;
use super::tagged::Tagged;
use super::tree::CURSOR;
use crate::connector::format::group::Grouping;
use crate::connector::reading::Reading;
use crate::expression::Expression;

/// The variables of a stream's request.
pub const NAMES: &[&str] = &["settings", CURSOR, "page", "parents", "now"];

/// Where `parents` stands among them.
pub const PARENTS: usize = 3;

/// A stream of pages, with the settings of a connection filled in.
#[derive(Debug)]
pub struct Pages {
    /// The stream's name.
    pub name: String,
    /// What the pages come through.
    pub client: Arc<Client>,
    /// The request of a page.
    pub request: Arc<RequestPlan>,
    /// How it is divided.
    pub paging: Option<Paging>,
    /// What tells how far it was read.
    pub cursor: Option<Arc<Cursor>>,
    /// Which objects in records are values.
    pub tagged: Option<Arc<Tagged>>,
    /// How a page's records are read.
    pub reading: Arc<Reading>,
    /// The stream about whose records it is asked for.
    pub parents: Option<Parents>,
    /// What is joined to its records.
    pub joins: Vec<Join>,
    /// Which neighbours are folded into one record; the last of one page and the first of the next may be such.
    pub group: Option<Grouping>,
    /// What holds for the records that are not left out.
    pub kept: Option<Arc<Expression>>,
    /// The field by which its records are unfolded.
    pub unfold: Option<String>,
    /// Whether its request asks about records of another stream.
    pub asks_about: bool,
}

/// What a stream is asked for about, with the settings of a connection filled in.
#[derive(Debug)]
pub struct Parents {
    /// How.
    pub plan: Arc<ParentsPlan>,
    /// The other stream.
    pub pages: Arc<Pages>,
}

/// What is joined to a stream, with the settings of a connection filled in.
#[derive(Debug)]
pub struct Join {
    /// How.
    pub plan: Arc<JoinPlan>,
    /// The other stream.
    pub pages: Arc<Pages>,
}

impl Pages {
    /// Whether the stream can be asked for what changed: by a cursor of its own, or by that of the stream about whose records
    /// it is asked for.
    pub fn tells_changes(&self) -> bool {
        self.telling().is_some()
    }

    /// The cursor by which it can be asked for what changed.
    pub fn telling(&self) -> Option<&Cursor> {
        let theirs = || self.parents.as_ref().and_then(|parents| parents.pages.telling());
        self.cursor.as_deref().or_else(theirs)
    }

    /// Whether a pass over it meets every record, whatever changes meanwhile: one that it lacks is gone.
    pub fn is_stable(&self) -> bool {
        let parents = self.parents.iter().map(|parents| &parents.pages);
        // What is unfolded may come from what is joined.
        let joins = self.joins.iter().filter(|_| self.unfold.is_some()).map(|join| &join.pages);
        self.paging.as_ref().is_none_or(Paging::is_stable) && parents.chain(joins).all(|pages| pages.is_stable())
    }

    /// Whether its records come as its own pages have them.
    pub fn is_plain(&self) -> bool {
        self.parents.is_none() && self.group.is_none()
    }

    /// Whether reading can go on between two pages.
    pub fn keeps_place(&self) -> bool {
        self.is_stable() && self.is_plain()
    }

    /// Whether it is read by itself, and not only joined to others.
    pub fn stands_alone(&self) -> bool {
        !self.asks_about || self.parents.is_some()
    }
}
