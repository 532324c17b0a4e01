use super::*;
use migrations::{Migrator, MigratorTrait};
use std::collections::BTreeMap;

async fn migrated(folder: &std::path::Path) -> Db {
    let options = crate::DbOptions {
        url: format!("sqlite://{}", folder.join("purser.db").display()),
        pool: 1,
        lanes: 1,
        patience: std::time::Duration::from_secs(5),
    };
    let db = Db::connect(&options).await.unwrap();
    Migrator::up(db.schema_connection(), None).await.unwrap();
    db
}

#[tokio::test]
async fn every_table_and_column_of_the_schema_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let db = migrated(folder.path()).await;
    let sql = "SELECT m.name AS tab, c.name AS col, c.type AS typ, c.pk AS pk FROM sqlite_master m \
               JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'";
    let mut columns: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut keys: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
    for row in db.query(sql, vec![]).await.unwrap() {
        let text = |column| row.try_get::<String>("", column).unwrap();
        columns.entry(text("tab")).or_default().insert(text("col"), text("typ"));
        let place: i64 = row.try_get("", "pk").unwrap();
        if place > 0 {
            keys.entry(text("tab")).or_default().insert(place, text("col"));
        }
    }
    for name in LEFT_BEHIND {
        assert!(columns.remove(*name).is_some(), "{name} is no table any more");
    }
    let stored = |kind| match kind {
        Kind::Uuid | Kind::Bytes => "BLOB",
        Kind::Int | Kind::Bool => "INTEGER",
        Kind::Text => "TEXT",
    };
    for table in TABLES {
        let schema = columns.remove(table.name).unwrap_or_else(|| panic!("{} is listed, but no table", table.name));
        let listed: BTreeMap<String, String> =
            table.columns.iter().map(|(name, kind)| ((*name).to_owned(), stored(*kind).to_owned())).collect();
        assert_eq!(listed, schema, "{}", table.name);
        let key: Vec<&String> = keys[table.name].values().collect();
        assert_eq!(key, table.key, "{}", table.name);
    }
    assert!(columns.is_empty(), "not in store::portable::TABLES, and so in no backup: {:?}", columns.keys());
}

#[tokio::test]
async fn rows_come_out_as_they_went_in_across_pages() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = (migrated(one.path()).await, migrated(other.path()).await);
    let table = TABLES.iter().find(|table| table.name == "idempotency").unwrap();
    let count = usize::try_from(PAGE).unwrap() * 2 + 1;
    let mut given: Vec<String> = (0..count)
        .map(|n| format!(r#"["usr_{:04}","/v1/quotes","ключ \"{n}\" \\ <b>\n","00ff",201,"{{}}",{}]"#, n / 2, i64::MAX))
        .collect();
    given.sort();
    let tx = one.begin_till().await.unwrap();
    let load = Load::begin(&tx).await.unwrap().unwrap();
    for lines in given.chunks(300) {
        load.rows(&table.shape(), lines).await.unwrap();
    }
    load.finish().await.unwrap();
    tx.commit().await.unwrap();

    let snapshot = one.begin_snapshot().await.unwrap();
    let tx = other.begin_till().await.unwrap();
    let load = Load::begin(&tx).await.unwrap().unwrap();
    let (mut pages, mut read) = (Pages::of(&snapshot, table), Vec::new());
    loop {
        let lines = pages.next().await.unwrap();
        if lines.is_empty() {
            break;
        }
        load.rows(&table.shape(), &lines).await.unwrap();
        read.extend(lines);
    }
    assert_eq!(read, given);
    tx.commit().await.unwrap();
    let tx = other.begin_till().await.unwrap();
    assert_eq!(Load::begin(&tx).await.unwrap().err(), Some("idempotency"), "what is not empty is not loaded into");
}

#[test]
fn a_file_cannot_name_what_is_no_table() {
    let column = || vec![("id".to_owned(), Kind::Uuid)];
    for table in ["", "users; DROP TABLE users", "Users", "sessions", "leases", "seaql_migrations", "a\"b"] {
        let shape = Shape { table: table.to_owned(), columns: column() };
        assert!(insert(DatabaseBackend::Sqlite, &shape).is_err(), "{table}");
    }
    for name in ["", "id) VALUES (1); --", "id, name"] {
        let shape = Shape { table: "users".to_owned(), columns: vec![(name.to_owned(), Kind::Text)] };
        assert!(insert(DatabaseBackend::Postgres, &shape).is_err(), "{name}");
    }
    let shape = Shape { table: "users".to_owned(), columns: vec![] };
    assert!(insert(DatabaseBackend::Postgres, &shape).is_err());
}

#[test]
fn statements_are_these() {
    let columns =
        [("id", Kind::Uuid), ("at", Kind::Int), ("hash", Kind::Bytes), ("yes", Kind::Bool), ("a", Kind::Text)];
    let columns = columns.map(|(name, kind)| (name.to_owned(), kind)).to_vec();
    let shape = Shape { table: "things".to_owned(), columns };
    assert_eq!(
        insert(DatabaseBackend::Sqlite, &shape).unwrap(),
        "INSERT INTO things (id, at, hash, yes, a) SELECT unhex(r.value->>0), r.value->>1, unhex(r.value->>2), \
         r.value->>3, r.value->>4 FROM json_each($1) AS r"
    );
    assert_eq!(
        insert(DatabaseBackend::Postgres, &shape).unwrap(),
        "INSERT INTO things (id, at, hash, yes, a) SELECT (r.value->>0)::uuid, (r.value->>1)::bigint, \
         decode(r.value->>2, 'hex'), (r.value->>3)::boolean, r.value->>4 FROM json_array_elements($1::json) AS r(value)"
    );
}
