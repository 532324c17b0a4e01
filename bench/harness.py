"""Processes of the performance harness: what they cost, a PostgreSQL of its own, the server, the load.

Everything lives in one temporary folder and on free loopback ports, and is gone at the end.
"""
import json, os, re, shutil, signal, socket, subprocess, tempfile, threading, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
YARDSTICK = ROOT.parent / "shared" / "bench" / "sql"
TICK = os.sysconf("SC_CLK_TCK")
# As the yardstick's own runner sets it, so that both speak of the same PostgreSQL.
SETTINGS = """
listen_addresses='127.0.0.1'
unix_socket_directories=''
max_connections=400
shared_buffers=1GB
effective_cache_size=12GB
max_wal_size=4GB
checkpoint_timeout=15min
random_page_cost=1.1
fsync=on
synchronous_commit=on
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def busy():
    """CPU seconds of the whole machine that were not idle, stolen ones included."""
    v = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return (sum(v) - v[3] - v[4]) / TICK


def tree_cpu(root):
    """CPU seconds of a process and all its descendants, ended ones included."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = open(f"/proc/{entry}/stat").read()
            except OSError:
                continue
            f = text[text.rindex(")") + 2:].split()
            found[int(entry)] = (int(f[1]), sum(map(int, f[11:15])) / TICK)
    keep = {root}
    while True:
        new = {p for p, (parent, _) in found.items() if parent in keep} - keep
        if not new:
            return sum(found[p][1] for p in keep if p in found)
        keep |= new


def resident_mib(pid):
    m = re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())
    return round(int(m.group(1)) / 1024, 1)


class Postgres:
    """A private cluster; as root it runs as `postgres`, for PostgreSQL refuses root."""

    def __init__(self, work):
        self.bin = newest_postgres()
        self.data, self.port = work / "pg", free_port()
        self.data.mkdir()
        self.root = os.geteuid() == 0
        if self.root:
            shutil.chown(self.data, "postgres", "postgres")
        self.run("initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C")
        self.statements = (Path(self.tool("pg_config", "--sharedir")) / "extension" / "pg_stat_statements.control").exists()
        with open(self.data / "postgresql.conf", "a") as f:
            f.write(f"port={self.port}\n{SETTINGS}")
            if self.statements:
                f.write("shared_preload_libraries='pg_stat_statements'\npg_stat_statements.track=none\n")
        self.start()

    def start(self):
        self.run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.data / "log"), "start")
        self.pid = int(open(self.data / "postmaster.pid").readline())

    def stop(self):
        self.run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop", check=False)

    def tool(self, name, *args):
        return subprocess.run([f"{self.bin}/{name}", *args], capture_output=True, text=True, check=True).stdout.strip()

    def run(self, name, *args, check=True):
        prefix = ["runuser", "-u", "postgres", "--"] if self.root else []
        # pg_ctl's child keeps what it is given open: no pipes.
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run([*prefix, f"{self.bin}/{name}", *args], stdout=out, stderr=out, cwd="/")
            out.seek(0)
            if check and done.returncode:
                raise SystemExit(f"{name}: {out.read()}")

    def psql(self, db, *args, **variables):
        named = [x for k, v in variables.items() for x in ("-v", f"{k}={v}")]
        done = subprocess.run([f"{self.bin}/psql", "-qAtX", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", db,
                               *named, *args], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"psql {db}: {done.stderr}")
        return done.stdout.strip()

    def sql(self, db, text):
        return self.psql(db, "-v", "ON_ERROR_STOP=1", "-c", text)

    def numbers(self, db, text):
        return [int(x) if x else 0 for x in self.sql(db, text).split("|")]

    def fresh(self, db, template):
        """A copy of a database, with the checkpoint's work done beforehand."""
        self.sql("postgres", f"DROP DATABASE IF EXISTS {db} WITH (FORCE)")
        self.sql("postgres", "CHECKPOINT")
        self.sql("postgres", f"CREATE DATABASE {db} TEMPLATE {template}")

    def url(self, db):
        return f"postgres://postgres@127.0.0.1:{self.port}/{db}"

    def pgbench(self, db, script, clients, seconds, **variables):
        """Transactions a second, and the database's CPU milliseconds for each."""
        named = [x for k, v in variables.items() for x in ("-D", f"{k}={v}")]
        before, cpu, began = busy(), tree_cpu(self.pid), time.time()
        done = subprocess.run([f"{self.bin}/pgbench", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-n", "-M", "prepared",
                               "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds), *named, "-f", str(script), db],
                              capture_output=True, text=True)
        took = time.time() - began
        time.sleep(0.2)  # its backends are still ending, and what they took is seen twice or never until they have
        own = tree_cpu(self.pid) - cpu
        rate = re.search(r"tps = ([\d.]+)", done.stdout)
        if not rate or done.returncode:
            raise SystemExit(f"pgbench: {done.stderr[-600:]}{done.stdout[-300:]}")
        count = int(re.search(r"actually processed: (\d+)", done.stdout).group(1))
        return {"per_s": round(float(rate.group(1))), "database_ms": round(own * 1000 / max(count, 1), 3),
                "latency_ms": float(re.search(r"latency average = ([\d.]+)", done.stdout).group(1)),
                "cores": round((busy() - before) / took, 2)}


def newest_postgres():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[4]))
    if found:
        return str(found[-1].parent)
    on_path = shutil.which("initdb")
    if not on_path:
        raise SystemExit("bench/run.py needs PostgreSQL's server programs (Debian: postgresql)")
    return str(Path(on_path).parent)


