"""Pages on SQLite with many organizations: how long each takes, how large it is, how many statements it runs.

Beside what `data.load_sqlite` makes there are an operator; two payers of many organizations, one of a hundred and one of
ten thousand, each organization with two offers; an organization that bought some things; and a month that has turned, with
its invoices. Statements are counted by PostgreSQL on the same rows.
"""
import http.client, json, sqlite3, subprocess, time
from urllib.parse import urlencode

import data
from harness import Purser, command

BEFORE, AFTER = "2026-10-15T12:00:00Z", "2026-11-10T12:00:00Z"
MONTH = "2026-10-01"
OFFERS = ("ms.vss-vstsuser", "ms.feed")
MANY = {"100": 300_001, "10,000": 300_002}  # organizations of a payer: the number its id and its owner's are made from
FIRST = {"100": 1_001, "10,000": 10_001}  # the first of them; every other one, for the even ones have a payer of their own
OPERATOR = 300_003
MEDIAN_MS, BYTES = 5.0, 60_000
REQUESTS = 300


def made(kind, n):
    return bytes.fromhex(f"0189000000007000{kind}{n:012x}")


def add_people(file):
    """The operator, and the payers of many with what their organizations have."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("BEGIN")
    at = data.now()
    offers = [row[0] for row in db.execute(f"SELECT id FROM offers WHERE slug IN {OFFERS} ORDER BY id")]
    user = "INSERT INTO users (id, email, name, operator, created_at) VALUES (?, ?, ?, ?, ?)"
    db.execute(user, (made("9000", OPERATOR), "operator@bench.example", "Operator", 1, at))
    for name, n in MANY.items():
        count = int(name.replace(",", ""))
        db.execute(user, (made("9000", n), f"owner{n}@bench.example", f"Owner of {name}", 0, at))
        db.execute("INSERT INTO subscriptions (id, name, kind, status, country, currency, payment_method, payment_token, spending_limit, "
                   "marketplace_enabled, profile, seed_key, created_by, created_at) VALUES (?, ?, 'pay_as_you_go', 'active', 'US', 'USD', "
                   "'card', 'tok_ok', 0, 1, '{}', '', 'system', ?)", (made("a000", n), f"Holding of {name}", at))
        db.execute("INSERT INTO subscription_roles (subscription_id, user_id, role) VALUES (?, ?, 'owner')", (made("a000", n), made("9000", n)))
        numbers = [FIRST[name] + 2 * place for place in range(count)]
        db.executemany("INSERT INTO links (id, organization_id, subscription_id, linked_by, linked_at) VALUES (?, ?, ?, 'system', ?)",
                       ((made("b000", k), made("8000", k), made("a000", n), at) for k in numbers))
        db.executemany("INSERT INTO entitlements (organization_id, offer_id, committed, next, month, accrued, charged, installed, metered, "
                       "cap, version, changed_at) VALUES (?, ?, 10, 10, ?, '0', 0, 1, 0, 0, 1, 0)",
                       ((made("8000", k), offer, MONTH) for k in numbers for offer in offers))
    db.execute("COMMIT")
    db.execute("ANALYZE")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


class Site:
    """A server's pages, as a browser without anything kept sees them."""

    def __init__(self, run, server, url):
        self.run, self.server, self.url = run, server, url
        self.cookies = {}

    def call(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.server.address, timeout=600)
        connection.request(method, path, body, {"Accept": "text/html", **{k.replace("_", "-"): v for k, v in headers.items()}})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer, text

    def token(self, email):
        return command(self.run.work, self.run.purser, self.url, "token", "--user", email).strip()

    def sign_in(self, name, email):
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        answer, text = self.call("POST", "/sign-in", urlencode({"token": self.token(email)}), **form)
        if answer.status != 303:
            raise SystemExit(f"signing in {email}: {answer.status} {text[:300]}")
        self.cookies[name] = answer.getheader("Set-Cookie").split(";")[0]

    def post(self, name, path, **fields):
        """Sends a form of a page; where it leads."""
        _, page = self.call("GET", "/services", Cookie=self.cookies[name])
        word = page.split(b'name="csrf" value="')[1].split(b'"')[0].decode()
        answer, text = self.call("POST", path, urlencode({"csrf": word, **fields}), Cookie=self.cookies[name],
                                 Content_Type="application/x-www-form-urlencoded")
        if answer.status != 303:
            raise SystemExit(f"{path}: {answer.status} {text[:300]}")
        return answer.getheader("Location")

    def api(self, token, path, **body):
        answer, text = self.call("POST", path, json.dumps(body), Authorization=f"Bearer {token}", Content_Type="application/json",
                                 Accept="application/json", Idempotency_Key=f"pages-{time.time_ns()}")
        if answer.status not in (200, 201):
            raise SystemExit(f"{path}: {answer.status} {text[:300]}")
        return json.loads(text)


