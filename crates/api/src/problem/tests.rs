//! Problems as clients and the log see them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use actix_web::body::MessageBody;
use serde_json::json;

use super::*;

fn body(problem: &Problem) -> Value {
    serde_json::from_str(&problem.body(None)).unwrap()
}

/// The contract's table: slug, status, members.
#[test]
fn each_problem_is_as_the_contract_says() {
    let quote = json!({"id": "quo_1"});
    let none: [Value; 0] = [];
    for (problem, slug, status, members) in [
        (
            Problem::billing_setup_required(none.clone(), true),
            "billing-setup-required",
            409,
            vec!["subscriptions", "can_create"],
        ),
        (Problem::billing_already_set_up("sub_1"), "billing-already-set-up", 409, vec!["subscription"]),
        (Problem::subscription_not_eligible(none.clone()), "subscription-not-eligible", 409, vec!["reasons"]),
        (
            Problem::permission_denied("billing.set_up", none, Some("/v1/requests"), "You may not."),
            "permission-denied",
            403,
            vec!["missing", "ask", "request"],
        ),
        (Problem::not_found("organization"), "not-found", 404, vec![]),
        (Problem::quantity_out_of_range(1, 10), "quantity-out-of-range", 422, vec!["minimum", "maximum"]),
        (Problem::quantity_changed(&quote), "quantity-changed", 409, vec!["quote"]),
        (Problem::idempotency_key_required(), "idempotency-key-required", 400, vec![]),
        (Problem::idempotency_key_reused(), "idempotency-key-reused", 422, vec![]),
        (Problem::price_changed(&quote), "price-changed", 409, vec!["quote"]),
        (
            Problem::payment_declined("insufficient_funds", Some("https://pay")),
            "payment-declined",
            402,
            vec!["reason", "url"],
        ),
        (Problem::malformed("No."), "invalid-request", 400, vec![]),
        (Problem::too_large(5), "invalid-request", 413, vec![]),
        (Problem::invalid("/a", "No."), "invalid-request", 422, vec!["errors"]),
        (Problem::unauthenticated("Who?"), "unauthenticated", 401, vec![]),
        (Problem::too_many_requests(3), "too-many-requests", 429, vec![]),
        (Problem::unavailable(1), "unavailable", 503, vec![]),
        (Problem::unsupported_media_type("No."), "unsupported-media-type", 415, vec![]),
        (Problem::method_not_allowed(&Method::PUT, "GET"), "method-not-allowed", 405, vec![]),
        (Problem::internal("disk"), "internal-error", 500, vec![]),
    ] {
        let body = body(&problem);
        assert_eq!(problem.slug().as_str(), slug);
        assert_eq!(body["type"], format!("/problems/{slug}"));
        assert_eq!(body["status"], status);
        assert_eq!(problem.status_code().as_u16(), status);
        for name in ["title", "detail"] {
            assert!(body[name].as_str().is_some_and(|text| !text.is_empty()), "{slug} {name}");
        }
        for name in &members {
            assert!(!body[*name].is_null(), "{slug} {name}");
        }
        assert_eq!(body.as_object().unwrap().len(), 4 + members.len(), "{body}");
    }
}

#[test]
fn names_are_unique_and_found() {
    for slug in Slug::ALL {
        assert_eq!(Slug::find(slug.as_str()), Some(*slug));
        assert!(slug.explanation().ends_with('.') && !slug.explanation().contains("  "), "{}", slug.explanation());
    }
    assert_eq!(Slug::find("nonsense"), None);
}

#[test]
fn bad_fields_stand_with_their_pointer() {
    let one = Problem::invalid("/items/0/quantity", "Must not be negative.");
    assert_eq!(one.detail(), "/items/0/quantity: Must not be negative.");
    let two = one.with_error("/items/1", "Twice.");
    assert_eq!(
        body(&two)["errors"],
        json!([
            {"pointer": "/items/0/quantity", "detail": "Must not be negative."},
            {"pointer": "/items/1", "detail": "Twice."}
        ])
    );
    assert_eq!(two.errors().len(), 2);
}

#[test]
fn the_answer_has_type_and_headers() {
    let header = |problem: Problem, name| {
        let answer = problem.error_response();
        assert_eq!(answer.headers().get(CONTENT_TYPE).unwrap(), PROBLEM_JSON);
        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header(Problem::unavailable(2), RETRY_AFTER).unwrap(), "2");
    assert_eq!(header(Problem::too_many_requests(30), RETRY_AFTER).unwrap(), "30");
    assert_eq!(header(Problem::method_not_allowed(&Method::PUT, "GET, POST"), ALLOW).unwrap(), "GET, POST");
    assert_eq!(header(Problem::unauthenticated("Who?"), WWW_AUTHENTICATE).unwrap(), r#"Bearer realm="purser""#);
    assert!(header(TokenFault::Expired.into(), WWW_AUTHENTICATE).unwrap().contains("invalid_token"));
    assert_eq!(header(Problem::not_found("offer"), RETRY_AFTER), None);
}

#[test]
fn the_cause_never_leaves() {
    let problem = Problem::unavailable(1).with_cause("UNIQUE constraint failed: users.email");
    let body = problem.error_response().into_body().try_into_bytes().unwrap();
    assert!(!String::from_utf8_lossy(&body).contains("UNIQUE"));
    assert!(!problem.to_string().contains("UNIQUE"));
    assert!(format!("{problem:?}").contains("UNIQUE"), "the log may have it");
    assert_eq!(Problem::internal("x").detail(), "Something went wrong here; it is logged.");
}

#[test]
fn detail_and_members_can_be_made_to_measure() {
    let problem = Problem::not_found("offer").with_detail("It was retired.").with("since", "2018-01-01");
    assert_eq!(problem.detail(), "It was retired.");
    assert_eq!(problem.member("since"), Some(&json!("2018-01-01")));
    assert_eq!(body(&problem)["since"], "2018-01-01");
}

#[test]
fn a_result_stays_small() {
    assert_eq!(size_of::<Problem>(), size_of::<usize>());
}
