//! The server put together: database, catalogue, till, jobs, routes; and taken apart again in order.

use crate::allowance::Allowances;
use crate::clock::BusinessClock;
use crate::collecting;
use crate::commands::{Fault, checkpoint_key, connect, platform, quote_key, token_key};
use crate::config::{Config, PaymentMethod, Payments};
use crate::extract::{BodyLimit, path_config, unrouted};
use crate::jobs::{self, Chainer, follow, tidy};
use crate::mailing::{self, post::Post};
use crate::months;
use crate::openapi;
use crate::pages;
use crate::pages::frame::dress;
use crate::pages::visitor::Sessions;
use crate::request_id::observe;
use crate::routes;
use crate::secret::Secret;
use crate::state::State;
use crate::token::Tokens;
use crate::welcome;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use anyhow::Context;
use billing::credit_note;
use billing::crediting::NoteTerms;
use billing::dunning::Schedule;
use billing::invoice::Seller;
use billing::{PaymentMethods, TaxRates};
use kernel::{Clock, IdSource, SystemClock, Timestamp};
use marketplace::catalogue::Catalogue;
use marketplace::invoicing::Terms;
use marketplace::till::{Limits, Till};
use marketplace::{Policy, Shelf, catalogue, seed};
use providers::Providers;
use providers::stripe::Stripe;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use store::{Db, settings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use utoipa_actix_web::AppExt;

/// Serves until told to stop; what was accepted is answered.
///
/// # Errors
/// What keeps it from starting, in words for an operator.
pub async fn serve(config: Config, clock: Option<Timestamp>) -> Result<(), Fault> {
    // Before anything else, so that a stop while starting is one too.
    let stops = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let secret = Secret::load_or_make(&config.server.secret_file)?;
    let db = connect(&config).await?;
    migrations_up(&db).await?;
    let business = Arc::new(BusinessClock::new());
    let process = IdSource::from_os().uuid(real_now());
    business.set_test(start_test_clock(&db, clock, process).await?);
    let new = load_demonstration(&config, &db, business.now()).await?;

    let shelf = Arc::new(Shelf::new(Catalogue::load(&db).await?));
    let policy = Arc::new(policy(&config, &secret)?);
    let allowances = Arc::new(Allowances::new());
    let committed = Arc::new(Notify::new());
    let limits = till_limits(&config);
    let after_commit = {
        let (allowances, committed) = (Arc::clone(&allowances), Arc::clone(&committed));
        Arc::new(move |organizations: &[kernel::OrganizationId]| {
            allowances.forget(organizations);
            committed.notify_one();
        })
    };
    let lanes = lanes(&config, &db);
    let kept_time: Arc<dyn Clock> = business.clone();
    let (till, lanes) =
        Till::open(db.clone(), Arc::clone(&shelf), Arc::clone(&policy), kept_time, (limits, lanes), after_commit);
    let providers = providers(&config, &db)?;
    let tokens = Tokens::new(&token_key(&secret), &config.auth.issuer, &config.auth.audience);
    let state = Data::new(State::new(
        config,
        db,
        shelf,
        policy,
        providers,
        business,
        till.clone(),
        tokens,
        allowances,
        committed,
        process,
    ));
    let (stop, stopped) = watch::channel(false);
    let listener = TcpListener::bind((state.config.server.address, state.config.server.port))
        .with_context(|| format!("cannot listen on port {}", state.config.server.port))?;
    let bound = listener.local_addr()?;
    let sessions = Sessions::new(&secret, &state.config.server.public_url, state.config.auth.session_hours);
    let server = server(state.clone(), Data::new(sessions), listener)?;
    let mut chainer = Chainer::new(state.clone(), &checkpoint_key(&secret));
    // What commands and an earlier run left stands before what is to come.
    chainer.turn(false).await?;
    mailing::begin(&state.db).await?;
    let (post, url) = (Post::new(&state.config)?, state.config.public_url(bound));
    welcome::print(&state, bound, new).await?;
    let serving = async {
        let served = until_told(server, stops).await;
        till.close();
        lanes.finish().await;
        stop.send(true).ok();
        served
    };
    let jobs = async {
        let (chained, followed) = (chainer.run(stopped.clone()), follow(state.clone(), stopped.clone()));
        let turned = months::keep_turning(state.clone(), stopped.clone());
        let collected = collecting::keep_collecting(state.clone(), stopped.clone());
        let mailed = mailing::keep_mailing(state.clone(), post, url, stopped.clone());
        tokio::join!(chained, followed, turned, collected, mailed, tidy(state.clone(), stopped));
    };
    let (served, ()) = tokio::join!(serving, jobs);
    tracing::info!("stopped");
    Ok(served?)
}

fn server(
    state: Data<State>,
    sessions: Data<Sessions>,
    listener: TcpListener,
) -> Result<actix_web::dev::Server, Fault> {
    let settings = state.config.server.clone();
    let limits = routes::Limits::new(&state.config.limits);
    let server = HttpServer::new(move || {
        let (app, document) = App::new()
            .into_utoipa_app()
            .openapi(openapi::base())
            .app_data(state.clone())
            .app_data(path_config())
            .app_data(BodyLimit(settings.body_limit))
            .app_data(limits.clone())
            .configure(routes::all)
            .split_for_parts();
        let document = openapi::finish(document);
        let mut known = crate::extract::Routes::of(&document);
        routes::docs::known(&mut known);
        app.configure(pages::routes)
            .app_data(sessions.clone())
            .app_data(known)
            .app_data(Data::new(openapi::Document::new(&document)))
            .configure(routes::docs::routes)
            .default_service(actix_web::web::to(unrouted))
            .wrap(from_fn(dress))
            .wrap(from_fn(observe))
    })
    .workers(settings.workers)
    .shutdown_timeout(settings.shutdown_seconds)
    .client_request_timeout(Duration::from_secs(30))
    .max_connections(10_000)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok(server)
}

/// Serves until told to stop; then takes no more and answers what was accepted.
async fn until_told(
    mut server: actix_web::dev::Server,
    [mut terminate, mut interrupt]: [Signal; 2],
) -> std::io::Result<()> {
    let handle = server.handle();
    tokio::select! {
        served = &mut server => return served,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    let (served, ()) = tokio::join!(server, handle.stop(true));
    served
}

/// How many lanes the till has on this database.
pub fn lanes(config: &Config, db: &Db) -> usize {
    match db.backend() {
        // One writer: a second lane would only wait for the first.
        sea_orm::DatabaseBackend::Sqlite => 1,
        _ => config.till.effective_lanes(),
    }
}

/// How much the till takes.
pub fn till_limits(config: &Config) -> Limits {
    Limits { batch: config.till.batch, queue: config.till.queue, wait: Duration::from_millis(config.till.wait_ms) }
}

/// What the configuration says that decisions depend on.
///
/// # Errors
/// A tax rate that is none.
pub fn policy(config: &Config, secret: &Secret) -> Result<Policy, Fault> {
    let mut taxes = TaxRates::default();
    for rate in &config.tax.rates {
        let percent = rate.percent.to_string().parse()?;
        taxes.add(rate.country, &percent, rate.from);
    }
    Ok(Policy {
        platform_publisher: config.platform.publisher.as_str().to_owned(),
        platform_currency: config.platform.currency,
        taxes,
        methods: PaymentMethods {
            invoice: config.payments.methods.contains(&PaymentMethod::Invoice),
            simulated: config.payments.methods.contains(&PaymentMethod::Simulated),
            stripe: config.payments.methods.contains(&PaymentMethod::Stripe),
        },
        quote_key: quote_key(secret),
    })
}

/// How this installation bills.
pub fn terms(config: &Config) -> Terms {
    let seller = &config.seller;
    Terms {
        seller: Seller {
            name: seller.name.to_string(),
            country: seller.country,
            address: seller.address.clone(),
            tax_id: seller.tax_id.clone(),
        },
        series: seller.series.clone(),
        due_days: config.payments.due_days,
        schedule: schedule(config),
    }
}

/// How credit notes are issued here, at an instant.
pub fn note_terms(config: &Config, at: Timestamp) -> NoteTerms {
    NoteTerms {
        series: credit_note::series(&config.seller.credit_prefix, &config.seller.series),
        schedule: schedule(config),
        issued_on: at.date_naive(),
    }
}

/// When what is not paid is asked for again; the configuration was checked to have one.
pub fn schedule(config: &Config) -> Schedule {
    let Payments { dunning_days, disable_after_days, .. } = &config.payments;
    Schedule::new(dunning_days.clone(), *disable_after_days).unwrap_or_default()
}

/// The providers that this installation may ask.
///
/// # Errors
/// What keeps their client from being made.
pub fn providers(config: &Config, db: &Db) -> Result<Providers, Fault> {
    let stripe = &config.payments.stripe;
    let taken = config.payments.methods.contains(&PaymentMethod::Stripe);
    let stripe = taken.then(|| Stripe::new(&stripe.url, stripe.key.expose(), db.clone())).transpose()?;
    Ok(Providers::new(db.clone(), stripe))
}

/// Brings the schema up to date, one process at a time.
///
/// # Errors
/// What the database refuses.
pub async fn migrations_up(db: &Db) -> Result<(), Fault> {
    use migrations::{Migrator, MigratorTrait};
    let guard = db.schema_guard().await?;
    let done = Migrator::up(db.schema_connection(), None).await;
    if let Some(guard) = guard {
        guard.commit().await?;
    }
    done.context("the schema cannot be brought up to date")?;
    Ok(())
}

/// The test clock: the later of what is stored and what the command line says; it stays set for good. One process at a
/// time may hold it.
async fn start_test_clock(db: &Db, asked: Option<Timestamp>, process: uuid::Uuid) -> Result<Option<Timestamp>, Fault> {
    let stored = settings::number(db, settings::CLOCK).await?;
    let Some(instant) = stored.max(asked.map(kernel::micros)) else { return Ok(None) };
    // A holder that was killed a moment ago is waited for, a living one renews its lease.
    for _ in 0..25 {
        if jobs::hold_clock(db, process).await? {
            db.write("clock", async |tx| settings::set_number(tx, settings::CLOCK, instant).await).await?;
            return Ok(Some(kernel::from_micros(instant)));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("another process holds the test clock of this database; stop it first")
}

/// Loads catalogue and demonstration company into a database that has neither people, organizations nor offers.
async fn load_demonstration(config: &Config, db: &Db, now: Timestamp) -> Result<bool, Fault> {
    let (catalog, company) = config.demo.files();
    let empty = !store::people::any(db).await?
        && !store::organizations::any(db).await?
        && store::catalogue::offers(db).await?.is_empty();
    if !empty || (catalog.is_none() && company.is_none()) {
        return Ok(false);
    }
    let mut ids = IdSource::from_os();
    if let Some(path) = catalog {
        let text = read(path, "config/catalog.toml", include_str!("../../../config/catalog.toml"))?;
        catalogue::apply(db, &text, &platform(config), now, &mut ids).await?;
    }
    if let Some(path) = company {
        let text = read(path, "config/demo.toml", include_str!("../../../config/demo.toml"))?;
        seed::apply(db, &text, now, &mut ids).await?;
    }
    Ok(true)
}

/// A file's text; the shipped one where the shipped path is named and not there.
fn read(path: &std::path::Path, shipped: &str, text: &str) -> Result<String, Fault> {
    match std::fs::read_to_string(path) {
        Ok(read) => Ok(read),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound && path == std::path::Path::new(shipped) => {
            Ok(text.to_owned())
        }
        Err(fault) => Err(fault).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Real time, for tokens and leases.
pub fn real_now() -> Timestamp {
    SystemClock.now()
}
