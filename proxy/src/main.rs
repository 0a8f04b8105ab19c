//! The program: parses the command line, starts what it asks for, waits for a signal, drains.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use dataman_proxy::config::{Command, Config, Log};
use tracing_subscriber::EnvFilter;

mod program;

fn main() -> ExitCode {
    let config = Config::parse();
    let outcome = start_log(&config.log).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| program::Failure::new(format!("cannot start: {error}")))?;
        runtime.block_on(async {
            match config.into_command() {
                Command::Up(up) => program::up::run(up).await,
                Command::Proxy(proxy) => program::proxy::run(proxy).await,
                Command::Agent(agent) => program::agent::run(agent).await,
                Command::Ctl(ctl) => program::ctl::run(ctl).await,
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            program::say_error(&format!("dataman: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn start_log(log: &Log) -> Result<(), program::Failure> {
    let filter = EnvFilter::try_new(&log.log).map_err(|error| {
        program::Failure::new(format!("--log {}: {error}", log.log))
            .with_remedy("Write a level (error, warn, info, debug, trace) or target=level pairs.")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if log.log_json {
        builder.json().init()
    } else {
        builder.init()
    }
    Ok(())
}
