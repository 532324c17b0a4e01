//! The platform keeps organizations and their people in step here, by a service key (R-9a).

use crate::caller::Caller;
use crate::extract::Body;
use crate::problem::Problem;
use crate::routes::organizations::Organization;
use crate::routes::schema;
use crate::routes::writes::{Act, By, Fault, write};
use crate::state::State;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, delete, put};
use kernel::{
    AccessLevel, CountryCode, Email, Name, OrganizationId, OrganizationRole, Permission, Slug, TextError, UserId,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::people::UserRow;
use store::till::OrganizationRow;
use store::{StoreError, Tx, organizations, people};
use utoipa_actix_web::service_config::ServiceConfig;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config.service(put_organization).service(put_member).service(remove_member);
}

/// Body of an organization.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct OrganizationBody {
    /// Its name for people, 1 to 200 characters.
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "Fabrikam Fiber")]
    name: Name,
    /// Where it is, ISO 3166.
    #[schema(value_type = String, pattern = "^[A-Z]{2}$", example = "DE")]
    country: CountryCode,
}

/// Creates an organization or changes it.
///
/// The path names it by its slug, which is for good; an existing one may be named by its id too. What is the same
/// already changes nothing.
#[utoipa::path(tag = "directory", params(("org" = String, Path, description = "Slug, or id of an existing one", example = "fabrikam")), request_body = OrganizationBody, responses(
    (status = 200, description = "It was there", body = Organization),
    (status = 201, description = "It is new", body = Organization),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "No service key", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "For service keys only", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No organization has this id", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field or the slug cannot be taken", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[put("/v1/organizations/{org}")]
async fn put_organization(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    named: Path<String>,
    body: Body<OrganizationBody>,
) -> Result<HttpResponse, Problem> {
    caller.standing(&state).await?.need(Permission::OrganizationSync)?;
    let named = Named::parse(&named)?;
    let by = By::of(&caller, &request);
    let (row, new) =
        write(&state, "put-organization", &by, async |tx, act| keep(tx, act, &named, &body.0).await).await?;
    let mut answer = if new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(Organization::without_roles(row)))
}

/// How a path names an organization that may not be there yet.
enum Named {
    Id(OrganizationId),
    Slug(Slug),
}

impl Named {
    fn parse(text: &str) -> Result<Self, Problem> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        text.parse().map(Self::Slug).map_err(|fault: TextError| Problem::invalid("/org", fault.to_string()))
    }
}

/// The organization as it is then, and whether it is new.
async fn keep(
    tx: &Tx,
    act: &mut Act<'_>,
    named: &Named,
    body: &OrganizationBody,
) -> Result<(OrganizationRow, bool), Fault> {
    let (id, slug) = match named {
        Named::Id(id) => (Some(*id), None),
        Named::Slug(slug) => (organizations::id_of(tx, slug).await?, Some(slug)),
    };
    let before = match id {
        None => None,
        Some(id) => organizations::find(tx, id, None).await?.map(|standing| standing.organization),
    };
    let (name, country) = (body.name.to_string(), body.country);
    match (before, slug) {
        (Some(before), _) => {
            let row = OrganizationRow { name, country, ..before.clone() };
            change(tx, act, &before, &row).await?;
            Ok((row, false))
        }
        (None, Some(slug)) => {
            let row = OrganizationRow { id: act.id(), slug: slug.clone(), name, country };
            create(tx, act, &row).await?;
            Ok((row, true))
        }
        (None, None) => Err(Problem::not_found("organization").into()),
    }
}

async fn create(tx: &Tx, act: &mut Act<'_>, row: &OrganizationRow) -> Result<(), StoreError> {
    organizations::insert(tx, row, act.at).await?;
    let public = json!({"organization": row.id, "slug": row.slug, "country": row.country});
    act.event("organization.created", Some(row.id), &public, json!({"name": row.name}));
    Ok(())
}

async fn change(tx: &Tx, act: &mut Act<'_>, before: &OrganizationRow, row: &OrganizationRow) -> Result<(), StoreError> {
    if before.name == row.name && before.country == row.country {
        return Ok(());
    }
    organizations::update(tx, row).await?;
    let public = json!({
        "organization": row.id,
        "renamed": before.name != row.name,
        "before": {"country": before.country}, "after": {"country": row.country},
    });
    let personal = json!({"before": {"name": before.name}, "after": {"name": row.name}});
    act.event("organization.changed", Some(row.id), &public, personal);
    Ok(())
}

