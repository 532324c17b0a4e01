-- A report's rows and nothing else: no reads, no counters, no audit trail.
INSERT INTO usage_events (batch, place, id, organization_id, offer_id, quantity, at, month)
SELECT b.id, n, md5(random()::text || n), b.id, b.id, 1 + n % 9, 1526000000000000 + n, '2018-05-01'
FROM (SELECT gen_random_uuid() AS id) b, generate_series(0, 999) n;
