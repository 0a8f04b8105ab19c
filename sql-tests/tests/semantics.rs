//! dataman-pg against a PostgreSQL server.

use dataman_sql_tests::engine::Postgres;

/// The catalog in the repository is what `generate-catalog` would write now.
#[tokio::test]
async fn the_catalog_is_the_servers() {
    let session = Postgres::shared().connect("postgres").await.expect("the server answers");
    let sql = include_str!("../../node-agent/pg/src/catalog/generate.sql");
    let rows = session.query(sql, &[]).await.expect("the catalog can be read");
    let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let stored = include_str!("../../node-agent/pg/src/catalog/tables.tsv");
    let difference = stored.lines().zip(&lines).find(|(stored, line)| stored != *line);
    assert_eq!(difference, None);
    assert_eq!(stored.lines().count(), lines.len());
}
