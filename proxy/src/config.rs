//! The command line, parsed and checked once.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Where `dataman up` and `dataman proxy` listen unless told otherwise: beside PostgreSQL's own port.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:5433";

/// Where `dataman agent` listens unless told otherwise.
pub const AGENT_LISTEN_DEFAULT: &str = "127.0.0.1:7433";

/// How many shards a new one-machine cluster gets.
pub const SHARDS_DEFAULT: u32 = 4;

const EXAMPLES: &str = "\
Examples:
  dataman                                   start everything on this machine, with SQLite
                                            in ./dataman-data and four shards
  dataman up --listen 0.0.0.0:5433          let other machines in (roles need passwords then)
  dataman up --cluster cluster.toml         use the databases that a file describes
  psql \"host=127.0.0.1 port=5433 user=dataman dbname=dataman\"

A cluster file for two PostgreSQL servers:
  [[node]]
  name = \"a\"
  [[node.datasource]]
  name = \"main\"
  engine = \"postgres\"
  url = \"postgres://app:${PASSWORD}@10.0.0.1/app\"
  [[node]]
  name = \"b\"
  [[node.datasource]]
  name = \"main\"
  engine = \"postgres\"
  url = \"postgres://app:${PASSWORD}@10.0.0.2/app\"
  [[datastore]]
  name = \"hot\"
  [[datastore.shard]]
  primary = \"a/main\"
  [[datastore.shard]]
  primary = \"b/main\"
  [[database]]
  name = \"shop\"
  datastore = \"hot\"
  shard_keys = [\"tenant_id\"]";

const CTL_EXAMPLES: &str = "\
Examples:
  dataman ctl --metadata file:/var/lib/dataman apply cluster.toml
  dataman ctl --metadata file:/var/lib/dataman status
  dataman ctl check cluster.toml
  dataman ctl --metadata file:/var/lib/dataman inspect shop.public.orders
  dataman ctl --metadata file:/var/lib/dataman backup metadata.json
  dataman ctl --metadata etcd://10.0.0.1,10.0.0.2,10.0.0.3 restore metadata.json

A metadata URL for etcd: etcd://USER:PASSWORD@HOST:PORT,HOST:PORT?cluster=NAME&ca=FILE
  cluster=NAME              which cluster in this etcd [default: main]
  ca=FILE                   the certificates to trust, in PEM: turns TLS on
  cert=FILE&key=FILE        a certificate of our own, in PEM, where etcd asks for one
  password_file=FILE        the password, instead of in the URL
  ${NAME} is replaced by the environment's variable";

/// One PostgreSQL endpoint in front of many databases.
///
/// Clients (psql, any PostgreSQL driver) connect to dataman as to a PostgreSQL server; their rows are spread over the shards
/// of a cluster. Without a command, `up` is meant.
#[derive(Debug, Parser)]
#[command(name = "dataman", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Config {
    /// What to run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What `up` takes.
    #[command(flatten)]
    pub up: Up,
    /// What to log.
    #[command(flatten)]
    pub log: Log,
}

/// Logs.
#[derive(Debug, Args)]
pub struct Log {
    /// What to log, to standard error: a level (error, warn, info, debug, trace), or levels by part, such as
    /// "warn,dataman_proxy::session=debug"
    #[arg(long, value_name = "FILTER", env = "DATAMAN_LOG", default_value = "warn", global = true)]
    pub log: String,
    /// Log as one JSON object a line
    #[arg(long, global = true)]
    pub log_json: bool,
}

/// The parts that the program runs as.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs everything in one process: proxy, agents and metadata
    #[command(after_help = EXAMPLES)]
    Up(Up),
    /// Runs a proxy alone: what clients connect to, in a cluster of several machines
    Proxy(Proxy),
    /// Runs a node agent alone: beside the databases of one node
    Agent(Agent),
    /// Looks at a cluster and changes it
    #[command(after_help = CTL_EXAMPLES)]
    Ctl(Ctl),
}

/// `dataman up`.
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// Where to listen for clients
    #[arg(long, value_name = "ADDR", default_value = LISTEN_DEFAULT)]
    pub listen: SocketAddr,
    /// Where data and metadata are kept
    #[arg(long, value_name = "DIR", default_value = "dataman-data")]
    pub data: PathBuf,
    /// How many shards a new cluster gets [default: 4]
    #[arg(long, value_name = "N", conflicts_with = "cluster", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub shards: Option<u32>,
    /// The cluster to run, instead of SQLite on this machine
    #[arg(long, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// What clients are served with
    #[command(flatten)]
    pub clients: Clients,
    /// How datasources are used
    #[command(flatten)]
    pub datasources: Datasources,
}

/// What concerns clients.
#[derive(Debug, Clone, Args)]
pub struct Clients {
    /// How many clients at a time
    #[arg(long, value_name = "N", default_value_t = crate::wire::listen::CLIENTS_MAX)]
    pub clients_max: usize,
    /// How many threads serve clients [default: one for each core]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// How much memory a statement may use above the shards, for sessions that set no dataman.statement_mem of their own
    #[arg(long, value_name = "SIZE", default_value = "256MB")]
    pub statement_mem: String,
    /// How much memory all statements together may use above the shards [default: half of the machine's]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// Where statements put rows aside that their memory does not hold [default: a folder in TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub temp_dir: Option<PathBuf>,
    /// How many seconds statements may go on when the program is told to stop (SIGTERM); those left then are cancelled
    #[arg(long, value_name = "SECONDS", default_value_t = crate::wire::listen::DRAIN_TIME.as_secs())]
    pub drain_time: u64,
    /// The certificate chain for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Where Prometheus reads metrics, as http://ADDR/metrics; they are for everybody who reaches it
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
}

