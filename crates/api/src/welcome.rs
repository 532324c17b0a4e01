//! What the terminal says at the start: where to go, and on a demonstration what to paste.

use crate::app::real_now;
use crate::commands::Fault;
use crate::state::State;
use std::net::SocketAddr;

/// Prints the address, which tests wait for too, and on a new demonstration the calls of a first purchase.
///
/// # Errors
/// What the database refuses.
pub async fn print(state: &State, bound: SocketAddr, new: bool) -> Result<(), Fault> {
    let url = state.config.public_url(bound);
    if new {
        let people = store::people::some(&state.db, 50).await?;
        let buyer = people.iter().find(|person| person.email.starts_with("ada@")).or(people.first());
        if let Some(buyer) = buyer {
            let token = state.tokens.mint(buyer.id, real_now(), state.config.auth.token_hours)?;
            println!("{}", first_purchase(&url, &buyer.name, &token));
        }
    }
    let who = if state.config.demo.sign_in { "; sign in as anybody of the demonstration" } else { "" };
    println!("Purser is at {url}{who}. The API: {url}/docs. A token: purser token --user EMAIL");
    println!("listening on http://{bound}");
    Ok(())
}

fn first_purchase(url: &str, name: &str, token: &str) -> String {
    let item = r#""items":[{"offer":"ms.vss-testmanager-web","quantity":5}]"#;
    let payer = r#""billing":{"new_subscription":{"name":"Production","country":"DE","currency":"EUR","payment":{"method":"invoice"}}}"#;
    format!(
        r#"
Purser is ready, with a demonstration company.

In the browser: open {url}, sign in as {name}, choose Test Manager, press Buy.

By API: a first purchase as {name}, ready to paste:

TOKEN={token}

# what is sold
curl -s {url}/v1/offers -H "Authorization: Bearer $TOKEN"
# what five seats of Test Manager would cost, with every step of the sum
curl -s {url}/v1/quotes -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  -d '{{"organization":"fabrikam",{item},{payer}}}'
# buy them, and so set up billing
curl -s {url}/v1/purchases -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  -H 'Idempotency-Key: first-purchase' \
  -d '{{"organization":"fabrikam",{item},{payer}}}'
# what the organization may use now
curl -s {url}/v1/organizations/fabrikam/allowance/ms.vss-testmanager-web -H "Authorization: Bearer $TOKEN"

More people are listed in config/demo.toml.
"#
    )
}
