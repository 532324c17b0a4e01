-- Load testing is on in all organizations (bench/sql/organizations.sql made them).
INSERT INTO entitlements (organization_id, offer_id, committed, next, month, accrued, charged, installed, metered, cap, version, changed_at)
    SELECT o.id, f.id, 0, 0, :'month', '0', 0, false, true, 0, 1, :at FROM organizations o, offers f WHERE f.slug = 'ms.load-testing';