/// What concerns datasources.
#[derive(Debug, Clone, Args)]
pub struct Datasources {
    /// How many connections to each datasource at a time; PostgreSQL takes 100 by default, others' included
    #[arg(long, value_name = "N", default_value_t = dataman_node_protocol::pool::POOL_CONNECTIONS_MAX, value_parser = at_least_one)]
    pub datasource_connections_max: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it must be a number".to_owned()),
    }
}

/// `dataman proxy`.
#[derive(Debug, Args)]
pub struct Proxy {
    /// Where the cluster's metadata is: file:PATH or etcd://HOST:PORT,HOST:PORT
    #[arg(long, value_name = "URL")]
    pub metadata: String,
    /// Where to listen for clients
    #[arg(long, value_name = "ADDR", default_value = LISTEN_DEFAULT)]
    pub listen: SocketAddr,
    /// What clients are served with
    #[command(flatten)]
    pub clients: Clients,
    /// How datasources are used
    #[command(flatten)]
    pub datasources: Datasources,
}

/// `dataman agent`.
#[derive(Debug, Args)]
pub struct Agent {
    /// Where the cluster's metadata is: file:PATH or etcd://HOST:PORT,HOST:PORT
    #[arg(long, value_name = "URL")]
    pub metadata: String,
    /// The node whose databases to front, by its name in the cluster file
    #[arg(long, value_name = "NAME")]
    pub node: String,
    /// Where to listen for proxies
    #[arg(long, value_name = "ADDR", default_value = AGENT_LISTEN_DEFAULT)]
    pub listen: SocketAddr,
    /// The certificate chain for TLS with proxies, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Where Prometheus reads metrics, as http://ADDR/metrics; they are for everybody who reaches it
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
    /// How many seconds statements may go on when the agent is told to stop (SIGTERM)
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub drain_time: u64,
    /// How many threads serve proxies [default: one for each two cores]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,
    /// How datasources are used
    #[command(flatten)]
    pub datasources: Datasources,
}

/// `dataman ctl`.
#[derive(Debug, Args)]
pub struct Ctl {
    /// Where the cluster's metadata is: file:PATH or etcd://HOST:PORT,HOST:PORT
    #[arg(long, value_name = "URL", default_value = "file:dataman-data")]
    pub metadata: String,
    /// What to do.
    #[command(subcommand)]
    pub action: CtlAction,
}

/// What `dataman ctl` does.
#[derive(Debug, Subcommand)]
pub enum CtlAction {
    /// Makes the cluster as a file says; says what changed
    Apply {
        /// The cluster file
        file: PathBuf,
    },
    /// Shows nodes, shards and databases, and whether they can be reached
    Status,
    /// Checks the metadata, or a cluster file without applying it
    Check {
        /// The cluster file
        file: Option<PathBuf>,
    },
    /// Writes all metadata to a file: a way back, and the way from one store to another
    ///
    /// The file holds what the store holds but for leases: passwords' verifiers and databases' URLs too, so that only its
    /// owner may read it. Rows are not in it: back up the databases for these.
    Backup {
        /// The file to write; it must not exist yet
        file: PathBuf,
    },
    /// Replaces all metadata by what a backup holds
    Restore {
        /// The backup
        file: PathBuf,
        /// Replace metadata that is there
        #[arg(long)]
        replace: bool,
    },
    /// Prints metadata as JSON: all of it, or what a name means: a database, DATABASE.SCHEMA.TABLE. Of NODE/DATASOURCE[.SCHEMA], prints the
    /// tables that the database holds and how IMPORT FOREIGN SCHEMA takes them over
    Inspect {
        /// What to print
        name: Option<String>,
    },
}

impl Config {
    /// What to run.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Up(self.up))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn check(arguments: &[&str], expected: Result<&str, &str>) {
        let all = std::iter::once("dataman").chain(arguments.iter().copied());
        match (Config::try_parse_from(all), expected) {
            (Ok(config), Ok(expected)) => {
                let command = format!("{:?}", config.into_command());
                assert!(command.contains(expected), "{arguments:?}: {command}");
            }
            (Err(error), Err(expected)) => {
                assert!(error.to_string().contains(expected), "{arguments:?}: {error}");
            }
            (outcome, _) => panic!("{arguments:?}: {outcome:?}"),
        }
    }

    #[test]
    fn the_command_line_is_what_the_design_says() {
        Config::command().debug_assert();
        check(&[], Ok("Up(Up { listen: 127.0.0.1:5433"));
        check(&["--shards", "8"], Ok("shards: Some(8)"));
        check(&["up", "--data", "d"], Ok("data: \"d\""));
        check(&["up", "--shards", "0"], Err("0 is not in 1..=1024"));
        check(&["up", "--shards", "2", "--cluster", "c.toml"], Err("cannot be used with"));
        check(&["proxy"], Err("--metadata <URL>"));
        check(&["agent", "--metadata", "file:m", "--node", "a"], Ok("node: \"a\""));
        check(&["ctl", "apply", "c.toml"], Ok("Apply { file: \"c.toml\" }"));
        check(&["ctl", "inspect"], Ok("Inspect { name: None }"));
        check(&["ctl", "backup", "f"], Ok("Backup { file: \"f\" }"));
        check(&["ctl", "restore", "f"], Ok("Restore { file: \"f\", replace: false }"));
        check(&["up", "--tls-cert", "c"], Err("--tls-key <FILE>"));
    }
}
