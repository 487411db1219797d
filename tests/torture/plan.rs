//! What a run does: how long, with how many processes, at which speed, from which seed.

use std::time::Duration;

use clap::Parser;
use molecule_mcp::local_platform::Level;

/// Kills real daemons at the worst moments and checks that nothing was lost, shown again or sent twice.
#[derive(Clone, Debug, Parser)]
#[command(name = "torture")]
pub struct Plan {
    /// Repeats the choices of an earlier run; drawn and printed when left out.
    #[arg(long)]
    pub seed: Option<u64>,
    /// So many storms, each with the next seed and fresh folders, added up at the end. Journals that grow for ever would make
    /// one long storm a test of reading them at each start.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub storms: u64,
    /// How long a storm lasts; draining and checking come on top.
    #[arg(long, default_value_t = 0.75)]
    pub minutes: f64,
    /// Daemons of the first workspace, 1 to 16, on one state folder.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub processes: u64,
    /// Daemons of the second workspace, which delegates to the first and is delegated to.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub peers: u64,
    /// How much faster than in real life the daemons' intervals run.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub speed: u32,
    /// Messages a second to each workspace, as long as the agents keep up.
    #[arg(long, default_value_t = 12.0)]
    pub rate: f64,
    /// The senders rest while so many messages of a workspace are in its journal and not acknowledged.
    #[arg(long, default_value_t = 500)]
    pub backlog: u32,
    /// How much the agents say themselves: so many of their steps in a hundred are delegations, and they answer four times
    /// as many of the person's messages and six times as many of their peers'.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(0..=16))]
    pub talk: u64,
    /// Mean pause between two acts of violence, in milliseconds.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..))]
    pub pause: u64,
    /// Platform level, `b` or `c`; by the seed when left out.
    #[arg(long)]
    pub level: Option<char>,
    /// Seconds between two troubles with the disk, in the mean; 0: none.
    #[arg(long, default_value_t = 5.0)]
    pub disk: f64,
    /// Seconds between two jumps of the daemons' clocks, in the mean; 0: none.
    #[arg(long, default_value_t = 6.0)]
    pub clock: f64,
    /// State folders on file systems in memory, which can be full and where nothing waits for a disk. Needs the right to mount.
    #[arg(long)]
    pub memory: bool,
    /// Keep the state folders, for looking at afterwards.
    #[arg(long)]
    pub keep: bool,
    /// Show everything the daemons that ended badly wrote to stderr.
    #[arg(long)]
    pub verbose: bool,
    /// Only names the test; as with every test program.
    #[arg(long, hide = true)]
    pub list: bool,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    include_ignored: bool,
    #[arg(short, long, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    format: Option<String>,
    #[arg(long, hide = true)]
    color: Option<String>,
    #[arg(long, hide = true)]
    test_threads: Option<u32>,
    #[arg(long, hide = true)]
    skip: Vec<String>,
    /// Names of tests to run.
    #[arg(hide = true)]
    filters: Vec<String>,
}

/// The lease given to the daemons, in seconds before the speed is applied.
pub const LEASE_SECS: u64 = 120;

impl Plan {
    /// Whether the names on the command line leave this test out.
    pub fn is_filtered_out(&self) -> bool {
        let wanted = self.filters.is_empty() || self.filters.iter().any(|name| "torture".contains(name.as_str()));
        self.ignored || !wanted || self.skip.iter().any(|name| "torture".contains(name.as_str()))
    }

    pub fn level(&self, seed: u64) -> Level {
        match self.level {
            Some('c' | 'C') => Level::C,
            Some(_) => Level::B,
            None if seed.is_multiple_of(2) => Level::B,
            None => Level::C,
        }
    }

    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.minutes * 60.0)
    }

    /// A duration as the daemons experience it.
    pub fn scaled(&self, normal: Duration) -> Duration {
        normal / self.speed
    }

    pub fn lease(&self) -> Duration {
        self.scaled(Duration::from_secs(LEASE_SECS))
    }
}
