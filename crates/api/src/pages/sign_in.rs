//! Signing in and out. A person shows a token of this installation or, on a demonstration, picks who to be; the session
//! that begins is new each time, and the former one ends.

use super::frame::{Frame, page, see_other};
use super::visitor::{Fields, Form, Sessions, Visitor, field, from_this_site, is_local, not_ours};
use crate::app::real_now;
use crate::caller::{Caller, Person};
use crate::extract::{Query, read_form};
use crate::problem::Problem;
use crate::routes::Limits;
use crate::routes::writes::{By, write};
use crate::state::{State, store_problem};
use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, get, post};
use askama::Template;
use kernel::{Email, UserId};
use serde::Deserialize;
use serde_json::json;
use store::people::UserRow;

/// Most people that a demonstration lists.
const LISTED: i64 = 50;

/// The routes of this file.
pub fn routes(config: &mut ServiceConfig) {
    config.service(form).service(sign_in).service(sign_out).service(sign_out_everywhere);
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    people: Vec<UserRow>,
    next: String,
    fault: String,
}

#[derive(Debug, Default, Deserialize)]
struct Way {
    /// Where to go afterwards.
    #[serde(default)]
    next: String,
}

impl Way {
    fn onward(self) -> String {
        if is_local(&self.next) { self.next } else { "/marketplace".to_owned() }
    }
}

#[get("/sign-in")]
async fn form(state: Data<State>, way: Query<Way>, visitor: Option<Visitor>) -> Result<HttpResponse, Problem> {
    let next = way.0.onward();
    match visitor {
        Some(_) => Ok(see_other(&next)),
        None => shown(&state, next, String::new(), StatusCode::OK).await,
    }
}

async fn shown(state: &State, next: String, fault: String, status: StatusCode) -> Result<HttpResponse, Problem> {
    let people = if state.config.demo.sign_in {
        store::people::some(&state.db, LISTED).await.map_err(store_problem)?
    } else {
        Vec::new()
    };
    page(status, &SignInPage { frame: Frame::new(state, None, "", "Sign in"), people, next, fault })
}

#[post("/sign-in")]
async fn sign_in(
    state: Data<State>,
    sessions: Data<Sessions>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    request.app_data::<Limits>().map_or(Ok(()), |limits| limits.anonymous(&request))?;
    let fields = read_form(&request, payload.into_inner()).await?;
    if !from_this_site(request.headers()) {
        return Err(not_ours());
    }
    let next = Way { next: field(&fields, "next").to_owned() }.onward();
    match person(&state, &fields).await? {
        Ok(person) => {
            let cookie = begin(&state, &sessions, &request, person).await?;
            Ok(HttpResponse::SeeOther().insert_header((LOCATION, next)).cookie(cookie).finish())
        }
        Err(fault) => shown(&state, next, fault, StatusCode::UNPROCESSABLE_ENTITY).await,
    }
}

/// Whom the form speaks for, or why nobody.
async fn person(state: &State, fields: &Fields) -> Result<Result<UserId, String>, Problem> {
    let token = field(fields, "token");
    if !token.is_empty() {
        return Ok(match state.tokens.verify(token) {
            Ok(id) => match store::people::by_id(&state.db, id).await.map_err(store_problem)? {
                Some(row) => Ok(row.id),
                None => Err("The person of this token is not known here.".to_owned()),
            },
            Err(fault) => Err(fault.to_string()),
        });
    }
    let email = field(fields, "person");
    if !state.config.demo.sign_in || email.is_empty() {
        return Ok(Err("Paste a token first.".to_owned()));
    }
    let Ok(email) = email.parse::<Email>() else { return Ok(Err("This is no address.".to_owned())) };
    let row = store::people::by_email(&state.db, &email).await.map_err(store_problem)?;
    Ok(row.map(|row| row.id).ok_or_else(|| "Nobody here has this address.".to_owned()))
}

/// Begins a session and ends the one that the browser had.
async fn begin(
    state: &State,
    sessions: &Sessions,
    request: &HttpRequest,
    person: UserId,
) -> Result<Cookie<'static>, Problem> {
    let random = state.ids().bytes();
    let (session, cookie) = sessions.make(random);
    let (former, now) = (sessions.presented(request), real_now());
    let by = By::of(&Caller::Person(Person { id: person, address: None }), request);
    write(state, "sign-in", &by, async |tx, act| {
        if let Some(former) = former {
            store::sessions::end(tx, former.bytes()).await?;
        }
        store::sessions::sweep(tx, now).await?;
        store::sessions::begin(tx, session.bytes(), person, now, sessions.end(now)).await?;
        act.event("session.begun", None, &json!({ "user": person }), json!({}));
        Ok(())
    })
    .await?;
    Ok(cookie)
}

#[post("/sign-out")]
async fn sign_out(
    state: Data<State>,
    sessions: Data<Sessions>,
    request: HttpRequest,
    sent: Form<Fields>,
) -> Result<HttpResponse, Problem> {
    end(&state, &sessions, &request, &sent.0, false).await
}

#[post("/sign-out/everywhere")]
async fn sign_out_everywhere(
    state: Data<State>,
    sessions: Data<Sessions>,
    request: HttpRequest,
    sent: Form<Fields>,
) -> Result<HttpResponse, Problem> {
    end(&state, &sessions, &request, &sent.0, true).await
}

async fn end(
    state: &State,
    sessions: &Sessions,
    request: &HttpRequest,
    visitor: &Visitor,
    everywhere: bool,
) -> Result<HttpResponse, Problem> {
    let by = By::of(&visitor.caller(), request);
    write(state, "sign-out", &by, async |tx, act| {
        if everywhere {
            store::sessions::end_all(tx, visitor.id).await?;
        } else {
            store::sessions::end(tx, visitor.session.bytes()).await?;
        }
        act.event("session.ended", None, &json!({ "user": visitor.id, "everywhere": everywhere }), json!({}));
        Ok(())
    })
    .await?;
    Ok(HttpResponse::SeeOther().insert_header((LOCATION, "/sign-in")).cookie(sessions.forget()).finish())
}
