"""The month's turn of many entitlements on PostgreSQL: alone, against the database alone writing the same rows, and beside
purchases; then the invoices of their payers."""
import json, os, re, statistics, subprocess, threading, time

import data
from harness import HERE, STARTED, Purser, busy, measured, resident_mib, tree_cpu

BUYERS = 10_000  # organizations with a payer each, for which purchases are made
PAYERS = 5_000  # of all the others
BATCH = 64
LANES = 2
FACTOR = 3  # of the database alone, and of the purchases' p99
MIB = 300


def months():
    """The present month and the one before, as the database has them."""
    year, month = time.gmtime().tm_year, time.gmtime().tm_mon
    before = (year, month - 1) if month > 1 else (year - 1, 12)
    return f"{year:04}-{month:02}-01", f"{before[0]:04}-{before[1]:02}-01"


def load(run, name, organizations):
    data.load_postgres(run.pg, run.work, run.purser, name, BUYERS, True)
    run.pg.psql(name, "-f", str(HERE / "sql" / "months.sql"), first=BUYERS + 1, organizations=organizations, payers=PAYERS, offers=4,
                month=months()[1], at=data.now() - 40 * 86_400_000_000)


def highest_mib(pid):
    try:
        return round(int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) / 1024, 1)
    except (OSError, AttributeError):
        return 0.0


def due(run, db):
    return run.pg.numbers(db, f"SELECT count(*), count(DISTINCT organization_id) FROM entitlements WHERE month < '{months()[0]}' AND next > 0")


class Watch:
    """Looks at the database until told to stop: when the last entitlement had come to its month, and the first invoice was out."""

    def __init__(self, run, db):
        self.run, self.db, self.first_invoice, self.stopping = run, db, None, False
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.stopping and self.first_invoice is None:
            if self.run.pg.sql(self.db, "SELECT 1 FROM invoices LIMIT 1"):
                self.first_invoice = time.time()
            time.sleep(0.25)

    def stop(self):
        self.stopping = True
        self.thread.join()


