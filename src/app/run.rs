//! `outrigger run`: start, signals, end.

use std::path::Path;
use std::process::ExitCode;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ending::Manner;
use super::{App, Notifier, Settings, Sockets, StartError};
use crate::cli::{LogFormat, RunArgs};
use crate::policy::store::ApplyError;
use crate::telemetry::events::{self, Event};

/// Runs until SIGTERM, SIGINT or the quit endpoint has been obeyed. Exit code 0 after an orderly end, 1 if requests were cut or the
/// process cannot start, 2 for a bad policy.
pub fn run(args: RunArgs) -> ExitCode {
    let sockets = Sockets::from_environment();
    let format = match args.log_format {
        LogFormat::Json => events::LogFormat::Json,
        LogFormat::Text => events::LogFormat::Text,
    };
    if let Err(error) = events::init(format) {
        eprintln!("outrigger: {error}");
        return ExitCode::from(2);
    }
    let notifier = Notifier::from_environment();
    let settings = Settings {
        policy: args.policy,
        workers: usize::from(args.workers),
        state_dir: args.state_dir.or_else(state_directory),
        admin_listen: args.admin_listen,
        metrics_listen: args.metrics_listen,
        access_log: true,
        quit_endpoint: args.quit_endpoint,
        signals: true,
        sockets,
        notifier,
    };
    let app = match App::start(settings) {
        Ok(app) => app,
        Err(StartError::Policy(ApplyError::Invalid(findings))) => {
            eprintln!("{findings}");
            return ExitCode::from(2);
        }
        Err(StartError::Policy(ApplyError::NotInstalled(text))) => {
            // An address, or else a store or a certificate, whose sentence has its own next step.
            let advice = if text.starts_with("cannot listen on") {
                ". Another outrigger may be running; change `listen` in the policy"
            } else {
                ""
            };
            eprintln!("outrigger: {text}{advice}");
            return ExitCode::FAILURE;
        }
        Err(StartError::Policy(error)) => {
            eprintln!("outrigger: {error}");
            return ExitCode::from(2);
        }
        Err(StartError::Process(text)) => {
            eprintln!("outrigger: {text}");
            return ExitCode::FAILURE;
        }
    };
    announce(&app);
    obey(app)
}

/// systemd's `StateDirectory=`.
fn state_directory() -> Option<std::path::PathBuf> {
    let first = std::env::var("STATE_DIRECTORY").ok()?.split(':').next()?.to_owned();
    Some(Path::new(&first).to_owned())
}

fn announce(app: &App) {
    let applied = app.store().snapshot();
    Event::Started {
        version: env!("CARGO_PKG_VERSION"),
        policy_revision: applied.revision,
        policy_hash: &applied.policy.hash,
    }
    .emit();
    app.notifier.ready(&format!("policy revision {} is in force", applied.revision));
}

/// What we obey, from the moment of registration on.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// # Errors
    /// [`StartError::Process`].
    pub(super) fn register(control: &Runtime) -> Result<Signals, StartError> {
        let _inside = control.enter();
        let of =
            |kind| signal(kind).map_err(|error| StartError::Process(format!("signals cannot be received: {error}")));
        Ok(Signals {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hangup: of(SignalKind::hangup())?,
        })
    }
}

fn obey(mut app: App) -> ExitCode {
    // Registered at the start, as asked for in `run`.
    let Some(Signals { mut terminate, mut interrupt, mut hangup }) = app.signals.take() else {
        return ExitCode::FAILURE;
    };
    let control = app.control.handle().clone();
    let manner = control.block_on(async {
        loop {
            tokio::select! {
                _ = terminate.recv() => return Manner::Patient,
                _ = interrupt.recv() => return Manner::Prompt,
                () = app.core.quit.notified() => return Manner::Prompt,
                _ = hangup.recv() => app.reload(),
            }
        }
    });
    let clean = app.end(manner, second(terminate, interrupt));
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Once more: end now.
async fn second(mut terminate: Signal, mut interrupt: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
