"""Reports of metered use, 1,000 usage events each and each event counted once for good, held against what the database does
with bare batched inserts of the same rows (their two indexes and all) on the same machine in the same minutes."""
import json, sqlite3, subprocess, time

import data
from harness import HERE, Purser, command, measured

ORGANIZATIONS = 10_000
CLIENTS = (1, 4, 8)


def month():
    return time.strftime("%Y-%m-01", time.gmtime())


def switched_on_sqlite(file, work, purser):
    data.load_sqlite(file, work, purser, 2 * ORGANIZATIONS)
    db = sqlite3.connect(file, isolation_level=None)
    # Those with an even number have billing; ids are made from numbers, so the load asks for these by half of them.
    db.execute("""INSERT INTO entitlements (organization_id, offer_id, committed, next, month, accrued, charged, installed, metered, cap,
        version, changed_at) SELECT l.organization_id, f.id, 0, 0, ?, '0', 0, 0, 1, 0, 1, ? FROM links l, offers f
        WHERE f.slug = 'ms.load-testing'""", (month(), data.now()))
    made = lambda kind, n: bytes.fromhex(f"0189000000007000{kind}{n:012x}")
    db.executemany("UPDATE links SET organization_id = ? WHERE organization_id = ?",
                   [(made("8000", n), made("8000", 2 * n)) for n in range(1, ORGANIZATIONS + 1)])
    db.executemany("UPDATE entitlements SET organization_id = ? WHERE organization_id = ?",
                   [(made("8000", n), made("8000", 2 * n)) for n in range(1, ORGANIZATIONS + 1)])
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def load(run, server, key, clients, spread, seed, pids):
    run.settle()
    return measured([run.bench, "usage", "--address", server.address, "--key", key, "--organizations", ORGANIZATIONS, "--clients", clients,
                     "--spread", spread, "--seconds", run.a.seconds, "--seed", seed], pids)


def reported(run, kind, url, books, pids):
    key = command(run.work, run.purser, url, "key", "create", "--name", "bench").strip()
    server = Purser(run.work, run.purser, url, *run.clock)
    accepted, best, seed = 0, {}, 1
    try:
        for spread in (1, 50):
            for clients in CLIENTS:
                seed += 1_000
                got = load(run, server, key, clients, spread, seed, dict(pids, service=server.pid))
                accepted += got["accepted"]
                n = max(got["answered_in_window"], 1)
                per_s = round(n / got["seconds"])
                best[spread] = max(best.get(spread, 0), per_s)
                run.tell(case="usage", database=kind, organizations_a_report=spread, clients=clients, events_per_s=per_s,
                         p50_ms=got["p50_ms"], p99_ms=got["p99_ms"], foreign_cores=got["foreign_cores"],
                         service_us_an_event=round(got["cpu_s"]["service"] * 1e6 / n, 2))
                run.wrong += [f"usage, {kind}: {w}" for w in got["wrong"]]
    finally:
        server.stop()
    counted = books.rows("SELECT (SELECT count(*) FROM usage_events) AS n, (SELECT count(DISTINCT id) FROM usage_events) AS d, "
                         "(SELECT sum(quantity) FROM usage_events) AS q, (SELECT sum(used) FROM usage_months) AS u")[0]
    if counted["n"] != accepted or counted["d"] != accepted or int(counted["q"]) != int(counted["u"]):
        run.wrong.append(f"usage, {kind}: {counted} of {accepted} accepted")
    return best


def alone_postgres(run):
    found = []
    for clients in CLIENTS:
        run.settle()
        got = run.pg.pgbench("bench_usage_run", HERE / "sql" / "own_usage.sql", clients, max(3, round(run.a.seconds)))
        found.append(got["per_s"] * 1_000)
        run.tell(case="usage", database="postgres", which="bare inserts", clients=clients, events_per_s=found[-1], cores=got["cores"])
    return max(found)


def alone_sqlite(run, file):
    run.settle()
    done = subprocess.run([run.bench, "usage-alone", "--file", file, "--seconds", str(run.a.seconds)], capture_output=True, text=True, check=True)
    got = json.loads(done.stdout)
    per_s = round(got["written"] / got["seconds"])
    run.tell(case="usage", database="sqlite", which="bare inserts", clients=1, events_per_s=per_s)
    return per_s


def compared(run, kind, best, alone):
    for spread, per_s in best.items():
        run.tell(case="usage", database=kind, organizations_a_report=spread, best_events_per_s=per_s, bare_events_per_s=alone,
                 ratio=round(per_s / alone, 2))


def run(run):
    """The part `usage` of bench/run.py."""
    data.load_postgres(run.pg, run.work, run.purser, "bench_usage", ORGANIZATIONS, True)
    run.pg.psql("bench_usage", "-f", str(HERE / "sql" / "metered.sql"), month=month(), at=data.now())
    run.pg.sql("bench_usage", "VACUUM ANALYZE")
    run.pg.fresh("bench_usage_run", "bench_usage")
    before = alone_postgres(run)
    run.pg.fresh("bench_usage_run", "bench_usage")
    books = data.Books.postgres(run.pg, "bench_usage_run")
    best = reported(run, "postgres", run.pg.url("bench_usage_run"), books, {"database": run.pg.pid})
    run.pg.fresh("bench_usage_run", "bench_usage")
    compared(run, "postgres", best, (before + alone_postgres(run)) / 2)

    template = run.work / "usage-template.db"
    switched_on_sqlite(template, run.work, run.purser)
    before = alone_sqlite(run, data.copy_sqlite(template, run.work / "usage-run.db"))
    file = data.copy_sqlite(template, run.work / "usage-run.db")
    best = reported(run, "sqlite", f"sqlite://{file}", data.Books.sqlite(file), {})
    after = alone_sqlite(run, data.copy_sqlite(template, run.work / "usage-run.db"))
    compared(run, "sqlite", best, (before + after) / 2)