def found(page, before, after=b'"'):
    """The first address in a page that begins so."""
    at = page.find(before)
    return page[at:page.index(after, at)].decode() if at >= 0 else None


def live_a_month(site):
    """Purchases of one organization, its next month, and all the payers' invoices."""
    token = site.token("owner2@bench.example")
    for turn in range(30):
        site.api(token, "/v1/purchases", organization="bench-2",
                 items=[{"offer": offer, "quantity": turn + 6} for offer in OFFERS])
    began = time.time()
    site.api(token, "/v1/clock", now=AFTER)
    return time.time() - began


def cases(site):
    """Every page, as its visitors see it."""
    one, many, operator, fresh = (site.cookies[name] for name in ("one", "10,000", "operator", "fresh"))
    page = lambda path, cookie: site.call("GET", path, Cookie=cookie)[1]
    deep = ""
    for _ in range(40):
        deep = found(page(deep or "/organizations", operator), b"/organizations?after=") or deep
    checkout = site.post("fresh", "/checkouts", offer=OFFERS[0])
    bought_for = site.post("one", "/checkouts", offer=OFFERS[0])
    site.post("one", f"{bought_for}/organization", organization="bench-2")
    quantity = page("/organizations/bench-2/purchases", one)
    site_payer = {name: found(page("/subscriptions", site.cookies[name]), b"/subscriptions/sub_") for name in ("one", *MANY)}
    invoice = {name: found(page(f"{payer}/invoices", site.cookies[name]), b"/invoices/inv_") for name, payer in site_payer.items()}
    begun = site.post("fresh", "/checkouts", offer=OFFERS[0])
    site.post("fresh", f"{begun}/organization", organization="bench-1")
    held = site.post("10,000", "/checkouts", offer=OFFERS[0])
    wide = site.post("10,000", "/checkouts", offer=OFFERS[0])
    site.post("10,000", f"{held}/organization", organization=f"bench-{FIRST['10,000']}")
    reviewed = site.post("one", "/checkouts", offer=OFFERS[0], organization="bench-2", quantity="50", counted="yes")
    every = lambda text, numbers: [text.format(n) for n in numbers]
    some = range(2, 802, 4)
    yield "services", ["/services"], one
    yield "marketplace", ["/marketplace"], one
    yield "marketplace, a search", ["/marketplace?q=test"], one
    yield "an offer", [f"/marketplace/{OFFERS[0]}?organization=bench-2&quantity=25"], one
    yield "an offer, payer of 10,000", [f"/marketplace/{OFFERS[0]}?organization=bench-{FIRST['10,000']}&quantity=25"], many
    yield "an offer, operator", every(f"/marketplace/{OFFERS[0]}?organization=bench-{{}}&quantity=25", some), operator
    yield "checkout, organization", [checkout], fresh
    yield "checkout, organization of 10,000", [wide], many
    yield "checkout, billing", [begun], fresh
    yield "checkout, quantity", [bought_for], one
    yield "checkout, quantity, payer of 10,000", [held], many
    yield "checkout, review", [reviewed], one
    yield "organizations", ["/organizations"], one
    yield "organizations of a payer of 10,000", ["/organizations"], many
    yield "organizations, operator", ["/organizations"], operator
    yield "organizations, page 40, operator", [deep], operator
    yield "organizations, search that finds many, operator", ["/organizations?q=bench-77"], operator
    yield "organizations, search that finds one, operator", ["/organizations?q=bench-99999"], operator
    yield "organizations, search that finds none, operator", ["/organizations?q=nobody"], operator
    yield "organizations, search, payer of 10,000", ["/organizations?q=nobody"], many
    yield "an organization", ["/organizations/bench-2"], one
    yield "an organization, operator", every("/organizations/bench-{}", some), operator
    yield "its purchases", ["/organizations/bench-2/purchases"], one
    yield "set up billing", ["/organizations/bench-1/billing"], fresh
    yield "subscriptions", ["/subscriptions"], one
    yield "subscriptions, operator", ["/subscriptions"], operator
    yield "subscriptions, search that finds none, operator", ["/subscriptions?q=nobody"], operator
    for name, of in (("one", "1"), ("100", "100"), ("10,000", "10,000")):
        cookie = site.cookies[name]
        yield f"subscription of {of}", [site_payer[name]], cookie
        yield f"invoices of {of}", [f"{site_payer[name]}/invoices"], cookie
        yield f"upcoming invoice of {of}", [f"{site_payer[name]}/invoices/upcoming"], cookie
        yield f"invoice of {of}", [invoice[name]], cookie
    yield "receipt", [found(quantity, b"/purchases/pur_")], one


