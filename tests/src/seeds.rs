//! The people, organizations and payers that tests start from.

/// The catalogue that Purser ships.
pub fn catalog() -> String {
    let file = crate::repository().join("config/catalog.toml");
    std::fs::read_to_string(file).expect("config/catalog.toml")
}

/// The usual company: Fabrikam without billing, Tailspin linked to its payer, Contoso foreign to both.
pub const COMPANY: &str = include_str!("../seeds/company.toml");

/// One subscription for each code of R-11, and some that can pay.
pub const PAYERS: &str = include_str!("../seeds/payers.toml");

/// `count` organizations `load-1`… without billing, all owned by `load@example.com`, who also owns the payer `Load`.
pub fn load(count: usize) -> String {
    let mut seed = String::from(
        r#"
[[user]]
email = "load@example.com"
name = "Load"
[[user]]
email = "ada@fabrikam.example"
name = "Ada Palmer"
[[subscription]]
key = "load"
name = "Load"
kind = "pay_as_you_go"
status = "active"
country = "US"
currency = "USD"
payment = "invoice"
roles = [{ user = "load@example.com", role = "owner" }]
"#,
    );
    for number in 1..=count {
        seed += &format!(
            r#"
[[organization]]
slug = "load-{number}"
name = "Load {number}"
country = "US"
members = [{{ user = "load@example.com", role = "owner", access = "basic" }}]
"#
        );
    }
    seed
}
