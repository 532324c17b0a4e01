//! The one list of what a backup holds: tables in an order in which each stands after those it refers to, with all their
//! columns. A test compares it with the schema, so that a new table or column cannot be forgotten.

use super::Kind::{self, Bool, Bytes, Int, Text, Uuid};

/// A table of this version's schema.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its primary key, which rows are read by.
    pub key: &'static [&'static str],
    /// All its columns.
    pub columns: &'static [(&'static str, Kind)],
}

/// Tables that stay behind. Sessions and leases are of running processes and browsers: a copy that began with them would
/// hand a person's session to a second installation, and wait for a process that is not there. `seaql_migrations` says
/// which steps the schema has, which a restore makes by taking them. The others are what SQLite's triggers keep of the rows
/// that are loaded.
pub const LEFT_BEHIND: &[&str] =
    &["sessions", "leases", "seaql_migrations", "renewals", "organization_grams", "subscription_grams"];

/// What a backup holds. Checkouts under way are in it, so that a person goes on where they were.
pub const TABLES: &[Table] = &[
    Table { name: "settings", key: &["key"], columns: &[("key", Text), ("value", Text)] },
    Table {
        name: "users",
        key: &["id"],
        columns: &[("id", Uuid), ("email", Text), ("name", Text), ("operator", Bool), ("created_at", Int)],
    },
    Table {
        name: "service_keys",
        key: &["id"],
        columns: &[("id", Uuid), ("name", Text), ("hash", Bytes), ("created_at", Int)],
    },
    Table {
        name: "organizations",
        key: &["id"],
        columns: &[("id", Uuid), ("slug", Text), ("name", Text), ("country", Text), ("created_at", Int)],
    },
    Table {
        name: "members",
        key: &["organization_id", "user_id"],
        columns: &[("organization_id", Uuid), ("user_id", Uuid), ("role", Text), ("access", Text)],
    },
    Table {
        name: "subscriptions",
        key: &["id"],
        columns: &[
            ("id", Uuid),
            ("name", Text),
            ("kind", Text),
            ("status", Text),
            ("country", Text),
            ("currency", Text),
            ("payment_method", Text),
            ("payment_token", Text),
            ("spending_limit", Bool),
            ("marketplace_enabled", Bool),
            ("profile", Text),
            ("seed_key", Text),
            ("created_by", Text),
            ("created_at", Int),
            ("billed_through", Text),
            ("credit", Int),
        ],
    },
    Table {
        name: "subscription_roles",
        key: &["subscription_id", "user_id"],
        columns: &[("subscription_id", Uuid), ("user_id", Uuid), ("role", Text)],
    },
    Table {
        name: "links",
        key: &["id"],
        columns: &[
            ("id", Uuid),
            ("organization_id", Uuid),
            ("subscription_id", Uuid),
            ("linked_by", Text),
            ("linked_at", Int),
            ("ended_at", Int),
        ],
    },
    Table { name: "publishers", key: &["slug"], columns: &[("slug", Text), ("name", Text), ("share", Text)] },
    Table {
        name: "offers",
        key: &["id"],
        columns: &[("id", Uuid), ("slug", Text), ("publisher", Text), ("definition", Text)],
    },
    Table {
        name: "prices",
        key: &["id"],
        columns: &[
            ("id", Uuid),
            ("offer_id", Uuid),
            ("currency", Text),
            ("version", Int),
            ("valid_from", Text),
            ("spec", Text),
            ("published_at", Int),
        ],
    },
    Table {
        name: "entitlements",
        key: &["organization_id", "offer_id"],
        columns: &[
            ("organization_id", Uuid),
            ("offer_id", Uuid),
            ("committed", Int),
            ("next", Int),
            ("month", Text),
            ("accrued", Text),
            ("charged", Int),
            ("installed", Bool),
            ("metered", Bool),
            ("cap", Int),
            ("version", Int),
            ("changed_at", Int),
        ],
    },
    Table {
        name: "purchases",
        key: &["id"],
        columns: &[
            ("id", Uuid),
            ("organization_id", Uuid),
            ("subscription_id", Uuid),
            ("actor_id", Uuid),
            ("key", Text),
            ("request_hash", Bytes),
            ("state", Text),
            ("answer", Text),
            ("at", Int),
        ],
    },
    Table {
        name: "idempotency",
        key: &["caller", "route", "key"],
        columns: &[
            ("caller", Text),
            ("route", Text),
            ("key", Text),
            ("request_hash", Bytes),
            ("status", Int),
            ("answer", Text),
            ("at", Int),
        ],
    },
    Table {
        name: "charges",
        key: &["id"],
        columns: &[
            ("id", Uuid),
            ("purchase_id", Uuid),
            ("subscription_id", Uuid),
            ("organization_id", Uuid),
            ("offer_id", Uuid),
            ("amount", Int),
            ("currency", Text),
            ("month", Text),
            ("tax_rate", Text),
            ("basis", Text),
            ("at", Int),
            ("bill", Text),
        ],
    },
    Table {
        name: "transfers",
        key: &["fact", "leg"],
        columns: &[
            ("fact", Uuid),
            ("leg", Int),
            ("debit", Text),
            ("credit", Text),
            ("amount", Int),
            ("currency", Text),
            ("at", Int),
        ],
    },
    Table {
        name: "unbilled",
        key: &["subscription_id", "month", "tax_rate"],
        columns: &[("subscription_id", Uuid), ("month", Text), ("tax_rate", Text), ("amount", Int)],
    },
    Table {
        name: "blocks",
        key: &["seq"],
        columns: &[
            ("seq", Int),
            ("id", Uuid),
            ("origin", Uuid),
            ("at", Int),
            ("events", Int),
            ("hash", Bytes),
            ("number", Int),
            ("chain", Bytes),
        ],
    },
    Table {
        name: "checkpoints",
        key: &["number"],
        columns: &[("number", Int), ("chain", Bytes), ("at", Int), ("signature", Bytes)],
    },
    Table {
        name: "events",
        key: &["block_id", "place"],
        columns: &[
            ("id", Uuid),
            ("block_id", Uuid),
            ("place", Int),
            ("kind", Text),
            ("organization_id", Uuid),
            ("actor", Text),
            ("at", Int),
            ("public", Text),
            ("private", Text),
            ("salt", Bytes),
            ("commitment", Bytes),
        ],
    },
    Table {
        name: "checkouts",
        key: &["id"],
        columns: &[
            ("id", Uuid),
            ("user_id", Uuid),
            ("draft", Text),
            ("success_url", Text),
            ("cancel_url", Text),
            ("created_at", Int),
            ("expires_at", Int),
        ],
    },
    Table { name: "counters", key: &["name"], columns: &[("name", Text), ("last", Int)] },
    Table {
        name: "invoices",
        key: &["id"],
        columns: &[
            ("id", Uuid),
            ("subscription_id", Uuid),
            ("bill", Text),
            ("number", Text),
            ("issued_on", Text),
            ("due_on", Text),
            ("currency", Text),
            ("net", Int),
            ("tax", Int),
            ("total", Int),
            ("paid", Int),
            ("taxes", Text),
            ("document", Text),
            ("at", Int),
            ("step", Int),
            ("next_on", Text),
        ],
    },
    Table {
        name: "payments",
        key: &["id"],
        columns: &[
            ("id", Uuid),
            ("subscription_id", Uuid),
            ("provider", Text),
            ("state", Text),
            ("token", Text),
            ("reference", Text),
            ("reason", Text),
            ("url", Text),
            ("invoice_id", Uuid),
            ("attempt", Int),
            ("amount", Int),
            ("currency", Text),
            ("received_on", Text),
            ("asked_at", Int),
            ("settled_at", Int),
        ],
    },
    Table {
        name: "allocations",
        key: &["id"],
        columns: &[
            ("id", Uuid),
            ("subscription_id", Uuid),
            ("invoice_id", Uuid),
            ("payment_id", Uuid),
            ("amount", Int),
            ("at", Int),
        ],
    },
    Table {
        name: "simulated_payments",
        key: &["payment_id"],
        columns: &[("payment_id", Uuid), ("amount", Int), ("currency", Text), ("taken", Bool), ("reason", Text)],
    },
    Table {
        name: "provider_customers",
        key: &["subscription_id"],
        columns: &[("subscription_id", Uuid), ("customer", Text)],
    },
    Table {
        name: "mails",
        key: &["event_id", "recipient"],
        columns: &[
            ("event_id", Uuid),
            ("recipient", Text),
            ("kind", Text),
            ("subject", Text),
            ("body", Text),
            ("state", Text),
            ("tries", Int),
            ("reason", Text),
            ("queued_at", Int),
            ("next_at", Int),
            ("settled_at", Int),
        ],
    },
    Table { name: "mail_cursor", key: &["name"], columns: &[("name", Text), ("number", Int), ("place", Int)] },
    Table {
        name: "invoice_lines",
        key: &["invoice_id", "place"],
        columns: &[
            ("invoice_id", Uuid),
            ("place", Int),
            ("charge_id", Uuid),
            ("slug", Text),
            ("name", Text),
            ("offer_name", Text),
            ("tax", Int),
            ("organization_net", Int),
        ],
    },
    Table {
        name: "usage_events",
        key: &["batch", "place"],
        columns: &[
            ("batch", Uuid),
            ("place", Int),
            ("id", Text),
            ("organization_id", Uuid),
            ("offer_id", Uuid),
            ("quantity", Int),
            ("at", Int),
            ("month", Text),
        ],
    },
    Table {
        name: "usage_months",
        key: &["organization_id", "offer_id", "month"],
        columns: &[
            ("organization_id", Uuid),
            ("offer_id", Uuid),
            ("month", Text),
            ("subscription_id", Uuid),
            ("used", Int),
            ("late", Int),
            ("open", Bool),
        ],
    },
];

/// Columns that PostgreSQL numbers by itself, which go on after the highest that was loaded.
pub(super) const NUMBERED: &[(&str, &str)] = &[("blocks", "seq")];
