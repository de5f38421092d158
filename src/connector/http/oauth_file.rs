//! What a manifest says of OAuth 2.0, as it is written. The comments here are the descriptions in the published JSON
//! Schema.
//!
//! What does not live here: compiling it (`oauth`, `assertion`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::values::Interval;

/// OAuth 2.0 with the client's own credentials (RFC 6749, section 4.4): a secret, or a key that signs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentialsFile {
    /// Where tokens are given out. A template.
    pub token_url: String,
    /// The client. A template.
    pub client_id: String,
    /// Its secret. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// How the secret is sent; by default in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuthWord>,
    /// The key that the client signs with, instead of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<SignedFile>,
    /// What is asked for. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Further parameters of the request for a token, by name. Templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub token_parameters: BTreeMap<String, String>,
}

/// OAuth 2.0 with the consent of a person (RFC 6749, section 4.1), who gives it once by `connection authorize`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationCodeFile {
    /// Where the person gives consent. A template.
    pub authorize_url: String,
    /// Where tokens are given out. A template.
    pub token_url: String,
    /// The client. A template.
    pub client_id: String,
    /// Its secret. A template; by default the client has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// How the secret is sent; by default in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<ClientAuthWord>,
    /// What is asked for. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The address that the person is sent back to, as it is registered with the system. A template; by default one of
    /// the machine that `connection authorize` runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// Further parameters of the address where the person gives consent, by name. Templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorize_parameters: BTreeMap<String, String>,
    /// Further parameters of the requests for tokens, by name. Templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub token_parameters: BTreeMap<String, String>,
    /// Whether the code is bound to who asked for it (PKCE, RFC 7636, by S256); by default it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pkce: Option<bool>,
    /// How old an access token has to be before the system renews it, such as `9m30s`; by default it may be renewed at
    /// any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_after: Option<Interval>,
}

/// How a client's secret is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthWord {
    /// In the body, as `client_id` and `client_secret`.
    #[default]
    Body,
    /// In the header `Authorization: Basic`.
    Basic,
}

/// A key that a client signs with (`private_key_jwt`, RFC 7523).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedFile {
    /// The private key, PKCS#8 in PEM. A template, of a secret setting.
    pub key: String,
    /// The key's name with the system (`kid`), such as that of its certificate. A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// How it is signed; `ES256` with a key on the curve P-256, the others with an RSA key.
    pub algorithm: AlgorithmWord,
    /// Whom the assertion is for (`aud`). A template; by default the token URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How long it is valid; by default `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Interval>,
    /// Further claims, by name: a tree whose texts are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Value>,
}

/// How an assertion is signed (RFC 7518, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AlgorithmWord {
    /// RSA with PKCS#1 padding and SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA with PSS padding and SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}
