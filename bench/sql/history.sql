-- Purchases that are there already, as many as :purchases, spread evenly; every organization has
-- billing (sql/organizations.sql with linked = 1). Needs sql/own_tables.sql for the texts.
\set ON_ERROR_STOP on
SET synchronous_commit = off;
CREATE TEMP TABLE past AS
    SELECT p, 1 + (p * 7919) % :organizations AS number, 1 + (p / :organizations) % 5 AS sample,
        ('01870000-0000-7000-8000-' || lpad(to_hex(p), 12, '0'))::uuid AS purchase,
        ('01870000-0000-7000-9000-' || lpad(to_hex(p), 12, '0'))::uuid AS charge,
        ('01870000-0000-7000-a000-' || lpad(to_hex(p), 12, '0'))::uuid AS event,
        ('01870000-0000-7000-b000-' || lpad(to_hex(p / 16), 12, '0'))::uuid AS block
    FROM generate_series(0, :purchases::bigint - 1) p;
ANALYZE past;
-- Indexes other than primary keys are made anew afterwards: in order, and much sooner.
CREATE TEMP TABLE made_anew AS
    SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS text FROM pg_index
    WHERE NOT indisprimary AND indrelid IN ('purchases'::regclass, 'charges'::regclass, 'events'::regclass);
SELECT 'DROP INDEX ' || name FROM made_anew \gexec
INSERT INTO purchases (id, organization_id, subscription_id, actor_id, key, request_hash, state, answer, at)
    SELECT purchase, bench_id('8000', past.number), bench_id('a000', past.number), bench_id('9000', past.number), 'past-' || p,
        sha256(p::text::bytea), 'completed', answer, :at FROM past JOIN bench_samples s ON s.number = sample ORDER BY p;
INSERT INTO charges (id, purchase_id, subscription_id, organization_id, offer_id, amount, currency, month, tax_rate, basis, at)
    SELECT charge, purchase, bench_id('a000', past.number), bench_id('8000', past.number), offer, 100, 'USD', :'month', '', basis, :at
    FROM past JOIN bench_samples s ON s.number = sample ORDER BY p;
INSERT INTO transfers (fact, leg, debit, credit, amount, currency, at)
    SELECT charge, 0, 'unbilled/' || bench_id('a000', past.number), 'deferred_revenue/' || offer, 100, 'USD', :at
    FROM past JOIN bench_samples s ON s.number = sample ORDER BY p;
INSERT INTO unbilled (subscription_id, month, tax_rate, amount)
    SELECT bench_id('a000', number), :'month', '', 100 * count(*) FROM past GROUP BY number;
INSERT INTO entitlements (organization_id, offer_id, committed, next, month, accrued, charged, installed, metered, cap, version, changed_at)
    SELECT bench_id('8000', past.number), offer, 100, 100, :'month', count(*)::text, 100 * count(*), true, false, 0, count(*), :at
    FROM past JOIN bench_samples s ON s.number = sample GROUP BY past.number, offer;
INSERT INTO blocks (id, origin, at, events, hash, number, chain)
    SELECT block, block, :at, count(*), sha256(block::text::bytea), 1 + min(p) / 16, sha256(block::text::bytea) FROM past GROUP BY block;
INSERT INTO events (id, block_id, place, kind, organization_id, actor, at, public, private, salt, commitment)
    SELECT event, block, p % 16, 'purchase.completed', bench_id('8000', past.number), 'usr_01cc00000000000000000000', :at, public,
        private, '\x00112233445566778899aabbccddeeff', sha256(p::text::bytea)
    FROM past JOIN bench_samples s ON s.number = sample ORDER BY p;
SELECT text FROM made_anew \gexec
VACUUM (FREEZE, ANALYZE);
