import sys, json, tempfile, shutil, os, time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from harness import *
work = Path(tempfile.mkdtemp(prefix="purser-bench-")); os.chmod(work, 0o755)
purser = Path(sys.argv[1]); bench = Path(sys.argv[2]); secs=int(sys.argv[3]) if len(sys.argv)>3 else 6
N=100000
pg=None; srv=None
try:
    pg=Postgres(work)
    for d in ("yard_t","own_t"): pg.sql("postgres", f"CREATE DATABASE {d}")
    pg.psql("yard_t","-f",str(YARDSTICK/"schema.sql"),orgs=N,subs=N//2)
    command(work,purser,pg.url("own_t"),"migrate"); command(work,purser,pg.url("own_t"),"catalog","apply",str(ROOT/"config/catalog.toml"))
    pg.psql("own_t","-f",str(HERE/"sql/organizations.sql"),organizations=N,linked=0,at=int(time.time()*1e6))
    def yard():
        pg.fresh("yard","yard_t")
        pg.pgbench("yard",YARDSTICK/"purchase_function.sql",16,3,orgs=N)
        r={c:pg.pgbench("yard",YARDSTICK/"purchase_function.sql",c,5,orgs=N) for c in (8,16)}
        print("yard",r,flush=True); return max(x["per_s"] for x in r.values())
    y=[yard()]
    def case(clients, track=None, **kw):
        pg.fresh("own","own_t")
        if track:
            pg.sql("own","CREATE EXTENSION pg_stat_statements")
            pg.sql("own",f"ALTER DATABASE own SET pg_stat_statements.track='{track}'")
        s=Purser(work,purser,pg.url("own"))
        try:
            r0=resident_mib(s.pid)
            if track: pg.sql("own","SELECT pg_stat_statements_reset()")
            a=measured([bench,"load","--address",s.address,"--secret-file",work/"secret","--clients",clients,"--seconds",secs,"--organizations",N,*[x for k,v in kw.items() for x in ("--"+k,v)]],{"service":s.pid,"database":pg.pid})
            n=a["accepted_in_window"]
            print(clients,kw,"rate",n/a["seconds"],"p50",a["p50_ms"],"p99",a["p99_ms"],{k:round(v*1000/n,3) for k,v in a["cpu_s"].items()},"foreign",a["foreign_cores"],"rss",r0,resident_mib(s.pid),"ready",s.ready_ms,{k:a[k] for k in("accepted","first","replayed","refused","differing_replays")},str(a["unexpected"])[:900] if a["unexpected"] else "",flush=True)
            time.sleep(1)
            if track:
                print(pg.sql("own","SELECT calls, round(total_exec_time::numeric,1), rows, round((total_exec_time*1000/%d)::numeric,1) AS us_per_purchase, round((wal_bytes/%d)), left(regexp_replace(query,'\\s+',' ','g'),160) FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 25"%(a["accepted"],a["accepted"])))
            print("rows:",pg.sql("own","SELECT (SELECT count(*) FROM purchases),(SELECT count(*) FROM events),(SELECT count(*) FROM blocks),(SELECT count(*) FROM charges),(SELECT count(*) FROM transfers),(SELECT count(*) FROM unbilled),(SELECT sum(amount) FROM charges),(SELECT sum(next) FROM entitlements),(SELECT avg(length(answer)) FROM purchases),(SELECT avg(length(public)+length(coalesce(private,''))) FROM events),(SELECT avg(length(basis)) FROM charges)"), "gen", a["units"],a["charged"])
            return n/a["seconds"]
        finally: s.stop()
    rates=[(c,case(c)) for c in (64,64,256)]
    case(64,track="all")
    y.append(yard())
    m=sum(y)/2; print("yard",y,"ratio",[(c,round(r/m,2)) for c,r in rates])
    if "keep" in sys.argv: input()
finally:
    if pg: pg.stop()
    shutil.rmtree(work,ignore_errors=True)