/// Body of a member.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct MemberBody {
    /// The person's name, 1 to 200 characters.
    #[schema(value_type = String, min_length = 1, max_length = 200, example = "Mia Member")]
    name: Name,
    /// `owner`, `administrator` or `member`.
    #[schema(value_type = String, pattern = "^(owner|administrator|member)$", example = "member")]
    role: OrganizationRole,
    /// `stakeholder` or `basic`.
    #[schema(value_type = String, pattern = "^(stakeholder|basic)$", example = "basic")]
    access: AccessLevel,
}

/// A member of an organization.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Member {
    /// The person's id.
    #[schema(value_type = String)]
    user: UserId,
    /// The person's address.
    email: String,
    /// The person's name.
    name: String,
    /// `owner`, `administrator` or `member`.
    #[schema(value_type = String)]
    role: OrganizationRole,
    /// `stakeholder` or `basic`.
    #[schema(value_type = String)]
    access: AccessLevel,
}

/// Makes a person a member of an organization, or changes name, role or access.
///
/// A person whose address is new comes into being. An organization has one owner: where another person becomes it, the
/// former owner becomes an administrator; the owner alone cannot take another role. What is the same already changes
/// nothing.
#[utoipa::path(tag = "directory", params(("org" = String, Path, description = "Id or slug", example = "fabrikam"), ("email" = String, Path, description = "The person's address", example = "mia@fabrikam.example")), request_body = MemberBody, responses(
    (status = 200, description = "The person was a member", body = Member),
    (status = 201, description = "The person is a new member", body = Member),
    (status = 400, description = "Not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 401, description = "No service key", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "For service keys only", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization", body = schema::Problem, content_type = "application/problem+json"),
    (status = 413, description = "Body too large", body = schema::Problem, content_type = "application/problem+json"),
    (status = 415, description = "Body not JSON", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "A field or the address cannot be taken, or the organization would be without owner", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[put("/v1/organizations/{org}/members/{email}")]
async fn put_member(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
    body: Body<MemberBody>,
) -> Result<HttpResponse, Problem> {
    caller.standing(&state).await?.need(Permission::OrganizationSync)?;
    let (organization, email) = path.as_ref();
    let organization = state.organization(organization).await?;
    let email: Email = email.parse().map_err(|fault: TextError| Problem::invalid("/email", fault.to_string()))?;
    let by = By::of(&caller, &request);
    let (user, new) =
        write(&state, "put-member", &by, async |tx, act| set_member(tx, act, organization, &email, &body.0).await)
            .await?;
    let MemberBody { name, role, access } = body.0;
    let mut answer = if new { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(Member { user, email: email.into_string(), name: name.into_string(), role, access }))
}

/// The person's id, and whether the membership is new.
async fn set_member(
    tx: &Tx,
    act: &mut Act<'_>,
    organization: OrganizationId,
    email: &Email,
    body: &MemberBody,
) -> Result<(UserId, bool), Fault> {
    hold(tx, organization).await?;
    let known = people::by_email(tx, email).await?;
    let owner = owner(tx, organization).await?;
    let was_owner = known.as_ref().is_some_and(|row| owner == Some(row.id));
    if was_owner && body.role != OrganizationRole::Owner {
        let detail = "this person is the owner; make another person the owner, and this one becomes an administrator";
        return Err(Problem::invalid("/role", detail).into());
    }
    let user = known.as_ref().map_or_else(|| act.id(), |row| row.id);
    let before = match &known {
        None => None,
        Some(row) => organizations::member(tx, organization, row.id).await?,
    };
    let renamed = known.as_ref().is_some_and(|row| row.name != body.name.as_str());
    if before == Some((body.role, body.access)) && !renamed {
        return Ok((user, false));
    }
    let name = body.name.as_str();
    match &known {
        None => {
            let row = UserRow { id: user, email: email.to_string(), name: name.to_owned(), operator: false };
            people::insert(tx, &row, act.at).await?;
        }
        Some(row) if renamed => people::update(tx, &UserRow { name: name.to_owned(), ..row.clone() }).await?,
        Some(_) => {}
    }
    if let Some(former) = owner.filter(|_| body.role == OrganizationRole::Owner && !was_owner) {
        step_down(tx, act, organization, former).await?;
    }
    organizations::set_member(tx, organization, user, body.role, body.access).await?;
    let public = json!({
        "organization": organization, "user": user, "user_created": known.is_none(), "renamed": renamed,
        "before": before.map(|(role, access)| json!({"role": role, "access": access})),
        "after": {"role": body.role, "access": body.access},
    });
    let personal = json!({"name": name, "email": email, "former_name": known.filter(|_| renamed).map(|row| row.name)});
    act.event("member.set", Some(organization), &public, personal);
    Ok((user, before.is_none()))
}

/// The owner becomes an administrator, since another person becomes the owner.
async fn step_down(tx: &Tx, act: &mut Act<'_>, organization: OrganizationId, former: UserId) -> Result<(), StoreError> {
    let Some((role, access)) = organizations::member(tx, organization, former).await? else { return Ok(()) };
    let now = OrganizationRole::Administrator;
    organizations::set_member(tx, organization, former, now, access).await?;
    let public = json!({
        "organization": organization, "user": former, "user_created": false, "renamed": false,
        "before": {"role": role, "access": access}, "after": {"role": now, "access": access},
    });
    act.event("member.set", Some(organization), &public, json!({}));
    Ok(())
}

/// Ends a membership.
///
/// The owner cannot be removed: make another person the owner first.
#[utoipa::path(tag = "directory", params(("org" = String, Path, description = "Id or slug", example = "fabrikam"), ("email" = String, Path, description = "The person's address", example = "mia@fabrikam.example")), responses(
    (status = 204, description = "The person is no member any more"),
    (status = 401, description = "No service key", body = schema::Problem, content_type = "application/problem+json"),
    (status = 403, description = "For service keys only", body = schema::Problem, content_type = "application/problem+json"),
    (status = 404, description = "No such organization or member", body = schema::Problem, content_type = "application/problem+json"),
    (status = 422, description = "The person is the owner", body = schema::Problem, content_type = "application/problem+json"),
    (status = 503, description = "Try again", body = schema::Problem, content_type = "application/problem+json"),
))]
#[delete("/v1/organizations/{org}/members/{email}")]
async fn remove_member(
    state: Data<State>,
    caller: Caller,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    caller.standing(&state).await?.need(Permission::OrganizationSync)?;
    let (organization, email) = path.as_ref();
    let organization = state.organization(organization).await?;
    let email: Email = email.parse().map_err(|_| Problem::not_found("member"))?;
    let by = By::of(&caller, &request);
    write(&state, "remove-member", &by, async |tx, act| end_membership(tx, act, organization, &email).await).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn end_membership(tx: &Tx, act: &mut Act<'_>, organization: OrganizationId, email: &Email) -> Result<(), Fault> {
    hold(tx, organization).await?;
    let missing = || Problem::not_found("member");
    let user = people::by_email(tx, email).await?.ok_or_else(missing)?.id;
    let (role, access) = organizations::member(tx, organization, user).await?.ok_or_else(missing)?;
    if role == OrganizationRole::Owner {
        let detail = "The owner of an organization cannot be removed; make another person the owner first.";
        return Err(Problem::invalid("", detail).into());
    }
    organizations::remove_member(tx, organization, user).await?;
    let public =
        json!({"organization": organization, "user": user, "before": {"role": role, "access": access}, "after": null});
    act.event("member.removed", Some(organization), &public, json!({}));
    Ok(())
}

/// Sees to it that nobody else changes the organization's members meanwhile.
async fn hold(tx: &Tx, organization: OrganizationId) -> Result<(), Fault> {
    match organizations::hold(tx, organization).await? {
        true => Ok(()),
        false => Err(Problem::not_found("organization").into()),
    }
}

async fn owner(tx: &Tx, organization: OrganizationId) -> Result<Option<UserId>, StoreError> {
    let first = organizations::administrators(tx, organization, 1).await?;
    Ok(first.into_iter().find(|person| person.role == OrganizationRole::Owner).map(|person| person.user))
}
