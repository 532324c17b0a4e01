//! The seed file as it is written (contract, "The seed file"), and what must hold within it.

use std::collections::{BTreeMap, BTreeSet};

use billing::{SubscriptionKind, SubscriptionStatus};
use kernel::{AccessLevel, CountryCode, Currency, Email, Name, OrganizationRole, Slug, SubscriptionRole};
use serde::Deserialize;

use super::SeedError;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeedFile {
    #[serde(default, rename = "user")]
    pub(super) users: Vec<User>,
    #[serde(default, rename = "organization")]
    pub(super) organizations: Vec<Organization>,
    #[serde(default, rename = "subscription")]
    pub(super) subscriptions: Vec<Subscription>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    pub(super) email: Email,
    pub(super) name: Name,
    #[serde(default)]
    pub(super) operator: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Organization {
    pub(super) slug: Slug,
    pub(super) name: Name,
    pub(super) country: CountryCode,
    #[serde(default)]
    pub(super) members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Member {
    pub(super) user: Email,
    pub(super) role: OrganizationRole,
    pub(super) access: AccessLevel,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscription {
    pub(super) key: Name,
    pub(super) name: Name,
    pub(super) kind: SubscriptionKind,
    pub(super) status: SubscriptionStatus,
    pub(super) country: CountryCode,
    pub(super) currency: Currency,
    pub(super) payment: Payment,
    #[serde(default)]
    pub(super) spending_limit: bool,
    #[serde(default)]
    pub(super) marketplace_enabled: bool,
    #[serde(default)]
    pub(super) roles: Vec<RoleHolder>,
    #[serde(default)]
    pub(super) linked: Vec<Slug>,
}

/// `"invoice"` or `{ card = "tok_ok" }`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Payment {
    Invoice,
    Card(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleHolder {
    pub(super) user: Email,
    pub(super) role: SubscriptionRole,
}

/// Reads a seed file and checks what needs no database.
pub(super) fn read(text: &str) -> Result<SeedFile, SeedError> {
    let file: SeedFile = toml::from_str(text).map_err(|e| SeedError::Malformed(e.to_string()))?;
    let mut faults = Vec::new();
    twice("user", file.users.iter().map(|user| user.email.as_str()), &mut faults);
    twice("organization", file.organizations.iter().map(|organization| organization.slug.as_str()), &mut faults);
    twice("subscription", file.subscriptions.iter().map(|subscription| subscription.key.as_str()), &mut faults);
    for organization in &file.organizations {
        let what = format!("organization {}: member", organization.slug);
        twice(&what, organization.members.iter().map(|member| member.user.as_str()), &mut faults);
        let owners = organization.members.iter().filter(|member| member.role == OrganizationRole::Owner).count();
        if owners > 1 {
            faults.push(format!(
                "organization {}: has {owners} owners; it can have one, make the others administrators",
                organization.slug
            ));
        }
    }
    let mut payers = BTreeMap::new();
    for Subscription { key, roles, linked, payment, .. } in &file.subscriptions {
        twice(&format!("subscription {key}: role of"), roles.iter().map(|holder| holder.user.as_str()), &mut faults);
        for slug in linked {
            if let Some(other) = payers.insert(slug.as_str(), key) {
                faults.push(format!("organization {slug} is linked to {other} and to {key}; keep one"));
            }
        }
        // The token is not repeated: it may be a card's number (R-46).
        let token = |token: &String| token.starts_with("tok_") && token.len() <= 200;
        if matches!(payment, Payment::Card(text) if !token(text)) {
            faults.push(format!("subscription {key}: payment.card must be a provider's token, such as tok_ok"));
        }
    }
    if faults.is_empty() { Ok(file) } else { Err(SeedError::Invalid(faults)) }
}

fn twice<'a>(what: &str, names: impl Iterator<Item = &'a str>, faults: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            faults.push(format!("{what} {name} is there twice; keep one entry"));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    /// The example of the contract.
    const EXAMPLE: &str = r#"
        [[user]]
        email = "Ada@fabrikam.example"
        name = "Ada Palmer"
        [[organization]]
        slug = "fabrikam"
        name = "Fabrikam Fiber"
        country = "DE"
        members = [{ user = "ada@fabrikam.example", role = "owner", access = "basic" }]
        [[subscription]]
        key = "fabrikam-prod"
        name = "Fabrikam Production"
        kind = "pay_as_you_go"
        status = "active"
        country = "US"
        currency = "USD"
        payment = "invoice"
        roles = [{ user = "ada@fabrikam.example", role = "owner" }]
        linked = ["fabrikam"]
    "#;

    #[test]
    fn the_contracts_example_is_read() {
        let file = read(EXAMPLE).unwrap();
        assert_eq!(file.users[0].email, file.organizations[0].members[0].user);
        assert!(!file.users[0].operator && !file.subscriptions[0].spending_limit);
        assert!(matches!(file.subscriptions[0].payment, Payment::Invoice));
        let card = read(&EXAMPLE.replace("\"invoice\"", "{ card = \"tok_ok\" }")).unwrap();
        assert!(matches!(&card.subscriptions[0].payment, Payment::Card(token) if token == "tok_ok"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let owner = "{ user = \"ada@fabrikam.example\", role = \"owner\", access = \"basic\" }";
        let two = format!("{owner}, {}", owner.replace("ada@", "eve@"));
        let again = EXAMPLE.replace("fabrikam-prod", "other").split_once("[[subscription]]").unwrap().1.to_owned();
        let cases = [
            (EXAMPLE.replace("operator", "x").replace("name = \"Ada", "nom = \"Ada"), "nom"),
            (EXAMPLE.replace("pay_as_you_go", "barter"), "must be one of pay_as_you_go"),
            (EXAMPLE.replace("\"invoice\"", "\"cash\""), "cash"),
            (EXAMPLE.replace("\"invoice\"", "{ card = \"4111111111111111\" }"), "must be a provider's token"),
            (EXAMPLE.replace(owner, &two), "organization fabrikam: has 2 owners"),
            (EXAMPLE.replace(owner, &format!("{owner}, {owner}")), "member ada@fabrikam.example is there twice"),
            (
                format!("{EXAMPLE}{}", EXAMPLE.split_once("[[organization]]").unwrap().0),
                "user ada@fabrikam.example is there",
            ),
            (format!("{EXAMPLE}[[subscription]]{again}"), "fabrikam is linked to fabrikam-prod and to other"),
        ];
        for (text, expected) in cases {
            let error = read(&text).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error:?} lacks {expected:?}");
            assert!(!error.contains("4111"), "{error}");
        }
    }
}
