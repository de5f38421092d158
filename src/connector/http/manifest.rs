//! What a manifest says of HTTP, as it is written: `[http]`, and the keys of streams and actions that go with it. The
//! comments here are the descriptions in the published JSON Schema.
//!
//! What does not live here: checking it (`compile`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::oauth_file::{AuthorizationCodeFile, ClientCredentialsFile};
use crate::config::values::{Interval, Percent};

/// How a system is reached over HTTP.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpFile {
    /// The address that paths of requests are behind, such as `https://erp.example/api/`. A template.
    #[schemars(length(min = 1))]
    pub base_url: String,
    /// Headers of every request, by name. Templates; a header without a value is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How requests prove who they come from; by default they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthFile>,
    /// The token that every request but `GET` carries, where the system asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<CsrfFile>,
    /// How long is waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<TimeoutFile>,
    /// How much the system allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitFile>,
    /// What answers mean that the status alone does not tell: the first rule that applies counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error: Vec<ErrorFile>,
    /// The paths to the system's own words in the body of an answer, `error/message`: the first that is there counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub message: Vec<String>,
    /// The proxy that requests go through, such as `http://proxy.example:3128`. A template; without a value, what the
    /// environment says (`HTTPS_PROXY`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// A file with certificates, in PEM, that are trusted besides those of the machine. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// A file with a client certificate and its key, in PEM. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// The request that `check` and `connector probe` send first, and that a paused connection is tried with; by default
    /// the first page of the first stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<RequestFile>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestFile {
    /// The method; by default `GET`, and `POST` where there is a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// The path behind `base_url`. A template; what a value brings in is encoded, `/` as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The query, by name. Templates; a parameter without a value is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// Headers, by name. Templates; a header without a value is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body, a tree that is sent as JSON. Its texts are templates; one that is a single expression gives its value as
    /// it is: a number, a list, a record, null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    pub body: Option<Value>,
    /// The body, a form. Templates; a field without a value is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<BTreeMap<String, String>>,
}

fn any_value(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["object", "array", "string", "number", "boolean"] })
}

/// A request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Creates or calls.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

/// How requests prove who they come from. Only here templates may name secret settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthFile {
    /// HTTP Basic.
    Basic(BasicFile),
    /// A token in `Authorization: Bearer`. A template.
    Bearer(#[schemars(length(min = 1))] String),
    /// Headers of their own, by name. Templates.
    Headers(BTreeMap<String, String>),
    /// OAuth 2.0 with the client's own credentials.
    ClientCredentials(ClientCredentialsFile),
    /// OAuth 2.0 with the consent of a person, given once by `connection authorize`.
    AuthorizationCode(AuthorizationCodeFile),
    /// A login whose answer yields what the headers of the requests after it carry; repeated when a request is refused.
    Session(SessionFile),
    /// One of several, as a setting says.
    Choice(ChoiceFile),
}

/// Several ways to prove who requests come from, of which a setting says one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChoiceFile {
    /// Which one. A template.
    #[schemars(length(min = 1))]
    pub by: String,
    /// Each as `auth` has it, by what `by` says.
    #[schemars(extend("minProperties" = 1))]
    pub of: BTreeMap<String, AuthFile>,
}

/// HTTP Basic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicFile {
    /// The user. A template.
    pub user: String,
    /// The password. A template.
    pub password: String,
}

/// A login.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionFile {
    /// The login.
    pub request: RequestFile,
    /// A condition on its `answer` that is true where the login worked; by default every answer without an error is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<String>,
    /// An expression over its `answer` that gives for how many seconds it is valid: it is repeated before they are over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
    /// The headers of the requests after it, by name. Templates that know the login's `answer`.
    pub headers: BTreeMap<String, String>,
}

/// A token against forged requests. It is fetched before the first request that writes, and again where one is refused with
/// the header's value `Required`. The cookies that come with it are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsrfFile {
    /// The request whose answer has the token; it carries the header with the value `Fetch`.
    pub request: RequestFile,
    /// The header that has the token; by default `X-CSRF-Token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub header: Option<String>,
}

/// How long is waited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeoutFile {
    /// For a connection; by default `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Interval>,
    /// For the first byte of an answer, and between two reads of it; by default `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Interval>,
    /// For a whole request; by default `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Interval>,
}

/// How much a system allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitFile {
    /// Requests under way at once; by default 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub concurrency: Option<u32>,
    /// How many requests in `per`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests: Option<u32>,
    /// The time in which so many requests are allowed, such as `1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per: Option<Interval>,
    /// How many requests in 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub daily: Option<u32>,
    /// Which share is left to actions; by default `5%`. Nothing where the manifest has no action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved: Option<Percent>,
    /// Headers of answers that say how much is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<ToldFile>,
}

