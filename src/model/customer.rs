//! The customer, with addresses and contacts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{CountryCode, Currency, Invalid, Language, Money, check_not_negative, check_present};

/// A customer (debtor, sold-to party).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// The customer's number in the ERP.
    pub number: String,
    /// The name that people use.
    pub name: String,
    /// The name in the trade register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_name: Option<String>,
    /// The VAT number with its country prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vat_number: Option<String>,
    /// The chamber-of-commerce number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chamber_of_commerce_number: Option<String>,
    /// The number of the parent customer (group, holding).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The number of the customer that gets the invoice; absent: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill_to: Option<String>,
    /// The number of the customer that pays, and whose credit counts; absent: this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Codes of the customer groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Codes of the price groups and price lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_groups: Vec<String>,
    /// The currency the customer buys in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The language of correspondence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// The tax status, by the ERP's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_status: Option<String>,
    /// The payment terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_terms: Option<PaymentTerms>,
    /// What the customer is blocked for.
    #[serde(default)]
    pub blocked: Blocked,
    /// The sales representative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sales_representative: Option<SalesRepresentative>,
    /// The code of the assortment the customer may buy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assortment: Option<String>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// People.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
}

/// What a customer is blocked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blocked {
    /// Nothing.
    #[default]
    No,
    /// New orders.
    Orders,
    /// Everything.
    All,
}

/// Payment terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentTerms {
    /// The ERP's code.
    pub code: String,
    /// A description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Days until payment is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
}

/// A sales representative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SalesRepresentative {
    /// The ERP's code.
    pub code: String,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// An address of a customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The address's identifier, unique within the customer.
    pub id: String,
    /// What the address is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<AddressKind>,
    /// The name on the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The street, with the house number where the ERP keeps them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// The house number with its addition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub house_number: Option<String>,
    /// A second address line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
    /// The postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// The town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State, province or region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<CountryCode>,
    /// Whom to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<String>,
    /// The telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The GS1 global location number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gln: Option<String>,
}

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressKind {
    /// Invoices.
    Billing,
    /// Goods.
    Delivery,
    /// Visits.
    Visiting,
}

/// A person at a customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// The contact's identifier, unique within the customer.
    pub id: String,
    /// The full name.
    pub name: String,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The telephone number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The role in buying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The highest order amount that the contact may approve; absent: no limit is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_limit: Option<Money>,
    /// The language of correspondence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

/// A contact's role in buying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Places orders.
    Buyer,
    /// Approves the orders of others.
    Approver,
    /// Handles invoices and payment.
    Finance,
    /// Runs the company.
    Management,
    /// Anything else.
    Other,
}

impl Customer {
    /// What is wrong with the customer beyond the types of its fields.
    pub fn check(&self) -> Vec<Invalid> {
        let mut findings = Vec::new();
        check_present("number", &self.number, &mut findings);
        check_present("name", &self.name, &mut findings);
        for (at, contact) in self.contacts.iter().enumerate() {
            let limit = contact.approval_limit.as_ref().map(|m| m.amount);
            check_not_negative(&format!("contacts[{at}].approval_limit.amount"), limit, &mut findings);
        }
        findings
    }
}
