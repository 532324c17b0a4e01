-- Organizations that a month is due for, each with :offers offers bought in the month :month: numbers :first to
-- :organizations are billed to :payers payers, in turn. Needs sql/organizations.sql (bench_id). Those below :first are of
-- sql/organizations.sql, each with a payer of its own, and get all offers, so that purchases can be made for them.
\set ON_ERROR_STOP on
SET synchronous_commit = off;
INSERT INTO users (id, email, name, operator, created_at)
    SELECT bench_id('9000', 10000000 + n), 'payer' || n || '@bench.example', 'Payer ' || n, false, :at FROM generate_series(1, :payers) n;
INSERT INTO organizations (id, slug, name, country, created_at)
    SELECT bench_id('8000', n), 'bench-' || n, 'Organization ' || n, 'US', :at FROM generate_series(:first, :organizations) n;
INSERT INTO members (organization_id, user_id, role, access)
    SELECT bench_id('8000', n), bench_id('9000', 10000000 + 1 + n % :payers), 'owner', 'basic' FROM generate_series(:first, :organizations) n;
INSERT INTO subscriptions (id, name, kind, status, country, currency, payment_method, payment_token, spending_limit,
        marketplace_enabled, profile, seed_key, created_by, created_at)
    SELECT bench_id('a000', 10000000 + n), 'Production', 'pay_as_you_go', 'active', 'US', 'USD', 'card', 'tok_ok', false, true, '{}', '',
        'system', :at FROM generate_series(1, :payers) n;
INSERT INTO subscription_roles (subscription_id, user_id, role)
    SELECT bench_id('a000', 10000000 + n), bench_id('9000', 10000000 + n), 'owner' FROM generate_series(1, :payers) n;
INSERT INTO links (id, organization_id, subscription_id, linked_by, linked_at)
    SELECT bench_id('b000', n), bench_id('8000', n), bench_id('a000', 10000000 + 1 + n % :payers), 'system', :at
    FROM generate_series(:first, :organizations) n;
CREATE TEMP TABLE bought AS SELECT id, row_number() OVER (ORDER BY slug) AS place FROM offers WHERE slug IN
    ('ms.vss-vstsuser', 'ms.vss-testmanager-web', 'ms.feed', 'berichthaus.tfstimetracker', 'spartez.agile-cards');
INSERT INTO entitlements (organization_id, offer_id, committed, next, month, accrued, charged, installed, metered, cap, version, changed_at)
    SELECT bench_id('8000', n), b.id, 10, 10, :'month', '0', 0, true, false, 0, 1, :at
    FROM generate_series(1, :organizations) n JOIN bought b ON n < :first OR b.place <= :offers ORDER BY 1, 2;
VACUUM (FREEZE, ANALYZE);
