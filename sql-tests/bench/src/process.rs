//! What Linux says about a process: the CPU time it has used, the memory it holds.

use std::collections::BTreeMap;
use std::time::Duration;

/// How many ticks a second `/proc/PID/stat` counts in: Linux shows 100 to programs, whatever its own clock does.
const TICKS_PER_SECOND: u32 = 100;

/// What part a process plays in answering a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Stands between client and database: PgBouncer, or dataman's proxy (with its agents when they are in the process).
    Proxy,
    /// dataman's agents, when they are processes of their own.
    Agent,
    /// PostgreSQL with all its backends.
    Postgres,
    /// The load generator.
    Client,
}

impl Role {
    /// All of them, in the order of the table's columns.
    pub(crate) const ALL: [Self; 4] = [Self::Proxy, Self::Agent, Self::Postgres, Self::Client];

    /// What it is called in tables and files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Agent => "agent",
            Self::Postgres => "postgres",
            Self::Client => "client",
        }
    }
}

/// The processes whose CPU time is counted for one target.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processes(Vec<(Role, u32)>);

impl Processes {
    /// Adds a process by its number.
    #[must_use]
    pub(crate) fn with(mut self, role: Role, process: u32) -> Self {
        self.0.push((role, process));
        self
    }

    /// The CPU time, user and system, that each role has used so far: of all threads, of all living children, and of the
    /// children that have ended. The load generator is this process with the programs that it started.
    pub(crate) fn cpu(&self) -> BTreeMap<Role, Duration> {
        let all = Table::read();
        let mut sums = BTreeMap::new();
        let own = std::iter::once((Role::Client, std::process::id()));
        for (role, process) in self.0.iter().copied().chain(own) {
            // Servers are this process's descendants too: of the client, only itself and what it waited for counts.
            let living_children = role != Role::Client;
            *sums.entry(role).or_default() += all.cpu(process, living_children);
        }
        sums
    }

    /// The memory of a role's processes and their children in bytes: proportional set size, in which a page that several
    /// processes share counts once.
    pub(crate) fn memory(&self, role: Role) -> u64 {
        let all = Table::read();
        let members = self.0.iter().filter(|(of, _)| *of == role);
        members.flat_map(|(_, process)| all.with_children(*process)).map(memory_of).sum()
    }

    /// The roles there are, besides the client.
    pub(crate) fn roles(&self) -> Vec<Role> {
        let mut roles: Vec<Role> = self.0.iter().map(|(role, _)| *role).collect();
        roles.sort();
        roles.dedup();
        roles
    }
}

/// How long all cores of the machine have been busy so far, whatever with.
pub(crate) fn machine_busy() -> Duration {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let fields = line.split_ascii_whitespace().skip(1).map(|field| field.parse().unwrap_or(0));
    // User, nice, system; then idle and waiting, which do not count; then interrupts, and what other machines took.
    let busy = fields.enumerate().filter(|(place, _)| matches!(place, 0..=2 | 5..=7));
    let ticks: u64 = busy.map(|(_, ticks): (usize, u64)| ticks).sum();
    Duration::from_millis(ticks * 1000 / u64::from(TICKS_PER_SECOND))
}

/// All processes of the machine at one moment.
struct Table(BTreeMap<u32, Line>);

/// One process.
struct Line {
    parent: u32,
    own: Duration,
    reaped: Duration,
}

impl Table {
    fn read() -> Self {
        let numbers = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let lines = numbers.filter_map(|process: u32| {
            // A process may end while the folder is read.
            let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            Some((process, Line::parse(&text)?))
        });
        Self(lines.collect())
    }

    fn with_children(&self, process: u32) -> Vec<u32> {
        let mut found = vec![process];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            let children = self.0.iter().filter(|(_, line)| line.parent == parent);
            found.extend(children.map(|(process, _)| *process));
            next += 1;
        }
        found
    }

    fn cpu(&self, process: u32, living_children: bool) -> Duration {
        let processes = if living_children { self.with_children(process) } else { vec![process] };
        let lines = processes.iter().filter_map(|process| self.0.get(process));
        lines.map(|line| line.own + line.reaped).sum()
    }
}

impl Line {
    /// Reads a line of `/proc/PID/stat`. The program's name stands in parentheses and may itself hold some.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = |field: usize| -> Option<Duration> {
            let ticks: u64 = fields.get(field)?.parse().ok()?;
            Some(Duration::from_millis(ticks * 1000 / u64::from(TICKS_PER_SECOND)))
        };
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            reaped: ticks(13)? + ticks(14)?,
        })
    }
}

fn memory_of(process: u32) -> u64 {
    let field = |file: &str, name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").trim().parse().ok()
    };
    field("smaps_rollup", "Pss:").or_else(|| field("status", "VmRSS:")).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_program_is_called() {
        let text = "7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 7 3 20 0 1 0 9 1 2";
        let line = Line::parse(text).expect("is a line");
        assert_eq!(line.parent, 3);
        assert_eq!(line.own, Duration::from_secs(2));
        assert_eq!(line.reaped, Duration::from_millis(100));
        assert!(Line::parse("7 (a").is_none());
    }

    #[test]
    fn own_memory_is_seen() {
        let own = Processes::default().with(Role::Proxy, std::process::id());
        assert!(own.memory(Role::Proxy) > 100_000);
    }
}
