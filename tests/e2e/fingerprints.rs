//! Statements as frameworks write them, grouped by Howdah and by `pg_stat_statements`.

use std::collections::HashMap;

use howdah::sql::{Form, Lexer, Shape, Token};

use crate::support::cluster::{Cluster, Version};

const SCHEMA: &str = include_str!("../fingerprints/schema.sql");
const CORPUS: &str = include_str!("../fingerprints/corpus.sql");
/// Behind it are statements that the server does not look into.
const UTILITY: &str = "-- Statements that pg_stat_statements does not look into";

fn corpus() -> Vec<String> {
    let looked_into = CORPUS.split(UTILITY).next().unwrap();
    let lines = looked_into.lines().filter(|line| !line.is_empty());
    lines
        .filter(|line| !line.starts_with("--") || line.contains("\\n"))
        .map(|line| line.replace("\\n", "\n"))
        .collect()
}

/// What the server may tell statements of one fingerprint apart by, as `docs/statements.md` has it: the types of
/// constants, constant or which parameter, how many elements a list has.
fn constants(text: &str) -> Vec<String> {
    let kind = |token: Token<'_>| match token {
        Token::Number(digits) if digits.iter().all(u8::is_ascii_digit) => {
            (if digits.len() > 9 { "bigint" } else { "integer" }).to_owned()
        }
        Token::Number(_) => "numeric".to_owned(),
        Token::Text { form: Form::Bits, .. } => "bits".to_owned(),
        Token::Text { .. } => "string".to_owned(),
        Token::Parameter => "parameter".to_owned(),
        _ if token.is("null") => "null".to_owned(),
        _ if token.is("true") || token.is("false") => "boolean".to_owned(),
        _ => "other".to_owned(),
    };
    Lexer::new(text.as_bytes(), true).map(kind).filter(|kind| kind != "other").collect()
}

/// The statement as it can be run with all its parameters NULL: `pg_stat_statements` counts an EXECUTE as the statement
/// that was prepared.
fn run(client: &mut Client, text: &str) -> Result<(), String> {
    let parameters = (1..20).take_while(|n| text.contains(&format!("${n}"))).count();
    let text = text.trim_end_matches(';');
    if parameters == 0 {
        return client.batch(text);
    }
    client.batch(&format!("PREPARE q AS {text}"))?;
    let ran = client.batch(&format!("EXECUTE q({})", vec!["NULL"; parameters].join(", ")));
    client.batch("DEALLOCATE q")?;
    ran
}

struct Client {
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
}

impl Client {
    fn new(cluster: &Cluster) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let config = format!("host=127.0.0.1 port={} user=app_trust dbname=postgres", cluster.port);
            let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        });
        Self { runtime, client }
    }

    fn batch(&mut self, text: &str) -> Result<(), String> {
        let ran = self.runtime.block_on(self.client.batch_execute(text));
        ran.map_err(|error| format!("{text}: {}", error.as_db_error().map_or("", |error| error.message())))
    }
}

fn groups_of(version: Version) -> Vec<(i64, u64, String)> {
    let cluster = Cluster::start_with(
        version,
        "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track_utility = off\n",
    );
    cluster.query("postgres", "CREATE EXTENSION pg_stat_statements");
    cluster.query("postgres", "GRANT ALL ON SCHEMA public TO app_trust");
    let mut client = Client::new(&cluster);
    client.batch(SCHEMA).unwrap();
    let mut failed = Vec::new();
    let read = |text: String| {
        cluster.query("postgres", "SELECT pg_stat_statements_reset()");
        if let Err(error) = run(&mut client, &text) {
            failed.push(error);
            return None;
        }
        let rows = cluster
            .query("postgres", "SELECT queryid FROM pg_stat_statements WHERE userid = 'app_trust'::regrole");
        assert_eq!(rows.len(), 1, "{text}: {rows:?}");
        let id = rows[0][0].as_ref().unwrap().parse().unwrap();
        Some((id, Shape::new(text.as_bytes(), true).fingerprint, text))
    };
    let groups = corpus().into_iter().filter_map(read).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    groups
}

fn grouped_as_the_server_does(version: Version) {
    let groups = groups_of(version);
    assert!(groups.len() > 230, "{}", groups.len());
    // What the server counts as one has one fingerprint.
    let mut by_server: HashMap<i64, (u64, &str)> = HashMap::new();
    let mut wrong = Vec::new();
    for (id, print, text) in &groups {
        let (first, of) = *by_server.entry(*id).or_insert((*print, text));
        if first != *print {
            wrong.push(format!("the server has one group, Howdah two:\n  {of}\n  {text}"));
        }
    }
    // What has one fingerprint is one for the server, but for constants.
    let mut by_print: HashMap<(u64, Vec<String>), (i64, &str)> = HashMap::new();
    for (id, print, text) in &groups {
        let (first, of) = *by_print.entry((*print, constants(text))).or_insert((*id, text));
        if first != *id {
            wrong.push(format!("Howdah has one group, the server two:\n  {of}\n  {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}: {}", version.major(), wrong.join("\n"));
    let prints: std::collections::HashSet<u64> = groups.iter().map(|(_, print, _)| *print).collect();
    println!(
        "{}: {} statements, {} groups, {} fingerprints",
        version.major(),
        groups.len(),
        by_server.len(),
        prints.len()
    );
}

#[test]
fn postgres_15_groups_statements_alike() {
    grouped_as_the_server_does(Version::V15);
}

#[test]
fn postgres_18_groups_statements_alike() {
    grouped_as_the_server_does(Version::V18);
}
