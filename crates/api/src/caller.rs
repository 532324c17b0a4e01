//! Who calls: a person by a bearer token, or the platform by a service key; and what they may.

use crate::problem::Problem;
use crate::routes::Limits;
use crate::state::{State, store_problem};
use crate::token::hash_key;
use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use kernel::{OrganizationRole, Permission, Role, ServiceKeyId, SubscriptionRole, UserId, grants};
use std::future::Future;
use std::pin::Pin;
use store::Actor;
use store::organizations::Standing;
use store::people::UserRow;

/// A person, by a token that was believed. Whether they are known here is the database's to say.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// Where the request came from; personal.
    pub address: Option<String>,
}

impl Person {
    /// As the till knows callers.
    pub fn caller(&self) -> marketplace::order::Caller {
        marketplace::order::Caller { user: self.id, address: self.address.clone() }
    }

    /// What is known of them.
    ///
    /// # Errors
    /// `unauthenticated` where they are not known here; the store's.
    pub async fn row(&self, state: &State) -> Result<UserRow, Problem> {
        let row = store::people::by_id(&state.db, self.id).await.map_err(store_problem)?;
        row.ok_or_else(unknown)
    }
}

/// A token was believed, but its person is not known.
pub fn unknown() -> Problem {
    Problem::bad_credentials("The person of this token is not known here.")
}

/// Whoever calls.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A person.
    Person(Person),
    /// The platform.
    Service(ServiceKeyId),
}

impl Caller {
    /// Who did it, for the audit trail.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Person(person) => Actor::User(person.id),
            Self::Service(id) => Actor::Service(*id),
        }
    }

    /// The person, where only people may.
    ///
    /// # Errors
    /// `permission-denied` for the platform (R-9a: it neither buys nor links).
    pub fn person(&self, missing: Permission) -> Result<&Person, Problem> {
        match self {
            Self::Person(person) => Ok(person),
            Self::Service(_) => Err(denied(missing, Vec::new())),
        }
    }

    /// The roles that are not bound to an organization or subscription.
    ///
    /// # Errors
    /// As [`Person::row`].
    pub async fn standing(&self, state: &State) -> Result<Installation, Problem> {
        match self {
            Self::Service(_) => Ok(Installation { user: None, role: Some(Role::Service) }),
            Self::Person(person) => {
                let row = person.row(state).await?;
                Ok(Installation { user: Some(row.id), role: row.operator.then_some(Role::Operator) })
            }
        }
    }
}

/// A caller's standing in the installation as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Installation {
    /// The person; none for the platform.
    pub user: Option<UserId>,
    /// Operator or service.
    pub role: Option<Role>,
}

impl Installation {
    /// Whether the caller may, whatever the organization.
    pub fn may(&self, permission: Permission) -> bool {
        let signed_in = self.user.is_some() && grants(Role::SignedIn, permission);
        signed_in || self.role.is_some_and(|role| grants(role, permission))
    }

    /// Whether the caller may with these roles in an organization and on its payer.
    pub fn may_with(
        &self,
        permission: Permission,
        role: Option<OrganizationRole>,
        payer_role: Option<SubscriptionRole>,
    ) -> bool {
        self.may(permission)
            || role.is_some_and(|role| grants(Role::Organization(role), permission))
            || payer_role.is_some_and(|role| grants(Role::Subscription(role), permission))
    }

    /// Whether the caller may in an organization.
    pub fn may_in(&self, permission: Permission, standing: &Standing) -> bool {
        self.may_with(permission, standing.role, standing.payer_role)
    }

    /// Sees to a permission that hangs on nothing but the installation.
    ///
    /// # Errors
    /// `permission-denied`.
    pub fn need(&self, permission: Permission) -> Result<(), Problem> {
        if self.may(permission) { Ok(()) } else { Err(denied(permission, Vec::new())) }
    }
}

/// Someone who can help.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Ask {
    /// Their name.
    pub name: String,
    /// The role that they hold.
    pub role: String,
}

/// A refusal that names the missing permission and whom to ask.
pub fn denied(missing: Permission, ask: Vec<Ask>) -> Problem {
    let roles: Vec<&str> = kernel::granting_roles(missing).map(Role::as_str).collect();
    let detail = format!("You may not {}; that takes the role {}.", missing.what(), roles.join(" or "));
    Problem::permission_denied(missing.as_str(), ask, None, detail)
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        match identify(request) {
            Ok(Credential::Known(caller)) => Box::pin(std::future::ready(Ok(caller))),
            Err(problem) => Box::pin(std::future::ready(Err(problem))),
            Ok(Credential::Key(state, hash)) => Box::pin(async move {
                let id = state.allowances.service_key(&state.db, &hash).await.map_err(store_problem)?;
                id.map(Self::Service).ok_or_else(|| Problem::bad_credentials("The service key is not known here."))
            }),
        }
    }
}

enum Credential {
    Known(Caller),
    Key(Data<State>, [u8; 32]),
}

fn identify(request: &HttpRequest) -> Result<Credential, Problem> {
    let state = request.app_data::<Data<State>>().ok_or_else(|| Problem::internal("no state"))?;
    let value = request.headers().get(AUTHORIZATION);
    let Some(value) = value else {
        // Calls without a name are counted by address; those with one are not limited.
        request.app_data::<Limits>().map_or(Ok(()), |limits| limits.anonymous(request))?;
        return Err(Problem::unauthenticated("Send a bearer token in the header Authorization."));
    };
    let text = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = text.ok_or_else(|| Problem::bad_credentials("The header Authorization is no bearer token."))?;
    if let Some(hash) = hash_key(token) {
        return Ok(match state.allowances.known_key(&hash) {
            Some(id) => Credential::Known(Caller::Service(id)),
            None => Credential::Key(state.clone(), hash),
        });
    }
    let id = state.tokens.verify(token)?;
    let address = request.peer_addr().map(|peer| peer.ip().to_string());
    Ok(Credential::Known(Caller::Person(Person { id, address })))
}
