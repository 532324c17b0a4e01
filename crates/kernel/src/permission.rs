//! Who may do what: one table, permission by permission, that refusals and `docs/permissions.md` are drawn from.
//! Nothing else in the program asks for a role.

use std::fmt;

use serde::{Serialize, Serializer};

string_enum! {
    /// A person's role in an organization.
    pub enum OrganizationRole {
        /// Owns it.
        Owner = "owner",
        /// Administers it.
        Administrator = "administrator",
        /// Works in it.
        Member = "member",
    }
}

string_enum! {
    /// A person's role on a subscription.
    pub enum SubscriptionRole {
        /// Owns it.
        Owner = "owner",
        /// May buy on it.
        Contributor = "contributor",
        /// May buy on it.
        BillingManager = "billing_manager",
        /// May look at it and its invoices.
        Reader = "reader",
    }
}

string_enum! {
    /// What a person may use in an organization.
    pub enum AccessLevel {
        /// Free and unlimited.
        Stakeholder = "stakeholder",
        /// Takes a seat of a `users` offer.
        Basic = "basic",
    }
}

/// What a caller may be, and rights hang on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A member of the organization in question.
    Organization(OrganizationRole),
    /// A role holder of the subscription in question: for an organization, the one that it is linked to.
    Subscription(SubscriptionRole),
    /// Runs the installation (R-9a).
    Operator,
    /// The platform, by a service key (R-9a).
    Service,
    /// Any person who is signed in.
    SignedIn,
}

const OWNER: Role = Role::Organization(OrganizationRole::Owner);
const ADMINISTRATOR: Role = Role::Organization(OrganizationRole::Administrator);
const MEMBER: Role = Role::Organization(OrganizationRole::Member);
const PAYER_OWNER: Role = Role::Subscription(SubscriptionRole::Owner);
const CONTRIBUTOR: Role = Role::Subscription(SubscriptionRole::Contributor);
const BILLING_MANAGER: Role = Role::Subscription(SubscriptionRole::BillingManager);
const READER: Role = Role::Subscription(SubscriptionRole::Reader);

impl Role {
    /// Every role.
    pub const ALL: &'static [Self] = &[
        OWNER,
        ADMINISTRATOR,
        MEMBER,
        PAYER_OWNER,
        CONTRIBUTOR,
        BILLING_MANAGER,
        READER,
        Self::Operator,
        Self::Service,
        Self::SignedIn,
    ];

    /// Its word, unique among all roles: `organization.owner`, `subscription.billing_manager`, `operator`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Organization(OrganizationRole::Owner) => "organization.owner",
            Self::Organization(OrganizationRole::Administrator) => "organization.administrator",
            Self::Organization(OrganizationRole::Member) => "organization.member",
            Self::Subscription(SubscriptionRole::Owner) => "subscription.owner",
            Self::Subscription(SubscriptionRole::Contributor) => "subscription.contributor",
            Self::Subscription(SubscriptionRole::BillingManager) => "subscription.billing_manager",
            Self::Subscription(SubscriptionRole::Reader) => "subscription.reader",
            Self::Operator => "operator",
            Self::Service => "service",
            Self::SignedIn => "signed_in",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Roles that hold a permission, by where they come from.
struct Holders {
    organization: &'static [OrganizationRole],
    subscription: &'static [SubscriptionRole],
    others: &'static [Role],
}

const MEMBERS: &[OrganizationRole] = OrganizationRole::ALL;
const MANAGERS: &[OrganizationRole] = &[OrganizationRole::Owner, OrganizationRole::Administrator];
const ROLE_HOLDERS: &[SubscriptionRole] = SubscriptionRole::ALL;
const PURCHASERS: &[SubscriptionRole] =
    &[SubscriptionRole::Owner, SubscriptionRole::Contributor, SubscriptionRole::BillingManager];
const PAYER: &[SubscriptionRole] = &[SubscriptionRole::Owner];
const OPERATOR: &[Role] = &[Role::Operator];
const SERVICE: &[Role] = &[Role::Service];
const INSTALLATION: &[Role] = &[Role::Operator, Role::Service];
const SIGNED_IN: &[Role] = &[Role::SignedIn];

macro_rules! permissions {
    ($($name:ident $word:literal $what:literal $rules:literal
       $organization:expr, $subscription:expr, $others:expr;)+) => {
        /// A right, named by what it lets one do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $(#[doc = concat!("To ", $what, " (", $rules, ").")] $name),+
        }

        impl Permission {
            /// Every permission, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its word: `billing.set_up`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// What it lets one do, to follow "may" or "to": "set up billing for the organization".
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what),+ }
            }

            /// The rules that it comes from: "R-1".
            pub const fn rules(self) -> &'static str {
                match self { $(Self::$name => $rules),+ }
            }

            const fn holders(self) -> Holders {
                match self {
                    $(Self::$name => Holders {
                        organization: $organization,
                        subscription: $subscription,
                        others: $others,
                    }),+
                }
            }
        }
    };
}

