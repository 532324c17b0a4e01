#!/usr/bin/env python3
"""How fast purchases are, held against what the databases can do alone on the same machine in the same minutes.

    python3 bench/run.py                 everything: a few minutes after the first build
    python3 bench/run.py --quick         the main figures: PostgreSQL at 64 clients, SQLite at 64, in under a minute
    python3 bench/run.py --only postgres,sqlite --clients 64 --seconds 8

Needs Linux, cargo, Python 3 and PostgreSQL's server programs (Debian: postgresql), and ../shared/bench beside the project
for the yardstick. As root the private cluster runs as `postgres`. Each case prints a line of JSON when it is done; a table
and what was found wrong stand at the end. Everything is made in a temporary folder and removed. docs/performance.md
explains the figures.
"""
import argparse, json, os, shutil, signal, statistics, subprocess, sys, tempfile, time
from pathlib import Path

sys.dont_write_bytecode = True
import data
import months
import pages
import usage
from harness import HERE, ROOT, YARDSTICK, Postgres, Process, Purser, busy, end_all, measured, resident_mib

PARTS = "postgres,sqlite,spread,history,growth,memory,reads,start,pages,months,usage"
QUIET = 0.15  # cores that others may use before a case begins
DISTURBED = 0.2  # cores used by others above which a figure is a hint only


def options():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--quick", action="store_true", help="the main figures only, shorter")
    ap.add_argument("--only", default="", help=f"of {PARTS}")
    ap.add_argument("--clients", default="", help="default 1,8,64,256")
    ap.add_argument("--seconds", type=float, default=0, help="of each measurement; default 4")
    ap.add_argument("--organizations", type=int, default=100_000)
    ap.add_argument("--history", type=int, default=1_000_000, help="purchases that are there already in the last case")
    ap.add_argument("--wait-quiet", type=int, default=30, help="wait up to so many seconds before each case for others to be quiet")
    ap.add_argument("--bin", default="", help="folder with purser and bench; default: cargo builds them")
    ap.add_argument("--out", default="", help="keep all lines in this file too")
    a = ap.parse_args()
    a.parts = (a.only or ("postgres,sqlite" if a.quick else PARTS)).split(",")
    a.client_counts = [int(c) for c in (a.clients or ("64" if a.quick else "1,8,64,256")).split(",")]
    a.seconds = a.seconds or (3 if a.quick else 4)
    return a


