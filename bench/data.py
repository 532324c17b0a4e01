"""What the databases hold before a load, and what must hold of them after it."""
import json, os, shutil, sqlite3, time
from pathlib import Path

from harness import HERE, ROOT, Purser, command, measured

# Facts of a run by name; {to} {from} {now} read a purchase's one line out of its stored answer.
FACTS = """SELECT
    (SELECT count(*) FROM purchases) AS purchases,
    (SELECT count(*) FROM events WHERE kind = 'purchase.completed') AS events,
    (SELECT coalesce(sum(events), 0) FROM blocks) AS events_in_blocks,
    (SELECT count(*) FROM events) AS all_events,
    (SELECT count(*) FROM blocks) AS blocks,
    (SELECT count(*) FROM blocks WHERE number IS NULL) AS unchained,
    (SELECT count(*) FROM links) AS links,
    (SELECT count(*) FROM subscriptions) AS subscriptions,
    (SELECT coalesce(sum(next), 0) FROM entitlements) AS units,
    (SELECT count(*) FROM charges) AS charges,
    (SELECT coalesce(sum(amount), 0) FROM charges) AS charged,
    (SELECT coalesce(sum(amount), 0) FROM transfers) AS posted,
    (SELECT coalesce(sum(amount), 0) FROM unbilled) AS unbilled"""
# What must be none.
FAULTS = {
    "charges that their postings do not add up to": """SELECT count(*) FROM charges c
        WHERE c.amount <> (SELECT coalesce(sum(t.amount), 0) FROM transfers t WHERE t.fact = c.id)""",
    "payers whose unbilled sum is not that of their charges": """SELECT count(*) FROM
        (SELECT subscription_id, sum(amount) AS a FROM charges GROUP BY subscription_id) c FULL JOIN
        (SELECT subscription_id, sum(amount) AS a FROM unbilled GROUP BY subscription_id) u
        ON u.subscription_id = c.subscription_id WHERE c.a IS NULL OR u.a IS NULL OR c.a <> u.a""",
    "organizations with two live links": """SELECT count(*) FROM
        (SELECT organization_id FROM links WHERE ended_at IS NULL GROUP BY organization_id HAVING count(*) > 1) x""",
    "keys used twice": """SELECT count(*) FROM (SELECT actor_id, key FROM purchases GROUP BY actor_id, key HAVING count(*) > 1) x""",
    "ledger accounts that do not balance over all": """SELECT count(*) FROM (SELECT sum(x) AS s FROM
        (SELECT amount AS x FROM transfers UNION ALL SELECT -amount FROM transfers) y) z WHERE s <> 0""",
    "purchases without their event": """SELECT count(*) FROM (SELECT organization_id, count(*) AS n FROM purchases GROUP BY organization_id) p
        LEFT JOIN (SELECT organization_id, count(*) AS n FROM events WHERE kind = 'purchase.completed' GROUP BY organization_id) e
        ON e.organization_id = p.organization_id WHERE e.n IS NULL OR e.n <> p.n""",
}
# Of purchases since {past}: committed is the largest total of the month, next the last one.
STEPS = """SELECT count(*) FROM (SELECT p.organization_id, o.id AS offer, max({to}) AS most, sum({to} - {from}) AS steps
        FROM purchases p JOIN offers o ON o.slug = {offer} GROUP BY p.organization_id, o.id) a
    LEFT JOIN entitlements e ON e.organization_id = a.organization_id AND e.offer_id = a.offer
    WHERE e.next IS NULL OR e.next <> a.steps OR e.committed <> a.most"""
JSON = {
    "postgres": {"to": "(p.answer::json->'lines'->0->'quantity'->>'to')::bigint",
                 "from": "(p.answer::json->'lines'->0->'quantity'->>'from')::bigint", "offer": "p.answer::json->'lines'->0->>'offer'"},
    "sqlite": {"to": "json_extract(p.answer, '$.lines[0].quantity.to')",
               "from": "json_extract(p.answer, '$.lines[0].quantity.from')", "offer": "json_extract(p.answer, '$.lines[0].offer')"},
}


def prepare(work, purser, url):
    command(work, purser, url, "migrate")
    command(work, purser, url, "catalog", "apply", str(ROOT / "config" / "catalog.toml"))


def now():
    return int(time.time() * 1e6)


def load_postgres(pg, work, purser, name, organizations, linked):
    pg.sql("postgres", f"CREATE DATABASE {name}")
    prepare(work, purser, pg.url(name))
    add_organizations(pg, name, 1, organizations, linked)
    pg.sql(name, "VACUUM (FREEZE, ANALYZE)")


def add_organizations(pg, name, first, last, linked):
    pg.psql(name, "-f", str(HERE / "sql" / "organizations.sql"), first=first, organizations=last, linked=int(linked), at=now())


