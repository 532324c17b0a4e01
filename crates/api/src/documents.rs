//! Documents of a bill as answers: which one a request asks for, and how it is sent.

use crate::problem::{FieldError, Problem};
use ::documents::{Fault, Format, Lack};
use actix_web::http::header::{ACCEPT, CONTENT_DISPOSITION, HeaderMap, HeaderValue, VARY};
use actix_web::{HttpResponse, web};
use kernel::InvoiceId;
use marketplace::bill::Bill;
use std::sync::LazyLock;
use tokio::sync::Semaphore;

/// Documents are made one at a time: a long one takes a core for seconds, and memory with it.
static PRESS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(1));

/// The document that `Accept` prefers to JSON; none where it names JSON first, anything, or nothing that there is.
pub fn asked(headers: &HeaderMap) -> Option<Format> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // By descending weight; of equal weight the one named first.
    let mut best: Option<(u16, Option<Format>)> = None;
    for part in accept.split(',') {
        let mut pieces = part.split(';').map(str::trim);
        let kind = pieces.next().unwrap_or_default().to_ascii_lowercase();
        let weight = pieces.find_map(|piece| piece.strip_prefix("q=")).map_or(1_000, thousandths);
        let named = Format::ALL.into_iter().find(|format| format.media_type().split(';').next() == Some(kind.as_str()));
        let known = named.is_some() || matches!(kind.as_str(), "application/json" | "application/*" | "*/*");
        if known && weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, named));
        }
    }
    best.and_then(|(_, format)| format)
}

/// The document of a name in addresses.
///
/// # Errors
/// `not-found`.
pub fn named(name: &str) -> Result<Format, Problem> {
    Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| Problem::not_found("document"))
}

/// Where the pages offer an invoice's documents, and what each is called.
pub fn links(invoice: InvoiceId) -> Vec<(String, &'static str)> {
    Format::ALL.into_iter().map(|format| (format!("/invoices/{invoice}/{}", format.name()), format.title())).collect()
}

fn field(lack: Lack) -> FieldError {
    FieldError { pointer: lack.pointer.to_owned(), detail: lack.detail }
}

/// `0.8` as 800; what is no weight is none.
fn thousandths(text: &str) -> u16 {
    let digits = text.replacen('.', "", 1);
    let padded = format!("{digits:0<4}");
    padded.get(..4).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A document of a bill as the answer, to be kept as a file.
///
/// # Errors
/// `invalid-request` naming what the bill lacks for it; a fault of ours.
pub async fn answer(bill: Bill, format: Format) -> Result<HttpResponse, Problem> {
    let name = format.file_name(bill.number.as_deref().unwrap_or("upcoming"));
    let _turn = PRESS.acquire().await.map_err(Problem::internal)?;
    let made = web::block(move || format.of(&bill)).await.map_err(Problem::internal)?;
    let body = made.map_err(|fault| match fault {
        Fault::Lacking(lacks) => Problem::invalid_fields(lacks.into_iter().map(field).collect()),
        Fault::Written(_) => Problem::internal(fault),
    })?;
    Ok(HttpResponse::Ok()
        .content_type(format.media_type())
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .insert_header((VARY, HeaderValue::from_static("Accept")))
        .body(body))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::as_conversions, clippy::panic)]
mod tests {
    use super::*;

    /// RFC 9110: by weight; JSON where it is asked for, or nothing that there is.
    #[test]
    fn accept_chooses() {
        for (accept, expected) in [
            ("", None),
            ("*/*", None),
            ("application/json", None),
            ("application/pdf", Some(Format::Pdf)),
            ("Application/PDF", Some(Format::Pdf)),
            ("text/csv", Some(Format::Csv)),
            ("text/csv; header=present", Some(Format::Csv)),
            ("application/pdf;q=0.5, text/csv", Some(Format::Csv)),
            ("application/json;q=0.9, application/pdf;q=0.8", None),
            ("*/*;q=0.1, application/pdf", Some(Format::Pdf)),
            ("application/xml", Some(Format::Ubl)),
            ("application/pdf;q=0", None),
            ("application/pdf;q=x, image/png", None),
            ("image/png", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(asked(&headers), expected, "{accept:?}");
        }
        assert_eq!(asked(&HeaderMap::new()), None);
    }
}