class Run:
    """The cases; what they found is kept for the table."""

    def __init__(self, a, work):
        self.a, self.work, self.lines, self.wrong, self.ready = a, work, [], [], {"postgres": [], "sqlite": []}
        target = Path(a.bin) if a.bin else Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
        if not a.bin:
            subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "api", "-p", "bench"], cwd=ROOT, check=True)
        # What is measured does not change when somebody builds meanwhile.
        for name in ("purser", "bench"):
            shutil.copy(target / name, work / name)
        self.purser, self.bench = work / "purser", work / "bench"
        self.pg = None
        self.pages, self.missed = [], []
        # A month's last days charge nothing or end under way: then business time stands in the middle of one.
        self.clock = ["--clock", time.strftime("%Y-%m-15T12:00:00Z", time.gmtime())] if time.gmtime().tm_mday >= 28 else []

    def tell(self, **line):
        self.lines.append(line)
        print(json.dumps(line), flush=True)

    def settle(self):
        until = time.time() + self.a.wait_quiet
        while time.time() < until:
            before = busy()
            time.sleep(0.5)
            if (busy() - before) / 0.5 < QUIET:
                return

    # --- the databases alone

    def postgres_alone(self, when):
        found = {}
        for name, template, script, named in (("yardstick", "yardstick_rows", YARDSTICK / "purchase_function.sql", "orgs"),
                                              ("own tables", "bench_alone", HERE / "sql" / "own_purchase.sql", "orgs")):
            self.pg.fresh("bench_run", template)
            variables = {named: self.a.organizations}
            self.pg.pgbench("bench_run", script, 16, 2, **variables)
            best = 0
            for clients in (8, 16):
                self.settle()
                got = self.pg.pgbench("bench_run", script, clients, max(3, round(self.a.seconds)), **variables)
                self.tell(case="database alone", which=name, when=when, clients=clients, **got)
                best = max(best, got["per_s"])
            found[name] = best
        return found

    def sqlite_alone(self, when):
        file = data.copy_sqlite(self.work / "template.db", self.work / "alone.db")
        self.settle()
        done = subprocess.run([self.bench, "commits", "--file", file, "--samples", self.samples, "--seconds", str(self.a.seconds),
                               "--organizations", str(self.a.organizations)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"commits: {done.stderr}")
        got = json.loads(done.stdout)
        self.tell(case="database alone", which="sqlite commits", when=when, clients=1, **got)
        return got["per_s"]

    # --- loads

    def load(self, server, clients, pids, *more, organizations=None):
        self.settle()
        return measured([self.bench, "load", "--address", server.address, "--secret-file", self.work / "secret", "--clients", clients,
                         "--seconds", self.a.seconds, "--warm-up", 1.5, "--organizations", organizations or self.a.organizations, *more],
                        pids)

    def summary(self, answer, kind, name, clients, rows=None):
        n = max(answer["accepted_in_window"], 1)
        cpu = {k: round(v * 1000 / n, 3) for k, v in answer["cpu_s"].items()}
        return dict(case=name, database=kind, clients=clients, per_s=round(n / answer["seconds"]),
                    p50_ms=answer["p50_ms"], p99_ms=answer["p99_ms"], max_ms=answer["max_ms"], service_ms=cpu["service"],
                    database_ms=cpu.get("database"), load_ms=cpu["load"], foreign_cores=answer["foreign_cores"],
                    accepted=answer["accepted"], first=answer["first"], replayed=answer["replayed"], refused=answer["refused"])

    def verdict(self, books, answer, before, name, **how):
        wrong, grew = books.check(answer, before, **how)
        self.wrong += [f"{name}: {w}" for w in wrong]
        return wrong, grew

    def postgres_case(self, name, clients, *more, statements=False):
        self.pg.fresh("bench_run", "bench_rows")
        if statements:
            self.pg.sql("bench_run", "CREATE EXTENSION pg_stat_statements")
            self.pg.sql("bench_run", "ALTER DATABASE bench_run SET pg_stat_statements.track = 'all'")
        books = data.Books.postgres(self.pg, "bench_run")
        before = books.facts()
        server = Purser(self.work, self.purser, self.pg.url("bench_run"), *self.clock)
        self.ready["postgres"].append(server.ready_ms)
        try:
            rss = resident_mib(server.pid)
            if statements:
                self.pg.sql("bench_run", "SELECT pg_stat_statements_reset()")
            answer = self.load(server, clients, {"service": server.pid, "database": self.pg.pid}, *more)
            line = self.summary(answer, "postgres", name, clients)
            line["resident_mib"] = [rss, resident_mib(server.pid)]
        finally:
            server.stop()
        if statements:
            self.statements(answer["accepted"])
        line["wrong"], grew = self.verdict(books, answer, before, f"postgres, {name}, {clients} clients")
        line["batch"] = round(grew["purchases"] / max(grew["blocks"], 1), 1)
        line["rows"] = self.rows_written(answer["accepted"])
        self.tell(**line)
        return line["per_s"]

    def rows_written(self, accepted):
        written, commits = self.pg.numbers("bench_run", """SELECT (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables),
            (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())""")
        return {"written_a_purchase": round(written / max(accepted, 1), 2), "commits_a_purchase": round(commits / max(accepted, 1), 3)}

    def statements(self, accepted):
        rows = data.Books.postgres(self.pg, "bench_run").rows("""
            SELECT calls, toplevel, round(total_exec_time::numeric * 1000) AS us, rows, wal_bytes::bigint AS wal,
                left(regexp_replace(query, '\\s+', ' ', 'g'), 90) AS text
            FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND query NOT LIKE '%pg_stat%' ORDER BY total_exec_time DESC""")
        top = [r for r in rows if r["toplevel"]]
        self.tell(case="statements", database="postgres", a_purchase=round(sum(r["calls"] for r in top) / accepted, 3),
                  exec_us_a_purchase=round(sum(r["us"] for r in top) / accepted, 1),
                  wal_bytes_a_purchase=round(sum(r["wal"] for r in top) / accepted))
        for r in rows[:14]:
            self.tell(case="statement", us_a_purchase=round(r["us"] / accepted, 1), calls_a_purchase=round(r["calls"] / accepted, 3),
                      wal_bytes_a_purchase=round(r["wal"] / accepted), nested=not r["toplevel"], text=r["text"])

    def sqlite_case(self, name, clients, *more):
        file = data.copy_sqlite(self.work / "template.db", self.work / "run.db")
        books = data.Books.sqlite(file)
        before = books.facts()
        server = Purser(self.work, self.purser, f"sqlite://{file}", *self.clock)
        self.ready["sqlite"].append(server.ready_ms)
        try:
            rss = resident_mib(server.pid)
            answer = self.load(server, clients, {"service": server.pid}, *more)
            line = self.summary(answer, "sqlite", name, clients)
            line["resident_mib"] = [rss, resident_mib(server.pid)]
        finally:
            server.stop()
        line["wrong"], grew = self.verdict(books, answer, before, f"sqlite, {name}, {clients} clients")
        line["batch"] = round(grew["purchases"] / max(grew["blocks"], 1), 1)
        self.tell(**line)
        return line["per_s"]

    # --- groups of cases

    def postgres(self):
        for clients in self.a.client_counts:
            self.postgres_case("uniform", clients)
        if "spread" in self.a.parts:
            for clients in self.a.client_counts:
                self.postgres_case("one takes a fifth", clients, "--spread", "hot")
            self.postgres_case("a tenth takes nine tenths", 64, "--spread", "tenth")
        if self.pg.statements:
            self.postgres_case("uniform, statements counted", 64, statements=True)

    def sqlite(self):
        data.load_sqlite(self.work / "template.db", self.work, self.purser, self.a.organizations)
        alone = [self.sqlite_alone("before")]
        for clients in self.a.client_counts:
            self.sqlite_case("uniform", clients)
        if "spread" in self.a.parts:
            for clients in self.a.client_counts:
                self.sqlite_case("one takes a fifth", clients, "--spread", "hot")
        alone.append(self.sqlite_alone("after"))
        return alone

    def history(self):
        """The same load with more and more purchases there already; every organization has billing."""
        # No checkpoint between the rows' making and the load: after one, each page touched first is written to the log
        # whole, which a short load on a large database would mistake for a cost of its size.
        self.pg.sql("postgres", "ALTER SYSTEM SET max_wal_size = '24GB'")
        self.pg.sql("postgres", "SELECT pg_reload_conf()")
        month, at = time.strftime("%Y-%m-01", time.gmtime()), data.now() - 60_000_000
        if self.clock:
            at = data.now() - 30 * 86_400_000_000
        for there in sorted({min(1_000, self.a.history), self.a.history}):
            self.pg.fresh("bench_history", "bench_linked")
            self.pg.psql("bench_history", "-f", str(HERE / "sql" / "history.sql"), organizations=self.a.organizations,
                         purchases=there, at=at, month=month)
            books = data.Books.postgres(self.pg, "bench_history")
            server = Purser(self.work, self.purser, self.pg.url("bench_history"), *self.clock)
            try:
                before = books.facts()
                name = f"{there:,} purchases before"
                answer = self.load(server, 64, {"service": server.pid, "database": self.pg.pid}, "--all-linked", "--bought", 100,
                                   "--seed", there)
                line = self.summary(answer, "postgres", name, 64)
            finally:
                server.stop()
            # Those of the past are no answers of the server: what grew is looked at.
            line["wrong"], grew = self.verdict(books, answer, before, f"postgres, {name}", all_of_them=False)
            line["batch"] = round(grew["purchases"] / max(grew["blocks"], 1), 1)
            self.tell(**line)

    def growth(self):
        """A database that grows a thousandfold under a running server, before anything is analysed: plans that were made
        for the small one must do for the large one."""
        self.pg.sql("postgres", "CREATE DATABASE bench_grown")
        data.prepare(self.work, self.purser, self.pg.url("bench_grown"))
        data.add_organizations(self.pg, "bench_grown", 1, 10, True)
        books = data.Books.postgres(self.pg, "bench_grown")
        server = Purser(self.work, self.purser, self.pg.url("bench_grown"), *self.clock)
        pids = {"service": server.pid, "database": self.pg.pid}
        try:
            self.load(server, 64, pids, "--all-linked", "--seed", 1, organizations=10)
            data.add_organizations(self.pg, "bench_grown", 11, self.a.organizations, True)
            before = books.facts()
            answer = self.load(server, 64, pids, "--all-linked", "--bought", 5_000, "--seed", 2)
            line = self.summary(answer, "postgres", "grown under the server", 64)
        finally:
            server.stop()
        line["wrong"], grew = self.verdict(books, answer, before, "postgres, grown under the server")
        line["batch"] = round(grew["purchases"] / max(grew["blocks"], 1), 1)
        self.tell(**line)

    def memory(self):
        """Loads one after the other on one server: what it holds may not grow with what it did."""
        self.pg.fresh("bench_run", "bench_linked")
        server = Purser(self.work, self.purser, self.pg.url("bench_run"), *self.clock)
        try:
            held, bought = [resident_mib(server.pid)], 0
            for turn in range(4):
                self.load(server, 64, {"service": server.pid}, "--all-linked", "--bought", bought, "--seed", 100 + turn)
                held.append(resident_mib(server.pid))
                bought += 1_000
        finally:
            server.stop()
        self.tell(case="memory", clients=64, resident_mib=held)

    def reads(self):
        """Allowances from memory against a bare handler with the same token check, and while the database is away."""
        self.pg.fresh("bench_run", "bench_linked")
        server = Purser(self.work, self.purser, self.pg.url("bench_run"), *self.clock)
        bare = Process([self.work / "bench", "bare", "--secret-file", self.work / "secret"], self.work, "bare")
        try:
            found = {"bare": [], "allowance": []}
            for name, process in (("bare", bare), ("allowance", server)) * 2:
                got = self.read(name, process)
                found[name].append(got)
            rate = {k: statistics.mean(x["per_s"] for x in v) for k, v in found.items()}
            cpu = {k: statistics.mean(x["service_us"] for x in v) for k, v in found.items()}
            self.tell(case="reads", ratio=round(rate["allowance"] / rate["bare"], 2), ratio_by_cpu=round(cpu["bare"] / cpu["allowance"], 2))
            away = self.read("allowance, the database goes away", server, interrupt=self.pg.stop)
            if away["failed"]:
                self.wrong.append(f"reads: {away['failed']} allowances were not answered while the database was away")
        finally:
            server.stop()
            bare.stop()
            self.pg.start()

    def read(self, name, process, interrupt=None):
        self.settle()
        got = measured([self.bench, "reads", "--address", process.address, "--secret-file", self.work / "secret", "--clients", 64,
                        "--seconds", self.a.seconds], {"service": process.pid}, interrupt)
        n = max(got["answered_in_window"], 1)
        line = dict(case="read", which=name, clients=64, per_s=round(n / got["seconds"]), p50_ms=got["p50_ms"], p99_ms=got["p99_ms"],
                    service_us=round(got["cpu_s"]["service"] * 1e6 / n, 2), load_us=round(got["cpu_s"]["load"] * 1e6 / n, 2),
                    failed=got["failed"], foreign_cores=got["foreign_cores"])
        self.tell(**line)
        return line

    def start(self):
        """From start to ready on a database that is up to date, and the very first start, schema and demonstration made."""
        for kind, times in self.ready.items():
            if times:
                self.tell(case="start", database=kind, starts=len(times), median_ms=statistics.median(times), worst_ms=max(times))
        folder = self.work / "first"
        folder.mkdir()
        server = Purser(folder, self.purser, f"sqlite://{folder}/purser.db")
        server.stop()
        self.tell(case="start", database="sqlite", first_of_all=True, median_ms=server.ready_ms)

    # --- all of it

    def run(self):
        alone = {}
        needs_postgres = {"postgres", "history", "growth", "memory", "reads", "sqlite"} & set(self.a.parts)
        if needs_postgres or {"pages", "months", "usage"} & set(self.a.parts):
            self.pg = Postgres(self.work)
        if needs_postgres:
            data.load_postgres(self.pg, self.work, self.purser, "bench_rows", self.a.organizations, False)
            self.samples = data.samples(self.pg, self.work, self.purser, self.bench, "bench_rows")
        if "postgres" in self.a.parts:
            self.pg.sql("postgres", "CREATE DATABASE yardstick_rows")
            self.pg.psql("yardstick_rows", "-f", str(YARDSTICK / "schema.sql"), orgs=self.a.organizations, subs=self.a.organizations // 2)
            self.pg.sql("postgres", "CREATE DATABASE bench_alone TEMPLATE bench_rows")
            self.pg.psql("bench_alone", "-f", str(HERE / "sql" / "own_tables.sql"), samples=self.samples.read_text())
            before = self.postgres_alone("before")
            self.postgres()
            after = self.postgres_alone("after")
            alone.update({name: [before[name], after[name]] for name in before})
        if "sqlite" in self.a.parts:
            alone["sqlite"] = self.sqlite()
        if {"history", "memory", "reads"} & set(self.a.parts):
            data.load_postgres(self.pg, self.work, self.purser, "bench_linked", self.a.organizations, True)
            self.pg.psql("bench_linked", "-f", str(HERE / "sql" / "own_tables.sql"), samples=self.samples.read_text())
        for part in ("history", "growth", "memory", "reads", "start"):
            if part in self.a.parts:
                getattr(self, part)()
        if "pages" in self.a.parts:
            pages.run(self)
        if "months" in self.a.parts:
            months.run(self)
        if "usage" in self.a.parts:
            usage.run(self)
        return alone


def table(run, alone):
    mean = {k: statistics.mean(v) for k, v in alone.items()}
    print("\ndatabase alone, purchases a second (before, after):")
    for name, both in alone.items():
        drift = abs(both[0] - both[1]) / max(both)
        quiet = "" if drift <= 0.10 else f"   the machine was not quiet: they differ by {drift:.0%}"
        print(f"  {name:<12} {both[0]:>7,.0f} {both[1]:>7,.0f}{quiet}")
    print("\n~ others used more than 0.2 cores: a hint only. CPU in ms an accepted purchase.")
    print(f"{'case':<44}{'a second':>9}{'yardstick':>10}{'own':>6}{'p50':>7}{'p99':>7}{'service':>9}{'database':>9}{'load':>7}{'batch':>7}")
    for line in run.lines:
        if "per_s" not in line or "service_ms" not in line:
            continue
        sqlite = line["database"] == "sqlite"
        ratio = lambda name: f"{line['per_s'] / mean[name]:.2f}" if mean.get(name) else "-"
        name = f"{line['database']}, {line['case']}, {line['clients']}"
        mark = "~" if line["foreign_cores"] > DISTURBED else " "
        print(f"{name:<43}{mark}{line['per_s']:>9,}{ratio('sqlite') if sqlite else ratio('yardstick'):>10}"
              f"{'-' if sqlite else ratio('own tables'):>6}{line['p50_ms']:>7.1f}{line['p99_ms']:>7.1f}{line['service_ms']:>9.3f}"
              f"{line['database_ms'] if line['database_ms'] is not None else '-':>9}{line['load_ms']:>7.3f}{line['batch']:>7}")
    for line in run.lines:
        if line["case"] in ("reads", "memory", "start", "statements"):
            print(json.dumps(line))
    pages.table(run)
    for line in run.lines:
        if line["case"] in ("month", "usage"):
            print(json.dumps(line))
    for text in run.missed:
        print("short of its goal: " + text)
    print("\n" + ("every count, sum and replay agreed" if not run.wrong else "WRONG:\n  " + "\n  ".join(run.wrong)))


def main():
    a = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # by `timeout`: still removes what it made
    work = Path(tempfile.mkdtemp(prefix="purser-bench-"))
    work.chmod(0o755)
    run = None
    began = time.time()
    try:
        run = Run(a, work)
        began = time.time()
        alone = run.run()
        table(run, alone)
        print(f"took {time.time() - began:.0f} s")
        if a.out:
            Path(a.out).write_text("".join(json.dumps(line) + "\n" for line in run.lines))
    finally:
        end_all()
        if run and run.pg:
            run.pg.stop()
        shutil.rmtree(work, ignore_errors=True)
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