STARTED = []  # programs to be ended whatever happens


def end_all():
    for child in STARTED:
        if child.poll() is None:
            child.kill()
            child.wait()


class Process:
    """A program that says `listening on http://ADDRESS` when it is ready."""

    def __init__(self, command, work, name, env=None):
        self.log = work / f"{name}.log"
        began = time.time()
        self.child = subprocess.Popen(command, cwd=work, env=env, stdout=subprocess.PIPE, stderr=open(self.log, "w"), text=True)
        STARTED.append(self.child)
        for line in self.child.stdout:
            if "listening on http://" in line:
                self.ready_ms = round((time.time() - began) * 1000)
                self.address = line.strip().rsplit("/", 1)[1]
                break
        else:
            raise SystemExit(f"{command[0]} did not start: {self.log.read_text()[-800:]}")
        threading.Thread(target=self.child.stdout.read, daemon=True).start()
        self.pid = self.child.pid

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(40)
            except subprocess.TimeoutExpired:
                self.child.kill()
        return self.child.returncode


class Purser(Process):
    """The server in release."""

    def __init__(self, work, binary, url, *arguments, **settings):
        env = dict(os.environ, PURSER__DATABASE__URL=url, PURSER__SERVER__PORT="0",
                   PURSER__SERVER__SECRET_FILE=str(work / "secret"), **settings)
        super().__init__([str(binary), "serve", *arguments], work, "purser", env)


def command(work, binary, url, *arguments):
    env = dict(os.environ, PURSER__DATABASE__URL=url, PURSER__SERVER__SECRET_FILE=str(work / "secret"))
    done = subprocess.run([str(binary), *arguments], cwd=work, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"purser {' '.join(arguments)}: {done.stderr}{done.stdout}")
    return done.stdout


def measured(load, pids, interrupt=None):
    """Runs a load and answers what it says, with the CPU of each named process tree between its `begin` and `end`."""
    child = subprocess.Popen([str(x) for x in load], stdout=subprocess.PIPE, text=True)
    STARTED.append(child)
    pids = dict(pids, load=child.pid)
    marks = []
    answer = None
    for line in child.stdout:
        if line.strip() in ("begin", "end"):
            marks.append((time.time(), busy(), {k: tree_cpu(p) for k, p in pids.items()}))
            if interrupt and line.strip() == "begin":
                threading.Thread(target=interrupt, daemon=True).start()
        else:
            answer = json.loads(line)
    if child.wait() or answer is None or len(marks) != 2:
        raise SystemExit("the load broke")
    (t0, b0, c0), (t1, b1, c1) = marks
    cpu = {k: c1[k] - c0[k] for k in pids}
    answer["cpu_s"] = cpu
    answer["foreign_cores"] = round(max(0.0, (b1 - b0) - sum(cpu.values())) / (t1 - t0), 2)
    return answer