permissions! {
    OrganizationView "organization.view" "see the organization, its billing and its purchases" "R-2, R-9a"
        MEMBERS, ROLE_HOLDERS, INSTALLATION;
    BillingSetUp "billing.set_up" "set up billing for the organization" "R-1"
        MANAGERS, &[], &[];
    SubscriptionUse "subscription.use" "put charges on the subscription" "R-1, R-2"
        &[], PURCHASERS, &[];
    SubscriptionCreateInCheckout "subscription.create_in_checkout" "create a subscription while buying for the organization" "R-3"
        MANAGERS, &[], &[];
    SubscriptionCreate "subscription.create" "create a subscription of one's own" "R-3"
        &[], &[], SIGNED_IN;
    BillingChange "billing.change" "change or remove the organization's billing link" "R-4"
        MANAGERS, &[], &[];
    TrialStart "trial.start" "start a trial for the organization" "R-5"
        MANAGERS, &[], &[];
    ExtensionInstall "extension.install" "install extensions in the organization and remove them" "R-5"
        MANAGERS, &[], &[];
    SeatAssign "seat.assign" "assign seats to people and take them back" "R-5"
        MANAGERS, &[], &[];
    RequestAnswer "request.answer" "approve or reject requests of members" "R-5, R-6"
        MANAGERS, &[], &[];
    RequestMake "request.make" "ask for something to be bought or installed" "R-6"
        MEMBERS, &[], &[];
    SubscriptionView "subscription.view" "see the subscription" "R-7, R-9a"
        &[], ROLE_HOLDERS, OPERATOR;
    SubscriptionManage "subscription.manage" "change the subscription's name, tax data and flags" "R-7"
        &[], PAYER, &[];
    RolesManage "roles.manage" "give and take roles on the subscription" "R-7"
        &[], PAYER, &[];
    PaymentMethodManage "payment_method.manage" "change how the subscription pays" "R-7"
        &[], PAYER, &[];
    BudgetManage "budget.manage" "set budgets" "R-7, R-48"
        &[], PAYER, &[];
    InvoiceView "invoice.view" "see the subscription's invoices" "R-7, R-9a"
        &[], ROLE_HOLDERS, OPERATOR;
    OrganizationBillView "organization_bill.view" "see the organization's own part of the bill" "R-7, R-9a"
        MANAGERS, ROLE_HOLDERS, OPERATOR;
    CatalogueManage "catalogue.manage" "change the catalogue" "R-9a"
        &[], &[], OPERATOR;
    PaymentRecord "payment.record" "record payments that came in" "R-9a, R-46"
        &[], &[], OPERATOR;
    CreditNoteIssue "credit_note.issue" "issue credit notes, and refund what was paid" "R-9a, R-43, R-46"
        &[], &[], OPERATOR;
    CreditGrant "credit.grant" "grant credits" "R-9a"
        &[], &[], OPERATOR;
    TrialExtend "trial.extend" "extend trials" "R-9a, R-36"
        &[], &[], OPERATOR;
    JobsManage "jobs.manage" "look after jobs" "R-9a"
        &[], &[], OPERATOR;
    SubscriptionClose "subscription.close" "close subscriptions" "R-9a"
        &[], &[], OPERATOR;
    OrganizationSync "organization.sync" "keep organizations and their members in step" "R-9a"
        &[], &[], SERVICE;
    UsageReport "usage.report" "report metered use" "R-9a, R-41"
        &[], &[], SERVICE;
    CheckoutCreate "checkout.create" "open a hosted checkout" "R-9a"
        &[], &[], SERVICE;
    EventsRead "events.read" "read the event feed" "R-9a, R-54"
        &[], &[], INSTALLATION;
    AllowanceAsk "allowance.ask" "ask what the organization may use now" "R-9a, R-53"
        MEMBERS, &[], INSTALLATION;
    AuditRead "audit.read" "read the audit trail" "R-9a, R-55"
        MANAGERS, &[], OPERATOR;
    ClockMove "clock.move" "move the test clock, where there is one" "contract"
        &[], &[], SIGNED_IN;
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Whether a role holds a permission: the only question that code asks of roles.
pub fn grants(role: Role, permission: Permission) -> bool {
    let holders = permission.holders();
    match role {
        Role::Organization(role) => holders.organization.contains(&role),
        Role::Subscription(role) => holders.subscription.contains(&role),
        Role::Operator | Role::Service | Role::SignedIn => holders.others.contains(&role),
    }
}

/// The roles that hold a permission, whose holders a refusal names as those to ask.
pub fn granting_roles(permission: Permission) -> impl Iterator<Item = Role> {
    Role::ALL.iter().copied().filter(move |&role| grants(role, permission))
}

/// The table as the page `docs/permissions.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Permissions\n\n\
         Who may do what (R-8). This page is written from the table in `crates/kernel/src/permission.rs`, which refusals are\n\
         drawn from as well; a test compares the two.\n\n\
         Setting up billing takes two permissions: `billing.set_up` in the organization and `subscription.use` on the\n\
         subscription that pays (R-1). Subscription roles count for an organization where it is linked to that subscription.\n\n\
         | permission | lets one | organization | subscription | others | rules |\n\
         |---|---|---|---|---|---|\n",
    );
    for &permission in Permission::ALL {
        let Holders { organization, subscription, others } = permission.holders();
        page.push_str(&format!(
            "| `{permission}` | {} | {} | {} | {} | {} |\n",
            permission.what(),
            words(organization),
            words(subscription),
            words(others),
            permission.rules(),
        ));
    }
    page
}

fn words<T: fmt::Display>(roles: &[T]) -> String {
    let words: Vec<String> = roles.iter().map(ToString::to_string).collect();
    words.join(", ")
}
