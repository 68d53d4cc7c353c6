//! The commands, and how each of them ends.
//!
//! Invariants
//! - Every way out is a [`Status`]; the error's text goes to standard error once.

pub(crate) mod args;
mod chat;
mod listen;
mod options;
mod send;
mod show;
mod status;

use args::{Args, Command};
use iris_client::session::Next;
use iris_client::{Driver, Event};
use iris_protocol::CloseCode;
use options::Common;
use show::Show;
pub(crate) use status::{Failure, Status};

/// Runs what was typed.
pub(crate) fn run(args: Args) -> Status {
    match dispatch(args) {
        Ok(status) => status,
        Err(failure) => {
            tracing::debug!(?failure, "failed");
            let status = failure.status();
            // Nothing can be done about a broken standard error.
            let _ =
                std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("iris-client: {failure}\n"));
            status
        }
    }
}

fn dispatch(args: Args) -> Result<Status, Failure> {
    let common = Common::check(args.common)?;
    match args.command {
        Command::Chat(typed) => chat::run(&common, &typed.to),
        Command::Send(typed) => send::run(&common, &options::Send::check(typed)?),
        Command::Listen(typed) => listen::run(&common, &typed),
    }
}

/// A driver for these options.
fn driver(common: &Common, stores: iris_client::Stores) -> Result<(Driver, Show), Failure> {
    let mut config = common.driver_config();
    config.stores = stores;
    let driver = Driver::new(config)?;
    let show = Show::new(common.json, driver.claims().user.clone());
    for entry in driver.session().unknown() {
        show.unknown(entry)?;
    }
    Ok((driver, show))
}

/// What a close by the server means for a command that cannot go on without the user.
fn after_close(event: &Event, next: Next) -> Option<Status> {
    let Event::Closed(closed) = event else {
        return None;
    };
    match next {
        Next::Reconnect => None,
        Next::FreshToken => Some(Status::TokenRefused),
        Next::Stop if closed.code == Some(CloseCode::Conflict) => Some(Status::Conflict),
        Next::Stop => Some(Status::ClosedForGood),
    }
}