def renew(run, db):
    """`purser renew`: the turn, then the invoices."""
    entitlements, organizations = due(run, db)
    env = dict(os.environ, PURSER__DATABASE__URL=run.pg.url(db), PURSER__SERVER__SECRET_FILE=str(run.work / "secret"))
    watch = Watch(run, db)
    before, database, began = busy(), tree_cpu(run.pg.pid), time.time()
    child = subprocess.Popen([str(run.purser), "renew"], cwd=run.work, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    STARTED.append(child)
    highest, cpu = 0.0, 0.0
    turn_cpu = None
    while child.poll() is None:
        highest = max(highest, highest_mib(child.pid))
        cpu = tree_cpu(child.pid) or cpu
        if watch.first_invoice and turn_cpu is None:
            turn_cpu = (cpu, tree_cpu(run.pg.pid) - database)
        time.sleep(0.05)
    ended = time.time()
    watch.stop()
    if child.returncode:
        raise SystemExit(f"purser renew: {child.stderr.read()[-800:]}")
    told = child.stdout.read().strip()
    turned = watch.first_invoice or ended
    service, used = turn_cpu or (cpu, tree_cpu(run.pg.pid) - database)
    invoices = run.pg.numbers(db, "SELECT count(*) FROM invoices")[0]
    foreign = max(0.0, (busy() - before) - cpu - (tree_cpu(run.pg.pid) - database)) / (ended - began)
    line = dict(case="month", which="purser renew", organizations=organizations, entitlements=entitlements, turn_s=round(turned - began, 1),
                organizations_per_s=round(organizations / (turned - began)), entitlements_per_s=round(entitlements / (turned - began)),
                service_us_an_entitlement=round(service * 1e6 / entitlements, 1), database_us_an_entitlement=round(used * 1e6 / entitlements, 1),
                invoices=invoices, invoices_s=round(ended - turned, 1), invoices_per_s=round(invoices / max(ended - turned, 0.001)),
                resident_mib=highest, foreign_cores=round(foreign, 2), said=told)
    run.tell(**line)
    check(run, db, organizations, entitlements)
    if highest >= MIB:
        run.wrong.append(f"months: {highest} MiB resident")
    return line


def check(run, db, organizations, entitlements):
    """Every entitlement came to its month once, was charged once, and its charge is on its payer's invoice."""
    late, charges, twice, events, sums, unbilled = run.pg.numbers(db, f"""SELECT
        (SELECT count(*) FROM entitlements WHERE month < '{months()[0]}' AND next > 0),
        (SELECT count(*) FROM charges WHERE purchase_id = '00000000-0000-0000-0000-000000000000'),
        (SELECT count(*) FROM (SELECT 1 FROM charges WHERE purchase_id = '00000000-0000-0000-0000-000000000000'
            GROUP BY organization_id, offer_id, month HAVING count(*) > 1) x),
        (SELECT count(*) FROM events WHERE kind = 'month.turned'),
        (SELECT count(*) FROM (SELECT subscription_id, bill, sum(amount) AS s FROM charges WHERE bill <= '{months()[0]}' GROUP BY 1, 2) c
            FULL JOIN invoices i ON i.subscription_id = c.subscription_id AND i.bill = c.bill WHERE i.net IS DISTINCT FROM c.s),
        (SELECT count(*) FROM unbilled WHERE month <= '{months()[0]}')""")
    for name, found, expected in (("entitlements that did not come to the month", late, 0), ("charges", charges, entitlements),
                                  ("renewals charged twice", twice, 0), ("events", events, organizations),
                                  ("invoices that are not the sum of their charges", sums, 0), ("sums that still wait", unbilled, 0)):
        if found != expected:
            run.wrong.append(f"months: {found} {name} instead of {expected}")


def samples(run, db):
    """One real charge of each offer and one real event, for what the database alone writes."""
    rows = data.Books.postgres(run.pg, db).rows("""SELECT DISTINCT ON (offer_id) encode(uuid_send(offer_id), 'hex') AS offer, amount, basis,
        (SELECT count(*) FROM transfers t WHERE t.fact = c.id) AS legs
        FROM charges c WHERE purchase_id = '00000000-0000-0000-0000-000000000000' ORDER BY offer_id""")
    event = run.pg.sql(db, "SELECT public FROM events WHERE kind = 'month.turned' ORDER BY organization_id DESC LIMIT 1")
    return json.dumps(rows), event


def alone(run, db, template, rows, event):
    """The database alone, as many clients as the till has lanes, until all is written."""
    run.pg.fresh(db, template)
    run.pg.psql(db, "-f", str(HERE / "sql" / "own_turn.sql"), samples=rows, event=event, batch=BATCH)
    entitlements, organizations = due(run, db)
    batches = run.pg.numbers(db, "SELECT count(*) FROM bench_batches")[0]
    run.settle()
    before, database, began = busy(), tree_cpu(run.pg.pid), time.time()
    done = subprocess.run([f"{run.pg.bin}/pgbench", "-h", "127.0.0.1", "-p", str(run.pg.port), "-U", "postgres", "-n", "-M", "prepared",
                           "-c", str(LANES), "-j", "1", "-t", str(-(-batches // LANES)), "-D", f"month={months()[0]}",
                           "-f", str(HERE / "sql" / "own_turn_run.sql"), db], capture_output=True, text=True)
    took = time.time() - began
    if done.returncode:
        raise SystemExit(f"pgbench: {done.stderr[-800:]}")
    time.sleep(0.2)
    used = tree_cpu(run.pg.pid) - database
    late, charges = run.pg.numbers(db, f"SELECT (SELECT count(*) FROM entitlements WHERE month <> '{months()[0]}'), (SELECT count(*) FROM charges)")
    if late or charges != entitlements:
        run.wrong.append(f"months: the database alone left {late} entitlements and made {charges} charges of {entitlements}")
    line = dict(case="month", which="database alone", organizations=organizations, entitlements=entitlements, turn_s=round(took, 1),
                organizations_per_s=round(organizations / took), entitlements_per_s=round(entitlements / took),
                database_us_an_entitlement=round(used * 1e6 / entitlements, 1),
                foreign_cores=round(max(0.0, busy() - before - used) / took, 2))
    run.tell(**line)
    return line


def purchases(run, server, which, seed):
    if which == "after":
        run.settle()
    answer = measured([run.bench, "load", "--address", server.address, "--secret-file", run.work / "secret", "--clients", 8,
                       "--seconds", 10, "--warm-up", 2, "--organizations", BUYERS, "--all-linked", "--bought", 10 + 1_000 * seed,
                       "--seed", 7 + seed], {"service": server.pid, "database": run.pg.pid})
    line = dict(case="month", which=f"purchases {which} the turn", clients=8, per_s=round(answer["accepted_in_window"] / answer["seconds"]),
                p50_ms=answer["p50_ms"], p99_ms=answer["p99_ms"], max_ms=answer["max_ms"], foreign_cores=answer["foreign_cores"])
    run.tell(**line)
    if answer["unexpected"]:
        run.wrong.append(f"months: purchases {which} the turn: {json.dumps(answer['unexpected'])[:400]}")
    return line


def beside(run, db, template):
    """Purchases while the server's own job turns the month, and when it has."""
    run.pg.fresh(db, template)
    entitlements, organizations = due(run, db)
    server = Purser(run.work, run.purser, run.pg.url(db))
    try:
        began = time.time()
        during = purchases(run, server, "beside", 0)
        left, _ = due(run, db)
        took = time.time() - began
        invoices = run.pg.numbers(db, "SELECT count(*) FROM invoices")[0]
        run.tell(case="month", which="the server's job beside purchases", entitlements_per_s=round((entitlements - left) / took),
                 turned=entitlements - left, left=left, invoices=invoices, resident_mib=highest_mib(server.pid))
        if not left:
            run.wrong.append("months: the turn was over before the purchases were")
        until = time.time() + 600
        while time.time() < until:
            if not due(run, db)[0] and not run.pg.numbers(db, f"SELECT count(*) FROM unbilled WHERE month <= '{months()[0]}'")[0]:
                break
            time.sleep(1)
        resident = highest_mib(server.pid)
        run.pg.sql("postgres", "CHECKPOINT")
        after = purchases(run, server, "after", 1)
    finally:
        server.stop()
    line = dict(case="month", which="p99 of purchases", ratio=round(during["p99_ms"] / after["p99_ms"], 2), resident_mib=resident)
    run.tell(**line)
    if line["ratio"] > FACTOR:
        run.missed.append(f"months: purchases' p99 grows {line['ratio']}-fold while the month turns")


def run(run):
    """The part `months` of bench/run.py."""
    organizations = BUYERS + (10_000 if run.a.quick else 240_000)
    # No checkpoint in the middle of one and not of the other.
    run.pg.sql("postgres", "ALTER SYSTEM SET max_wal_size = '24GB'")
    run.pg.sql("postgres", "SELECT pg_reload_conf()")
    load(run, "bench_months", organizations)
    ours, theirs = [], []
    for _ in range(2):
        run.pg.fresh("bench_turned", "bench_months")
        run.settle()
        ours.append(renew(run, "bench_turned"))
        rows, event = samples(run, "bench_turned")
        theirs.append(alone(run, "bench_turned", "bench_months", rows, event))
    ratio = statistics.mean(one["turn_s"] for one in ours) / statistics.mean(one["turn_s"] for one in theirs)
    cpu = statistics.mean(one["service_us_an_entitlement"] + one["database_us_an_entitlement"] for one in ours)
    cpu /= statistics.mean(one["database_us_an_entitlement"] for one in theirs)
    run.tell(case="month", which="ratio", renew_to_database_alone=round(ratio, 2), by_cpu=round(cpu, 2))
    if ratio > FACTOR:
        run.missed.append(f"months: the turn takes {ratio:.2f} times as long as the database alone")
    beside(run, "bench_turned", "bench_months")
    run.pg.sql("postgres", "DROP DATABASE bench_turned WITH (FORCE)")