/// Two headers of answers that say how much is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToldFile {
    /// The header with the number of requests that are left.
    #[schemars(length(min = 1))]
    pub remaining: String,
    /// The header that says until when: in seconds from now, in seconds since 1970, or in milliseconds since 1970; which of
    /// them is told by the size of the number.
    #[schemars(length(min = 1))]
    pub reset: String,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorFile {
    /// The status: one of these; by default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("minItems" = 1))]
    pub status: Option<Vec<u16>>,
    /// A condition on the `answer`: its body where that is JSON, otherwise null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// A text that is in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub text: Option<String>,
    /// A header that is there, and a text in it: `X-CSRF-Token: Required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub header: Option<String>,
    /// What it means.
    pub means: Meaning,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Meaning {
    /// All is well.
    Success,
    /// It may work later.
    Retry,
    /// Too many requests: it may work later, and nothing was executed.
    RateLimited,
    /// The session or token has expired: the login is repeated, and then the request.
    RefreshAuth,
    /// The system refuses what it was sent; trying again changes nothing.
    Reject,
    /// Nothing works until a person mends it.
    Fatal,
    /// The system has it already: that is success.
    Duplicate,
}

/// How a stream is divided into pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PagingFile {
    /// How the next page is asked for.
    pub by: PagingWord,
    /// How many records a page has at the most: `${page.size}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub size: Option<u32>,
    /// What tells the last page: `empty`, the page behind it has no records (the default), or `short`, it has fewer than
    /// `size`. Of `offset`, `number` and `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<EndWord>,
    /// Of `number`: what the first page is; by default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// Of `link` and `token`: the path in the body to the next page's address or token, `data/next`. With `header`, the
    /// links stand in the header `Link` (RFC 8288). By default, and of the format `odata` only, `d/__next` and
    /// `@odata.nextLink`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub next: Option<String>,
    /// Of `key`: the field of the last record that the next page is behind: `${page.key}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub key: Option<String>,
    /// Whether a record keeps its place while pages are read: by default `key` does, and no other. Then a record that a
    /// complete pass lacks is gone at once, and a pass that broke off goes on from its last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<bool>,
}

/// How the next page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PagingWord {
    /// By the number of records before it: `${page.offset}`.
    Offset,
    /// By its number: `${page.number}`.
    Number,
    /// By the address that the page before it gives.
    Link,
    /// By the token that the page before it gives: `${page.token}`.
    Token,
    /// By the last key of the page before it: `${page.key}`. Pages do not shift while they are read.
    Key,
}

/// What tells the last page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndWord {
    /// The page behind it has no records. Safe where the system gives fewer records than it was asked for.
    Empty,
    /// It has fewer records than a page may have.
    Short,
}

/// The stream about whose records a stream is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParentsFile {
    /// The other stream. Where this one has no cursor, a pull of changes asks about those records that changed there.
    #[schemars(length(min = 1))]
    pub stream: String,
    /// About how many of its records is asked at once: `${parents}`; by default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub batch: Option<u32>,
    /// An expression over a record of the other stream. A batch ends where the next record gives another value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub same: Option<String>,
    /// The field that takes the other stream's record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub into: Option<String>,
    /// With `into`, and required where a batch is more than one record: an expression over the other stream's record that
    /// gives what `by` gives for a record that belongs to it. A batch ends before a record whose key it has already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub key: Option<String>,
    /// An expression over a record of this stream; by default as `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub by: Option<String>,
}

/// A stream whose records are joined to those of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinFile {
    /// The stream that is asked, with a request that names `parents`.
    #[schemars(length(min = 1))]
    pub stream: String,
    /// The field that takes what it gives.
    #[schemars(length(min = 1))]
    pub into: String,
    /// An expression over a record that gives what `by` gives for what belongs to it. Each value is asked about once a page;
    /// a record without one gets nothing.
    #[schemars(length(min = 1))]
    pub key: String,
    /// An expression over what is joined; by default as `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub by: Option<String>,
    /// Whether the field takes a list; by default it takes one record, and more than one is an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub many: bool,
    /// About how many records is asked at once; by default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub batch: Option<u32>,
}

/// What tells how far a stream was read, so that the next pull asks for what changed since.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CursorFile {
    /// An expression over a record that gives its instant of change (`instant()`) or its row version (a number). Records
    /// without one arrive all the same.
    #[schemars(length(min = 1))]
    pub value: String,
    /// What it gives.
    pub r#as: CursorWord,
    /// Of an instant: how far a pull reaches back behind what it has seen, since changes may become visible late; by
    /// default `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_back: Option<Interval>,
    /// Whether the request sorts by the cursor: then what was read before a pull broke off is kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ordered: bool,
}

/// What a cursor's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CursorWord {
    /// An instant.
    Instant,
    /// A number that grows with each change.
    Version,
}

/// A step of an action: one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepFile {
    /// What the step is called in messages, such as `create`.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The request. Its templates know `request`, which the mapping makes, `reference`, which is ours, and `made`, which
    /// the steps before it gave.
    pub request: RequestFile,
    /// Whether the step only reads what later ones need: where it fails, nothing was made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads: bool,
    /// Expressions over the step's `answer`, by name: what it adds to `made`. One without a value adds nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gives: BTreeMap<String, String>,
    /// A condition on `made` that is true where the step was taken: what is found goes on from the first step that was not.
    /// By default whatever is found has taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<String>,
}

/// The search for what an action made, by our reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FindFile {
    /// The request. Its templates know `request` and `reference`.
    pub request: RequestFile,
    /// The path to what was found in the body, a list or one record, or several paths of which the first that is there counts;
    /// by default the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<Paths>,
    /// Expressions over what was found, by name: what it adds to `made`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gives: BTreeMap<String, String>,
    /// A condition on `made` and `request` that is true where what was found is ours and not another customer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<String>,
}

/// One path or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Paths {
    /// One.
    One(String),
    /// Several, of which each counts.
    Several(#[schemars(extend("minItems" = 1))] Vec<String>),
}

/// Objects that are values: a system tags them with their type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaggedFile {
    /// The member that holds the tag, such as `__class__`.
    #[schemars(length(min = 1))]
    pub by: String,
    /// By tag, an expression over the object that gives its value.
    pub values: BTreeMap<String, String>,
}
