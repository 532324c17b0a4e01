//! Requests of every kind of brokenness, and what is said of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]

use std::io::{Read, Write};
use std::net::TcpStream;

use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
use actix_web::{App, HttpServer};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Order {
    organization: String,
    #[serde(default)]
    items: Vec<Item>,
    #[serde(default)]
    payer: Option<Payer>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Item {
    offer: String,
    quantity: i64,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Payer {
    Subscription(String),
    NewSubscription { name: String },
}

/// Status, pointer and detail of what is said of a body.
fn said(body: &str) -> (u16, String, String) {
    let problem = parse::<Order>(body.as_bytes()).unwrap_err();
    let (pointer, detail) = match problem.errors() {
        [one] => (one.pointer.clone(), one.detail.clone()),
        _ => (String::new(), problem.detail().to_owned()),
    };
    (problem.status().as_u16(), pointer, detail)
}

#[test]
fn a_fit_body_is_taken() {
    let order = parse::<Order>(r#" {"organization":"ä\\u0000","payer":{"subscription":"s"}} "#.as_bytes()).unwrap();
    assert_eq!(order.payer, Some(Payer::Subscription("s".into())));
    assert_eq!(order.organization, "ä\\u0000");
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in [
        "",
        "  \n",
        "{",
        "[",
        "{\"organization\":\"a\"",
        "{\"organization\":\"a\"} x",
        "{'a':1}",
        "nul",
        "{\"organization\":\"a\",}",
        "{\"organization\":\"\\ud800\"}",
        "{\"organization\":\"\u{1}\"}",
        "{\"organization\":\"a\",\"items\":[{\"offer\"",
        &"[".repeat(10_000),
    ] {
        let problem = parse::<Order>(body.as_bytes()).unwrap_err();
        // A list where an object must be is wrong at its first character, before it turns out to be broken.
        let wanted = if body.starts_with('[') { 422 } else { 400 };
        assert_eq!(problem.status().as_u16(), wanted, "{body}: {problem}");
    }
    for bytes in [&b"{\"organization\":\"\xff\"}"[..], b"\xfe\xff", b"{\"organization\":\"\xc3\"}"] {
        let problem = parse::<Order>(bytes).unwrap_err();
        assert_eq!(problem.status(), StatusCode::BAD_REQUEST);
        assert!(problem.detail().contains("UTF-8"));
    }
}

#[test]
fn a_wrong_field_is_pointed_at() {
    for (body, pointer, detail) in [
        (r#"{"organization":"a","x":1}"#, "/x", "Unknown field `x`, expected one of `organization`, `items`, `payer`."),
        (
            r#"{"organization":"a","items":[{"offer":"o","quantity":1,"y/~":1}]}"#,
            "/items/0/y~1~0",
            "Unknown field `y/~`, expected `offer` or `quantity`.",
        ),
        (r#"{}"#, "/organization", "Missing field `organization`."),
        (
            r#"{"organization":"a","items":[{"offer":"o","quantity":1},{"offer":"o"}]}"#,
            "/items/1/quantity",
            "Missing field `quantity`.",
        ),
        (r#"{"organization":"a","organization":"b"}"#, "/organization", "Duplicate field `organization`."),
        (r#"{"organization":5}"#, "/organization", "Invalid type: integer `5`, expected a string."),
        (
            r#"{"organization":"a","items":[{"offer":"o","quantity":"1"}]}"#,
            "/items/0/quantity",
            "Invalid type: string \"1\", expected a whole number.",
        ),
        (
            r#"{"organization":"a","items":[{"offer":"o","quantity":1.5}]}"#,
            "/items/0/quantity",
            "Invalid type: floating point `1.5`, expected a whole number.",
        ),
        (r#"{"organization":"a","items":[{"offer":"o","quantity":99999999999999999999}]}"#, "/items/0/quantity", ""),
        (r#"{"organization":"a","items":{}}"#, "/items", "Invalid type: object, expected a list."),
        (r#"{"organization":"a","items":[5]}"#, "/items/0", "Invalid type: integer `5`, expected an object."),
        (
            r#"{"organization":"a","payer":{"cash":1}}"#,
            "/payer",
            "Unknown variant `cash`, expected `subscription` or `new_subscription`.",
        ),
        (r#"{"organization":"a","payer":{"new_subscription":{"name":5}}}"#, "/payer/new_subscription/name", ""),
        (
            r#"{"organization":"a","payer":{"new_subscription":{}}}"#,
            "/payer/new_subscription/name",
            "Missing field `name`.",
        ),
        (r#"["a", []]"#, "", "Invalid type: list, expected an object."),
        (r#"{"organization":"a","items":[["o",1]]}"#, "/items/0", "Invalid type: list, expected an object."),
        (r#"{"organization":"a","payer":{"new_subscription":["n"]}}"#, "/payer/new_subscription", ""),
        (r#""text""#, "", "Invalid type: string \"text\", expected an object."),
        (r#"{"organization":"a\u0000b"}"#, "", "No text may hold the character U+0000."),
    ] {
        let (status, at, text) = said(body);
        assert_eq!((status, at.as_str()), (422, pointer), "{body}: {text}");
        assert!(detail.is_empty() || text == detail, "{body}: {text}");
        assert!(!text.contains("line") && !text.contains("struct"), "{text}");
    }
}

#[test]
fn what_is_repeated_of_a_value_is_bounded() {
    let (_, _, detail) = said(&format!(r#"{{"organization":"a","items":"{}"}}"#, "ä".repeat(5000)));
    assert!(detail.len() <= MAX_DETAIL + 3, "{}", detail.len());
    assert!(detail.ends_with('…'));
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<u8>,
    after: Option<String>,
}

#[test]
fn queries_are_taken_or_pointed_at() {
    let page = parse_query::<Page>("limit=5&after=a%20b+c").unwrap();
    assert_eq!(page, Page { limit: Some(5), after: Some("a b c".into()) });
    assert_eq!(parse_query::<Page>("").unwrap(), Page { limit: None, after: None });
    for (query, status, pointer) in [
        ("limit=x", 422, "/limit"),
        ("limit=-1", 422, "/limit"),
        ("limit=1000", 422, "/limit"),
        ("limit=1&limit=2", 422, "/limit"),
        ("size=1", 422, "/size"),
        ("after=%00", 422, "/after"),
        ("after=%0A", 422, "/after"),
        ("after=%ff", 400, ""),
        ("%c3=1", 400, ""),
    ] {
        let problem = parse_query::<Page>(query).unwrap_err();
        let at = problem.errors().first().map_or("", |error| error.pointer.as_str());
        assert_eq!((problem.status().as_u16(), at), (status, pointer), "{query}: {problem}");
    }
}

async fn echo(body: Body<Value>) -> HttpResponse {
    HttpResponse::Ok().json(body.0)
}

#[actix_web::test]
async fn bodies_are_taken_by_size_and_type() {
    let app = App::new().app_data(BodyLimit(100)).route("/", web::post().to(echo));
    let app = init_service(app).await;
    let fits = format!("\"{}\"", "x".repeat(98));
    for (body, headers, status) in [
        (fits.clone(), vec![], 200),
        (fits.clone(), vec![("content-type", "application/json; charset=utf-8")], 200),
        (fits.clone(), vec![("content-type", "application/vnd.purser+JSON")], 200),
        (fits.clone(), vec![("content-encoding", "identity")], 200),
        (format!(" {fits}"), vec![], 413),
        (fits.clone(), vec![("content-type", "application/x-www-form-urlencoded")], 415),
        (fits.clone(), vec![("content-type", "text/plain")], 415),
        (fits, vec![("content-encoding", "gzip")], 415),
        (String::new(), vec![], 400),
    ] {
        let mut request = TestRequest::post().uri("/").set_payload(body);
        for header in headers.iter().copied() {
            request = request.insert_header(header);
        }
        let answer = call_service(&app, request.to_request()).await;
        assert_eq!(answer.status().as_u16(), status, "{headers:?}");
    }
}

#[actix_web::test]
async fn bodies_come_in_pieces_and_giants_get_their_answer() {
    let server = HttpServer::new(|| App::new().app_data(BodyLimit(100_000)).route("/", web::post().to(echo)))
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    let talk = move |head: String, body: Vec<Vec<u8>>| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        for piece in body {
            stream.write_all(&piece).unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    web::block(move || {
        let head = |length: usize| {
            format!("POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")
        };
        let text = format!("\"{}\"", "y".repeat(90_000));
        let pieces = text.as_bytes().chunks(1000).map(<[u8]>::to_vec).collect();
        let answer = talk(head(text.len()), pieces);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&text));

        // A client that sends all of it before it reads.
        let answer = talk(head(8_000_000), vec![vec![b' '; 8_000_000]]);
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

        let chunk = [b"fa00\r\n".as_slice(), &[b' '; 0xfa00], b"\r\n"].concat();
        let mut chunks = vec![chunk; 20];
        chunks.push(b"0\r\n\r\n".to_vec());
        let answer = talk(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".into(),
            chunks,
        );
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");

        // One that announces more than anybody would read.
        let answer = talk(head(1_000_000_000), vec![]);
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    })
    .await
    .unwrap();
    handle.stop(false).await;
}

#[actix_web::test]
async fn what_no_route_takes_is_a_problem() {
    let mut routes = Routes::default();
    routes.add("/v1/offers/{offer}", &["GET"]);
    routes.add("/v1/offers/{offer}", &["PUT", "GET"]);
    let ok = || async { HttpResponse::Ok().finish() };
    let app = App::new()
        .app_data(routes)
        .app_data(path_config())
        // As the route macros do it: a resource a method, with a guard.
        .service(web::resource("/v1/offers/{offer}").guard(actix_web::guard::Get()).to(ok))
        .service(web::resource("/v1/offers/{offer}").guard(actix_web::guard::Put()).to(ok))
        .route("/number/{n}", web::get().to(|_: web::Path<u32>| async { HttpResponse::Ok().finish() }))
        .default_service(web::to(unrouted));
    let app = init_service(app).await;
    for (method, uri, status, allow) in [
        ("GET", "/v1/offers/x", 200, None),
        ("PUT", "/v1/offers/x", 200, None),
        ("POST", "/v1/offers/x", 405, Some("GET, PUT")),
        ("POST", "/v1/offers", 404, None),
        ("GET", "/nowhere", 404, None),
        ("GET", "/number/5", 200, None),
        ("GET", "/number/x", 404, None),
    ] {
        let method = actix_web::http::Method::from_bytes(method.as_bytes()).unwrap();
        let request = TestRequest::with_uri(uri).method(method).to_request();
        let answer = call_service(&app, request).await;
        assert_eq!(answer.status().as_u16(), status, "{uri}");
        assert_eq!(answer.headers().get("allow").map(|value| value.to_str().unwrap()), allow);
        if status != 200 {
            let body: Value = read_body_json(answer).await;
            assert_eq!(body["status"], json!(status));
        }
    }
}
