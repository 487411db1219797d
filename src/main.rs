//! The `molecule-mcp` program: parse, run, print, exit.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use molecule_mcp::cli::options::{Command, Environment, Options, Outcome};
use molecule_mcp::cli::{
    audit, call, completions, config, doctor, healthcheck, inbox, init, install, logging, man, run, serve, service,
    signals, status, tools,
};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(usage) => {
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    logging::catch_panics();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // A workspace keeps a few busy at most; hundreds of them would keep hundreds of threads alive.
        .max_blocking_threads(64)
        // They take turns, so that after a rush a few jobs a second would keep all of them for good. Less than what comes
        // once a second would have a thread made for it each time.
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .expect("the system can start threads");
    let outcome = runtime.block_on(perform(options));
    // Not a plain drop: a thread may be parked in a read of stdin, and a drop would wait for it.
    runtime.shutdown_background();
    logging::last_words(&outcome.complaint);
    let _ = std::io::stdout().write_all(outcome.report.as_bytes());
    ExitCode::from(outcome.code)
}

async fn perform(options: Options) -> Outcome {
    let environment = Environment::with_config(options.config);
    let var = |name: &str| environment.get(name);
    let stop = CancellationToken::new();
    signals::stop_on_signals(&stop);
    signals::survive_file_size_limit();
    match options.command.unwrap_or(Command::Run) {
        Command::Run => run::perform(environment, stop).await,
        Command::Serve(args) => serve::perform(args, environment, stop).await,
        Command::Init(args) => {
            signals::exit_when_stopped(stop);
            match init::perform(args, var).await {
                Ok(report) => Outcome::fine(report),
                Err(failure) => Outcome::failed(failure.code, failure.text),
            }
        }
        Command::Status(args) => status::perform(args, stop, var).await,
        Command::Doctor(args) => doctor::perform(args, var).await,
        Command::Healthcheck(args) => healthcheck::perform(args, var),
        Command::Config(args) => config::perform(&args, &environment),
        Command::Inbox(args) => inbox::perform(args, stop, var).await,
        Command::Call(args) => call::perform(args, environment, stop).await,
        Command::Install(args) => install::install(args, var),
        Command::Uninstall(args) => install::uninstall(args, var),
        Command::Service(args) => service::perform(args, var, stop).await,
        Command::Audit(args) => audit::perform(args, var),
        Command::Completions(args) => Outcome::fine(completions::perform(&args)),
        Command::Man(args) => man::perform(&args),
        Command::Tools(args) => Outcome::fine(tools::perform(args)),
        #[cfg(feature = "local-platform")]
        Command::Platform(args) => molecule_mcp::cli::platform::perform(args, stop).await,
        #[cfg(feature = "local-platform")]
        Command::Demo(args) => molecule_mcp::cli::demo::perform(args, stop).await,
    }
}
