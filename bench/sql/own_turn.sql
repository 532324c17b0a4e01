-- A batch of the month's turn in one function call over the server's own tables: its reads and locks, and the rows that it
-- writes for :batch organizations, their texts as long as real ones. bench_turned holds one real charge of each offer,
-- bench_turned_event one real event.
\set ON_ERROR_STOP on
CREATE TABLE bench_turned (offer UUID PRIMARY KEY, amount BIGINT, basis TEXT, legs INT);
INSERT INTO bench_turned SELECT (s->>'offer')::uuid, (s->>'amount')::bigint, s->>'basis', (s->>'legs')::int
    FROM json_array_elements(:'samples'::json) s;
CREATE TABLE bench_turned_event (public TEXT);
INSERT INTO bench_turned_event VALUES (:'event');
CREATE TABLE bench_batches AS SELECT (n - 1) / :batch AS number, array_agg(id) AS organizations
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM organizations) o GROUP BY 1;
ALTER TABLE bench_batches ADD PRIMARY KEY (number);
CREATE SEQUENCE bench_next MINVALUE 0;
CREATE FUNCTION bench_id_now() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 'hex')::uuid $$;

CREATE FUNCTION bench_turn(month_ text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    number_ bigint := nextval('bench_next');
    organizations_ uuid[];
    at_ bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    hash_ bytea := '\x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff';
    block_ uuid := bench_id_now();
    written_ bigint;
BEGIN
    SELECT organizations INTO organizations_ FROM bench_batches WHERE number = number_;
    IF organizations_ IS NULL THEN RETURN 0; END IF;
    PERFORM till_lock(organizations_, ARRAY[]::uuid[]);
    -- its facts
    PERFORM o.slug, l.linked_at, s.profile FROM unnest(organizations_) r (id)
        LEFT JOIN LATERAL (SELECT * FROM organizations o WHERE o.id = r.id LIMIT 1) o ON true
        LEFT JOIN LATERAL (SELECT * FROM links l WHERE l.organization_id = r.id AND l.ended_at IS NULL LIMIT 1) l ON true
        LEFT JOIN LATERAL (SELECT * FROM subscriptions s WHERE s.id = l.subscription_id LIMIT 1) s ON true;
    PERFORM e.* FROM unnest(organizations_) r (id) CROSS JOIN LATERAL
        (SELECT * FROM entitlements e WHERE e.organization_id = r.id OFFSET 0) e;
    WITH due AS MATERIALIZED (
            SELECT e.*, l.subscription_id, b.amount, b.basis, b.legs, bench_id_now() AS charge
            FROM unnest(organizations_) r (id)
            CROSS JOIN LATERAL (SELECT * FROM entitlements e WHERE e.organization_id = r.id OFFSET 0) e
            CROSS JOIN LATERAL (SELECT * FROM links l WHERE l.organization_id = r.id AND l.ended_at IS NULL LIMIT 1) l
            CROSS JOIN LATERAL (SELECT * FROM bench_turned b WHERE b.offer = e.offer_id LIMIT 1) b),
        w1 AS (INSERT INTO entitlements (organization_id, offer_id, committed, next, month, accrued, charged, installed, metered, cap,
                version, changed_at)
            SELECT organization_id, offer_id, next, next, month_, '0', 0, installed, metered, cap, version + 1, at_ FROM due
            ON CONFLICT (organization_id, offer_id) DO UPDATE SET committed = excluded.committed, next = excluded.next,
                month = excluded.month, accrued = excluded.accrued, charged = excluded.charged, installed = excluded.installed,
                metered = excluded.metered, cap = excluded.cap, version = excluded.version, changed_at = excluded.changed_at
                WHERE entitlements.version < excluded.version RETURNING 1),
        w2 AS (INSERT INTO charges (id, purchase_id, subscription_id, organization_id, offer_id, amount, currency, month, tax_rate, basis,
                bill, at)
            SELECT charge, '00000000-0000-0000-0000-000000000000', subscription_id, organization_id, offer_id, amount, 'USD', month_, '',
                basis, month_, at_ FROM due),
        w3 AS (INSERT INTO transfers (fact, leg, debit, credit, amount, currency, at)
            SELECT charge, leg, 'unbilled/sub_' || left(subscription_id::text, 26), 'deferred_revenue/off_01cc00000000000000000000',
                amount, 'USD', at_ FROM due CROSS JOIN LATERAL generate_series(0, legs - 1) leg),
        w4 AS (INSERT INTO unbilled (subscription_id, month, tax_rate, amount)
            SELECT subscription_id, month_, '', sum(amount) FROM due GROUP BY subscription_id ORDER BY subscription_id
            ON CONFLICT (subscription_id, month, tax_rate) DO UPDATE SET amount = unbilled.amount + excluded.amount),
        w5 AS (INSERT INTO blocks (id, origin, at, events, hash) VALUES (block_, block_, at_, cardinality(organizations_), hash_)),
        w6 AS (INSERT INTO events (id, block_id, place, kind, organization_id, actor, at, public, private, salt, commitment)
            SELECT bench_id_now(), block_, place, 'month.turned', id, 'system', at_, public, NULL, NULL, hash_
            FROM unnest(organizations_) WITH ORDINALITY r (id, place), bench_turned_event)
    SELECT count(*) INTO written_ FROM w1;
    RETURN written_;
END $$;
VACUUM (FREEZE, ANALYZE);