def sign_in_all(site):
    for name, n in (("one", 2), ("fresh", 1), *MANY.items()):
        site.sign_in(name, f"owner{n}@bench.example")
    site.sign_in("operator", "operator@bench.example")


def ask(run, server, listed, clients, requests, warm_up=20):
    file = run.work / "pages.json"
    file.write_text(json.dumps([dict(name=name, paths=paths, cookie=cookie) for name, paths, cookie in listed]))
    done = subprocess.run([str(x) for x in (run.bench, "pages", "--address", server.address, "--cases", file, "--clients", clients,
                                            "--requests", requests, "--warm-up", warm_up)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"pages: {done.stderr[-600:]}")
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def run(run):
    """The part `pages` of bench/run.py."""
    requests = 60 if run.a.quick else REQUESTS
    file = run.work / "pages.db"
    data.load_sqlite(file, run.work, run.purser, run.a.organizations)
    add_people(file)
    url = f"sqlite://{file}"
    server = Purser(run.work, run.purser, url, "--clock", BEFORE)
    try:
        site = Site(run, server, url)
        run.tell(case="pages", month_turned_s=round(live_a_month(site), 1))
        sign_in_all(site)
        style = found(site.call("GET", "/services", Cookie=site.cookies["one"])[1], b"/assets/purser")
        style_bytes = len(site.call("GET", style)[1])
        listed = list(cases(site))
        run.settle()
        alone = ask(run, server, listed, 1, requests)
        crowd = ask(run, server, listed, 8, requests)
    finally:
        server.stop()
    counted = statements(run, file, listed) if run.pg and run.pg.statements else {}
    for name, _, _ in listed:
        a, c = alone[name], crowd[name]
        size = a["head_bytes"] + a["body_bytes"]
        line = dict(case="page", which=name, p50_ms=a["p50_ms"], p99_ms=a["p99_ms"], p50_ms_at_8=c["p50_ms"], p99_ms_at_8=c["p99_ms"],
                    bytes=size, bytes_with_style=size + style_bytes, statements=counted.get(name))
        run.tell(**line)
        if a["failed"] or c["failed"]:
            run.wrong.append(f"page {name}: {a['failed'] + c['failed']} of its answers were not 200 but {a['status']}")
        line["misses"] = [word for word, misses in (("median", a["p50_ms"] >= MEDIAN_MS), ("size", size + style_bytes >= BYTES)) if misses]
        run.pages.append(line)


# --- statements, counted by PostgreSQL on the same rows

def statements(run, file, listed):
    copied = "bench_pages"
    run.pg.sql("postgres", f"CREATE DATABASE {copied}")
    data.prepare(run.work, run.purser, run.pg.url(copied))
    copy_to_postgres(file, run.pg, copied)
    run.pg.sql(copied, "CREATE EXTENSION pg_stat_statements")
    run.pg.sql(copied, "ALTER DATABASE bench_pages SET pg_stat_statements.track = 'top'")
    server = Purser(run.work, run.purser, run.pg.url(copied), "--clock", AFTER)
    counted = {}
    try:
        calls(run, copied)
        time.sleep(3)
        beside = {query: count / 3 for query, count in calls(run, copied).items()}  # a second, of what runs without requests
        for case in listed:
            began, count = time.time(), 20
            ask(run, server, [case], 1, count, 0)
            took = time.time() - began
            counted[case[0]] = sum(round(max(0.0, made - beside.get(query, 0) * took) / count) for query, made in calls(run, copied).items())
    finally:
        server.stop()
    run.pg.sql("postgres", f"DROP DATABASE {copied} WITH (FORCE)")
    return counted


def calls(run, name):
    """How often each statement ran since the last time this was asked."""
    rows = run.pg.sql(name, """SELECT queryid || ' ' || calls FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat%'
        AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())""")
    run.pg.sql(name, "SELECT pg_stat_statements_reset()")
    return {query: int(count) for query, count in (row.split() for row in rows.splitlines())}


def copy_to_postgres(file, pg, name):
    """All rows of a SQLite file, in one transaction without looking at references."""
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    columns = {}
    for line in pg.sql(name, """SELECT table_name || ' ' || column_name || ' ' || data_type FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name <> 'seaql_migrations' ORDER BY table_name, ordinal_position""").splitlines():
        table, column, kind = line.split(" ", 2)
        columns.setdefault(table, []).append((column, kind))

    def text(value, kind):
        if value is None:
            return "\\N"
        if kind == "boolean":
            return "t" if value else "f"
        if isinstance(value, bytes):
            return value.hex() if kind == "uuid" else "\\\\x" + value.hex()
        return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")

    folder = file.parent / "copied"
    folder.mkdir(exist_ok=True)
    script = ["BEGIN;", "SET session_replication_role = replica;"]
    for table, kinds in columns.items():
        names = ", ".join(f'"{column}"' for column, _ in kinds)
        part = folder / f"{table}.copy"
        with open(part, "w") as out:
            for row in db.execute(f"SELECT {names} FROM {table}"):
                out.write("\t".join(text(value, kind) for value, (_, kind) in zip(row, kinds)) + "\n")
        script += [f"DELETE FROM {table};", f"\\copy {table} ({names}) FROM '{part}'"]
    script += ["COMMIT;", "VACUUM ANALYZE;"]
    (folder / "all.sql").write_text("\n".join(script))
    pg.psql(name, "-v", "ON_ERROR_STOP=1", "-f", str(folder / "all.sql"))


def table(run):
    if not run.pages:
        return
    print(f"\n{'page':<50}{'p50':>7}{'p99':>7}{'p50 at 8':>10}{'p99 at 8':>10}{'bytes':>11}{'with style':>12}{'statements':>12}")
    for line in run.pages:
        print(f"{line['which']:<50}{line['p50_ms']:>7.2f}{line['p99_ms']:>7.2f}{line['p50_ms_at_8']:>10.2f}{line['p99_ms_at_8']:>10.2f}"
              f"{line['bytes']:>11,}{line['bytes_with_style']:>12,}{line['statements'] if line['statements'] is not None else '-':>12}"
              f"  {'misses: ' + ', '.join(line['misses']) if line['misses'] else ''}")
