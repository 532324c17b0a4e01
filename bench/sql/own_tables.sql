-- A purchase in one function call over the server's own tables: the reads and locks of its till, and the rows that one
-- of its purchases writes, their texts as long as real ones. bench_samples holds one real purchase of each offer.
\set ON_ERROR_STOP on
CREATE TABLE bench_samples (number INT PRIMARY KEY, offer UUID, answer TEXT, public TEXT, private TEXT, basis TEXT, transfers INT);
INSERT INTO bench_samples
    SELECT row_number() OVER (), (s->>'offer')::uuid, s->>'answer', s->>'public', s->>'private', s->>'basis', (s->>'transfers')::int
    FROM json_array_elements(:'samples'::json) s;

-- Ids that sort as they are made, as the server's do.
CREATE FUNCTION bench_new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 'hex')::uuid $$;

CREATE FUNCTION bench_purchase(number_ int, sample_ int, units_ int, key_ text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    organization_ uuid := ('01890000-0000-7000-8000-' || lpad(to_hex(number_), 12, '0'))::uuid;
    user_ uuid := ('01890000-0000-7000-9000-' || lpad(to_hex(number_), 12, '0'))::uuid;
    nobody_ uuid := '00000000-0000-0000-0000-000000000000';
    at_ bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    month_ text := '2018-05-01';
    hash_ bytea := '\x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff';
    account_ text;
    s bench_samples; subscription_ uuid; role_ text; earlier_ text; next_ bigint; version_ bigint; amount_ bigint;
    purchase_ uuid := bench_new_id(); charge_ uuid := bench_new_id(); block_ uuid := bench_new_id();
BEGIN
    SELECT * INTO s FROM bench_samples WHERE number = sample_;
    -- the till's locks: organizations, then payers
    PERFORM id FROM organizations WHERE id = organization_ FOR NO KEY UPDATE;
    PERFORM id FROM subscriptions WHERE id IN
        (SELECT subscription_id FROM links WHERE organization_id = organization_ AND ended_at IS NULL) FOR SHARE;
    -- its facts
    SELECT m.role, p.subscription_id, e.answer INTO role_, subscription_, earlier_
        FROM (SELECT organization_ AS organization, user_ AS actor, key_ AS key) r
        LEFT JOIN users u ON u.id = r.actor LEFT JOIN organizations o ON o.id = r.organization
        LEFT JOIN members m ON m.organization_id = r.organization AND m.user_id = r.actor
        LEFT JOIN links p ON p.organization_id = r.organization AND p.ended_at IS NULL
        LEFT JOIN subscriptions b ON b.id = p.subscription_id
        LEFT JOIN subscription_roles sr ON sr.subscription_id = b.id AND sr.user_id = r.actor
        LEFT JOIN purchases e ON e.actor_id = r.actor AND e.key = r.key;
    IF earlier_ IS NOT NULL THEN RETURN earlier_; END IF;
    IF role_ IS NULL THEN RAISE EXCEPTION 'not a member'; END IF;
    SELECT next, version INTO next_, version_ FROM entitlements WHERE organization_id = organization_ AND offer_id = s.offer;
    SELECT count(*) INTO amount_ FROM links l JOIN entitlements e ON e.organization_id = l.organization_id AND e.next > 0
        WHERE l.subscription_id = subscription_ AND l.ended_at IS NULL;
    amount_ := amount_ + units_ * 100;
    -- billing, set up in the same act
    IF subscription_ IS NULL THEN
        subscription_ := bench_new_id();
        INSERT INTO subscriptions (id, name, kind, status, country, currency, payment_method, payment_token, spending_limit,
                marketplace_enabled, profile, seed_key, created_by, created_at)
            VALUES (subscription_, 'Production', 'pay_as_you_go', 'active', 'DE', 'EUR', 'card', 'tok_ok', false, false, '{}', '',
                'usr_01cc00000000000000000000', at_);
        INSERT INTO subscription_roles (subscription_id, user_id, role) VALUES (subscription_, user_, 'owner');
        INSERT INTO links (id, organization_id, subscription_id, linked_by, linked_at)
            VALUES (bench_new_id(), organization_, subscription_, 'usr_01cc00000000000000000000', at_);
    END IF;
    -- the purchase
    INSERT INTO entitlements (organization_id, offer_id, committed, next, month, accrued, charged, installed, metered, cap, version, changed_at)
        VALUES (organization_, s.offer, coalesce(next_, 0) + units_, coalesce(next_, 0) + units_, month_, '110/3', amount_, true, false, 0,
            coalesce(version_, 0) + 1, at_)
        ON CONFLICT (organization_id, offer_id) DO UPDATE SET committed = excluded.committed, next = excluded.next,
            month = excluded.month, accrued = excluded.accrued, charged = excluded.charged, installed = excluded.installed,
            metered = excluded.metered, cap = excluded.cap, version = excluded.version, changed_at = excluded.changed_at
            WHERE entitlements.version < excluded.version;
    INSERT INTO purchases (id, organization_id, subscription_id, actor_id, key, request_hash, state, answer, at)
        VALUES (purchase_, organization_, subscription_, user_, key_, hash_, 'completed', s.answer, at_);
    INSERT INTO charges (id, purchase_id, subscription_id, organization_id, offer_id, amount, currency, month, tax_rate, basis, at)
        VALUES (charge_, purchase_, subscription_, organization_, s.offer, amount_, 'USD', month_, '', s.basis, at_);
    account_ := 'unbilled/sub_' || left(subscription_::text, 26);
    INSERT INTO transfers (fact, leg, debit, credit, amount, currency, at)
        SELECT charge_, leg, account_, 'deferred_revenue/off_01cc00000000000000000000', amount_, 'USD', at_
        FROM generate_series(0, s.transfers - 1) leg;
    INSERT INTO unbilled (subscription_id, month, tax_rate, amount) VALUES (subscription_, month_, '', amount_)
        ON CONFLICT (subscription_id, month, tax_rate) DO UPDATE SET amount = unbilled.amount + excluded.amount;
    INSERT INTO blocks (id, origin, at, events, hash) VALUES (block_, block_, at_, 1, hash_);
    INSERT INTO events (id, block_id, place, kind, organization_id, actor, at, public, private, salt, commitment)
        VALUES (bench_new_id(), block_, 0, 'purchase.completed', organization_, 'usr_01cc00000000000000000000', at_, s.public,
            s.private, '\x00112233445566778899aabbccddeeff', hash_);
    RETURN s.answer;
END $$;
VACUUM (FREEZE, ANALYZE);
