//! What every request gets, whatever becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use actix_web::http::header::TryIntoHeaderPair;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, init_service, read_body_json, try_call_service};
use actix_web::{App, HttpResponse, web};
use serde_json::Value;

use super::*;

async fn fails(id: RequestId) -> Result<HttpResponse, Problem> {
    assert_eq!(Some(id), current());
    Err(Problem::not_found("thing"))
}

async fn refuses<B: MessageBody>(_: ServiceRequest, _: Next<B>) -> Result<ServiceResponse<B>, Error> {
    Err(Problem::unauthenticated("Who are you?").into())
}

/// Answer to a call with a header; an inner middleware's error as the server would answer it.
async fn call(uri: &str, header: impl TryIntoHeaderPair) -> HttpResponse {
    let kept = || async { HttpResponse::Ok().insert_header((CACHE_CONTROL, "max-age=60")).body("ok") };
    let app = App::new()
        .wrap(from_fn(observe))
        .route("/fails/{id}", web::get().to(fails))
        .route("/kept", web::get().to(kept))
        .service(web::scope("/guarded").wrap(from_fn(refuses)).route("", web::get().to(kept)));
    let app = init_service(app).await;
    let request = TestRequest::with_uri(uri).insert_header(header).to_request();
    match try_call_service(&app, request).await {
        Ok(answer) => answer.into_parts().1.map_into_boxed_body(),
        Err(fault) => fault.error_response(),
    }
}

fn id_of(answer: &HttpResponse) -> String {
    answer.headers().get(X_REQUEST_ID).unwrap().to_str().unwrap().to_owned()
}

#[actix_web::test]
async fn a_fit_id_is_kept_and_others_are_replaced() {
    let longest = "a".repeat(64);
    for id in ["x", "Abc_9-z", &longest] {
        assert_eq!(id_of(&call("/kept", ("x-request-id", id)).await), id);
    }
    let too_long = "a".repeat(65);
    for id in ["", "a b", "a\"b", "ä", "{}", &too_long] {
        let made = id_of(&call("/kept", ("x-request-id", id)).await);
        assert_eq!(made.len(), 24, "{id}");
        assert!(made.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let one = id_of(&call("/kept", ("x", "y")).await);
    assert_ne!(one, id_of(&call("/kept", ("x", "y")).await));
}

#[actix_web::test]
async fn every_answer_has_the_headers_and_problems_the_id() {
    for (uri, status, cache) in [
        ("/kept", 200, "max-age=60"),
        ("/fails/5", 404, "no-store"),
        ("/nowhere", 404, "no-store"),
        ("/guarded", 401, "no-store"),
    ] {
        let answer = call(uri, ("x-request-id", "the-id")).await;
        assert_eq!(answer.status().as_u16(), status, "{uri}");
        assert_eq!(id_of(&answer), "the-id");
        assert_eq!(answer.headers().get(X_CONTENT_TYPE_OPTIONS).unwrap(), "nosniff");
        assert_eq!(answer.headers().get(CACHE_CONTROL).unwrap(), cache);
        if uri == "/fails/5" || uri == "/guarded" {
            let request = TestRequest::default().to_http_request();
            let body: Value = read_body_json(ServiceResponse::new(request, answer)).await;
            assert_eq!(body["instance"], "the-id", "{uri}");
        }
    }
    assert_eq!(current(), None);
}

fn trace(text: &str) -> Option<Trace> {
    let request = TestRequest::default().insert_header(("traceparent", text)).to_http_request();
    Trace::of(request.headers())
}

#[test]
fn traceparents_are_taken_up_if_they_are_ones() {
    let id = "0af7651916cd43dd8448eb211c80319c";
    let parent = "b7ad6b7169203331";
    for text in [format!("00-{id}-{parent}-01"), format!("cc-{id}-{parent}-00-later")] {
        let trace = trace(&text).unwrap();
        assert_eq!((trace.id(), trace.parent()), (id, parent));
    }
    for text in [
        String::new(),
        format!("00-{id}-{parent}"),
        format!("00-{id}-{parent}-01-more"),
        format!("ff-{id}-{parent}-01"),
        format!("00-{}-{parent}-01", id.to_uppercase()),
        format!("00-{}-{parent}-01", "0".repeat(32)),
        format!("00-{id}-{}-01", "0".repeat(16)),
        format!("00-{id}x-{parent}-01"),
        format!("00-{parent}-{id}-01"),
    ] {
        assert_eq!(trace(&text), None, "{text}");
    }
}

#[test]
fn milliseconds_have_three_decimals() {
    assert_eq!(milliseconds(Duration::from_nanos(1_234_567)).to_string(), "1.234");
    assert_eq!(milliseconds(Duration::from_secs(2)).to_string(), "2000");
}

/// The line that a request leaves: which members, and that neither path nor query is among them.
#[actix_web::test]
async fn a_request_leaves_one_line() {
    #[derive(Clone, Default)]
    struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let to = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || to.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    call("/fails/ada@fabrikam.example?token=hush", ("traceparent", parent)).await;
    drop(guard);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let all: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["message"] == "request")
        .collect();
    assert_eq!(all.len(), 1, "{text}");
    assert!(!text.contains("hush") && !text.contains("ada@"), "{text}");
    let line = &all[0];
    assert_eq!(line["method"], "GET");
    assert_eq!(line["route"], "/fails/{id}");
    assert_eq!(line["status"], 404);
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(line["parent_id"], "b7ad6b7169203331");
    assert!(line["ms"].is_f64() && line["request_id"].is_string(), "{line}");
}
