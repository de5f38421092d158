//! Assertions by which a client proves itself with a key instead of a secret: JSON Web Tokens (RFC 7519) as RFC 7523
//! wants them.
//!
//! What does not live here: the request that carries one (`oauth`).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::oauth_file::{AlgorithmWord, SignedFile};
use super::tree::Tree;
use super::vault::Vault;
use crate::config::KeyPath;
use crate::connector::check::{Checker, NAMES, Secrecy};
use crate::expression::Template;
use crate::record::Value;

/// How long an assertion is valid where a manifest does not say.
const LIFETIME: Duration = Duration::from_mins(5);

/// How far the system's clock may be behind this one without an assertion being refused as one from the future.
const BEHIND: Duration = Duration::from_secs(30);

/// What assertions are made of.
#[derive(Debug)]
pub struct AssertionPlan {
    key: Template,
    key_id: Option<Template>,
    algorithm: AlgorithmWord,
    audience: Option<Template>,
    lifetime: Duration,
    claims: Vec<(String, Tree)>,
}

/// A key that signs.
enum Signer {
    Rsa(RsaKeyPair, &'static dyn ring::signature::RsaEncoding),
    Ecdsa(EcdsaKeyPair),
}

impl AssertionPlan {
    /// Compiles what a manifest says; nothing with a problem.
    pub fn compile(checker: &mut Checker, at: &KeyPath, written: &SignedFile) -> Option<Self> {
        let key = checker.template(&at.key("key"), &written.key, NAMES, Secrecy::Told);
        let key_id = checker.optional(&at.key("key_id"), written.key_id.as_ref(), NAMES, Secrecy::Kept);
        let audience = checker.optional(&at.key("audience"), written.audience.as_ref(), NAMES, Secrecy::Kept);
        let claims: Vec<Option<(String, Tree)>> = written
            .claims
            .iter()
            .map(|(name, tree)| {
                let tree = Tree::compile(checker, &at.key("claims").key(name), tree, NAMES, Secrecy::Kept)?;
                Some((name.clone(), tree))
            })
            .collect();
        Some(Self {
            key: key?,
            key_id: key_id?,
            algorithm: written.algorithm,
            audience: audience?,
            lifetime: written.lifetime.map_or(LIFETIME, Duration::from),
            claims: claims.into_iter().collect::<Option<Vec<_>>>()?,
        })
    }

    /// An assertion of a client for where tokens are given out, by the system's clock.
    ///
    /// # Errors
    /// Where a value is missing, or the key is none.
    pub fn make(
        &self,
        client: &str,
        token_url: &str,
        vault: &Vault,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<String, String> {
        let signer = Signer::of_pem(&vault.fill(&self.key, zone)?, self.algorithm)?;
        let filled = |template: &Option<Template>| template.as_ref().map(|t| vault.fill(t, zone)).transpose();
        let mut header = json!({ "alg": self.algorithm.name(), "typ": "JWT" });
        if let Some(key_id) = filled(&self.key_id)? {
            header["kid"] = key_id.into();
        }
        let audience = filled(&self.audience)?.unwrap_or_else(|| token_url.to_owned());
        let issued = now.as_second() - i64::try_from(BEHIND.as_secs()).unwrap_or_default();
        let expires = now.as_second().saturating_add(i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX));
        let mut claims = JsonMap::from_iter([
            ("iss".to_owned(), client.into()),
            ("sub".to_owned(), client.into()),
            ("aud".to_owned(), audience.into()),
            ("iat".to_owned(), issued.into()),
            ("exp".to_owned(), expires.into()),
            ("jti".to_owned(), uuid::Uuid::now_v7().to_string().into()),
        ]);
        for (name, tree) in &self.claims {
            let value =
                vault.with(&Value::Null, zone, |context| tree.fill(context).map_err(|error| error.to_string()))?;
            claims.insert(name.clone(), value.to_json());
        }
        let text = format!("{}.{}", encoded(header.to_string()), encoded(Json::Object(claims).to_string()));
        let signature = signer.sign(text.as_bytes())?;
        Ok(format!("{text}.{}", encoded(signature)))
    }
}

impl Signer {
    fn of_pem(pem: &str, algorithm: AlgorithmWord) -> Result<Self, String> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
            "the key to sign with is no private key in PEM that begins with BEGIN PRIVATE KEY; `openssl pkcs8 -topk8 \
             -nocrypt` makes one of another form"
        })?;
        let wrong = |what: &'static str| {
            move |error: ring::error::KeyRejected| format!("{} needs {what}: {error}", algorithm.name())
        };
        let rsa = || RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(wrong("an RSA key of 2048 bits or more"));
        Ok(match algorithm {
            AlgorithmWord::Rs256 => Self::Rsa(rsa()?, &RSA_PKCS1_SHA256),
            AlgorithmWord::Ps256 => Self::Rsa(rsa()?, &RSA_PSS_SHA256),
            AlgorithmWord::Es256 => {
                let random = SystemRandom::new();
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random);
                Self::Ecdsa(key.map_err(wrong("a key on the curve P-256"))?)
            }
        })
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, String> {
        let random = SystemRandom::new();
        let failed = |_| "nothing can be signed: the operating system gives no random numbers".to_owned();
        match self {
            Self::Rsa(key, padding) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*padding, &random, text, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Self::Ecdsa(key) => Ok(key.sign(&random, text).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

impl AlgorithmWord {
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
        }
    }
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
