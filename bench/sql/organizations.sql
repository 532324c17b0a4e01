-- Organizations by number, :first to :organizations, each with an owner; those with an even number (or all, :linked = 1) have billing.
-- The ids are made from the numbers: bench/src/people.rs makes the same ones, and bench/data.py on SQLite.
\set ON_ERROR_STOP on
CREATE OR REPLACE FUNCTION bench_id(kind text, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT ('01890000-0000-7000-' || kind || '-' || lpad(to_hex(number), 12, '0'))::uuid $$;
INSERT INTO users (id, email, name, operator, created_at)
    SELECT bench_id('9000', n), 'owner' || n || '@bench.example', 'Owner ' || n, false, :at FROM generate_series(:first, :organizations) n;
INSERT INTO organizations (id, slug, name, country, created_at)
    SELECT bench_id('8000', n), 'bench-' || n, 'Organization ' || n, 'US', :at FROM generate_series(:first, :organizations) n;
INSERT INTO members (organization_id, user_id, role, access)
    SELECT bench_id('8000', n), bench_id('9000', n), 'owner', 'basic' FROM generate_series(:first, :organizations) n;
INSERT INTO subscriptions (id, name, kind, status, country, currency, payment_method, payment_token, spending_limit,
        marketplace_enabled, profile, seed_key, created_by, created_at)
    SELECT bench_id('a000', n), 'Production', 'pay_as_you_go', 'active', 'US', 'USD', 'card', 'tok_ok', false, false, '{}', '',
        'system', :at FROM generate_series(:first, :organizations) n WHERE :linked = 1 OR n % 2 = 0;
INSERT INTO subscription_roles (subscription_id, user_id, role)
    SELECT bench_id('a000', n), bench_id('9000', n), 'owner' FROM generate_series(:first, :organizations) n WHERE :linked = 1 OR n % 2 = 0;
INSERT INTO links (id, organization_id, subscription_id, linked_by, linked_at)
    SELECT bench_id('b000', n), bench_id('8000', n), bench_id('a000', n), 'system', :at
    FROM generate_series(:first, :organizations) n WHERE :linked = 1 OR n % 2 = 0;