def load_sqlite(file, work, purser, organizations):
    """The rows of sql/organizations.sql."""
    prepare(work, purser, f"sqlite://{file}")
    made = lambda kind, n: bytes.fromhex(f"0189000000007000{kind}{n:012x}")
    at, numbers = now(), range(1, organizations + 1)
    linked = range(2, organizations + 1, 2)
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    many = db.executemany
    many("INSERT INTO users (id, email, name, operator, created_at) VALUES (?, ?, ?, 0, ?)",
         ((made("9000", n), f"owner{n}@bench.example", f"Owner {n}", at) for n in numbers))
    many("INSERT INTO organizations (id, slug, name, country, created_at) VALUES (?, ?, ?, 'US', ?)",
         ((made("8000", n), f"bench-{n}", f"Organization {n}", at) for n in numbers))
    many("INSERT INTO members (organization_id, user_id, role, access) VALUES (?, ?, 'owner', 'basic')",
         ((made("8000", n), made("9000", n)) for n in numbers))
    many("INSERT INTO subscriptions (id, name, kind, status, country, currency, payment_method, payment_token, spending_limit, "
         "marketplace_enabled, profile, seed_key, created_by, created_at) "
         "VALUES (?, 'Production', 'pay_as_you_go', 'active', 'US', 'USD', 'card', 'tok_ok', 0, 0, '{}', '', 'system', ?)",
         ((made("a000", n), at) for n in linked))
    many("INSERT INTO subscription_roles (subscription_id, user_id, role) VALUES (?, ?, 'owner')",
         ((made("a000", n), made("9000", n)) for n in linked))
    many("INSERT INTO links (id, organization_id, subscription_id, linked_by, linked_at) VALUES (?, ?, ?, 'system', ?)",
         ((made("b000", n), made("8000", n), made("a000", n), at) for n in linked))
    db.execute("COMMIT")
    db.execute("ANALYZE")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def copy_sqlite(source, target):
    for tail in ("", "-wal", "-shm"):
        Path(f"{target}{tail}").unlink(missing_ok=True)
    shutil.copyfile(source, target)
    with open(target, "rb+") as f:  # what is dirty now is not written during the measurement
        os.fsync(f.fileno())
    return target


class Books:
    """Reads a database after a load: the same questions on both kinds."""

    def __init__(self, kind, rows):
        self.kind, self.rows = kind, rows

    @classmethod
    def postgres(cls, pg, db):
        def rows(text):
            out = pg.sql(db, f"SELECT row_to_json(x) FROM ({text}) x")
            return [json.loads(line) for line in out.splitlines()]
        return cls("postgres", rows)

    @classmethod
    def sqlite(cls, file):
        def rows(text):
            db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
            db.row_factory = sqlite3.Row
            try:
                return [dict(row) for row in db.execute(text)]
            finally:
                db.close()
        return cls("sqlite", rows)

    def facts(self):
        return self.rows(FACTS)[0]

    def check(self, answer, before, all_of_them=True):
        """What the load was answered against what the database holds; the differences, none if all is well."""
        after, wrong = self.facts(), []
        grew = {k: int(after[k]) - int(before[k]) for k in after}
        for name, expected in (("purchases", "accepted"), ("events", "accepted"), ("links", "first"), ("subscriptions", "first"),
                               ("units", "units"), ("charged", "charged"), ("posted", "charged"), ("unbilled", "charged")):
            if grew[name] != answer[expected]:
                wrong.append(f"{name} grew by {grew[name]}, the answers say {answer[expected]}")
        if after["events_in_blocks"] != after["all_events"]:
            wrong.append(f"blocks tell of {after['events_in_blocks']} events of {after['all_events']}")
        if after["unchained"]:
            wrong.append(f"{after['unchained']} blocks have no place in the chain")
        if answer["differing_replays"]:
            wrong.append(f"{answer['differing_replays']} replays differ")
        if answer["unexpected"]:
            wrong.append(f"unexpected answers: {json.dumps(answer['unexpected'])[:600]}")
        faults = dict(FAULTS)
        if all_of_them:
            faults["entitlements that are not the sum of their purchases"] = STEPS.format(**JSON[self.kind])
        for name, text in faults.items():
            count = list(self.rows(text)[0].values())[0]
            if count:
                wrong.append(f"{count} {name}")
        return wrong, grew


def samples(pg, work, purser, bench, template):
    """One real purchase of each offer, as its rows: what a purchase of the database alone writes is as long."""
    pg.fresh("bench_scratch", template)
    server = Purser(work, purser, pg.url("bench_scratch"))
    try:
        answer = measured([bench, "load", "--address", server.address, "--secret-file", work / "secret", "--clients", 4,
                  "--organizations", 1000, "--seconds", 0.5, "--warm-up", 0], {"service": server.pid})
    finally:
        server.stop()
    rows = Books.postgres(pg, "bench_scratch").rows("""
        SELECT DISTINCT ON (c.offer_id) encode(uuid_send(c.offer_id), 'hex') AS offer, p.answer, e.public, e.private, c.basis,
            (SELECT count(*) FROM transfers t WHERE t.fact = c.id) AS transfers
        FROM charges c JOIN purchases p ON p.id = c.purchase_id
            JOIN events e ON e.organization_id = p.organization_id AND e.public::json->>'answer' = encode(sha256(p.answer::bytea), 'hex')
        ORDER BY c.offer_id, c.amount DESC""")
    pg.sql("postgres", "DROP DATABASE bench_scratch WITH (FORCE)")
    if len(rows) != 5:
        raise SystemExit(f"samples of {len(rows)} offers instead of 5: {answer}")
    file = work / "samples.json"
    file.write_text(json.dumps(rows))
    return file
