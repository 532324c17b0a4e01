//! The table of permissions: spot checks against the rules, and the page that is written from it.

use std::path::Path;

use kernel::{
    OrganizationRole as Org, Permission as P, Role, SubscriptionRole as Sub, granting_roles, grants, markdown,
};

#[test]
fn the_rules_in_plain_cases() {
    let cases = [
        ("R-1", Role::Organization(Org::Administrator), P::BillingSetUp, true),
        ("R-1", Role::Organization(Org::Member), P::BillingSetUp, false),
        ("R-1", Role::Subscription(Sub::Owner), P::BillingSetUp, false),
        ("R-2", Role::Subscription(Sub::BillingManager), P::SubscriptionUse, true),
        ("R-2", Role::Subscription(Sub::Reader), P::SubscriptionUse, false),
        ("R-2", Role::Organization(Org::Owner), P::SubscriptionUse, false),
        ("R-3", Role::SignedIn, P::SubscriptionCreate, true),
        ("R-6", Role::Organization(Org::Member), P::RequestMake, true),
        ("R-6", Role::Organization(Org::Member), P::RequestAnswer, false),
        ("R-7", Role::Subscription(Sub::Contributor), P::RolesManage, false),
        ("R-7", Role::Subscription(Sub::Reader), P::InvoiceView, true),
        ("R-7", Role::Organization(Org::Member), P::OrganizationBillView, false),
        ("R-9a", Role::Operator, P::CatalogueManage, true),
        ("R-9a", Role::Service, P::OrganizationSync, true),
        ("R-9a", Role::Operator, P::OrganizationSync, false),
    ];
    for (rule, role, permission, expected) in cases {
        assert_eq!(grants(role, permission), expected, "{rule}: {role} {permission}");
    }
}

#[test]
fn operator_and_service_neither_buy_link_nor_take_seats() {
    for permission in [P::BillingSetUp, P::SubscriptionUse, P::BillingChange, P::SeatAssign, P::SubscriptionCreate] {
        for role in [Role::Operator, Role::Service] {
            assert!(!grants(role, permission), "{role} {permission}");
        }
    }
}

#[test]
fn every_permission_has_a_word_of_its_own_and_somebody_who_grants_it() {
    let words: std::collections::BTreeSet<_> = P::ALL.iter().map(|permission| permission.as_str()).collect();
    assert_eq!(words.len(), P::ALL.len());
    for &permission in P::ALL {
        assert!(granting_roles(permission).next().is_some(), "{permission}");
        assert_eq!(serde_json::to_value(permission).unwrap(), permission.as_str());
    }
    let roles: std::collections::BTreeSet<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
    assert_eq!(roles.len(), 10);
}

#[test]
fn the_page_is_written_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/permissions.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/permissions.md is out of date: UPDATE_GOLDEN=1 cargo nextest run -p kernel renews it"
    );
}
