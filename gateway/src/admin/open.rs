//! Makes the port from the configuration.

use super::access::Credential;
use super::board::{Board, BoardParts};
use super::tokens::Issuing;
use crate::bind::listeners;
use crate::config::Config;
use crate::control::Control;
use crate::demo::Demo;
use crate::exit::ExitStatus;
use crate::logging::LogControl;
use crate::serve::{ServeError, cannot_listen};
use crate::token::issuer::Issuer;
use std::net::SocketAddr;
use std::sync::Arc;

/// Connections that the kernel holds until they are accepted.
const BACKLOG: i32 = 64;

/// Serves the port, if there is to be one; it says that the process starts while it does.
///
/// # Errors
/// [`ServeError`]: a file that the configuration names is wrong, or the address is taken.
pub(crate) fn open(
    config: &Arc<Config>,
    control: &Arc<Control>,
    log: Option<LogControl>,
    demo: Option<Arc<Demo>>,
) -> Result<(Arc<Board>, Option<SocketAddr>), ServeError> {
    let wrong = |error: String| ServeError::new(ExitStatus::Config, format!("[admin]: {error}"));
    let credential = Credential::of_setting(&config.admin.credential).map_err(wrong)?;
    let issuing = match Credential::of_setting(&config.admin.issuer_credential).map_err(wrong)? {
        Some(credential) => {
            let issuer = Issuer::load(&config.admin.issuer_key).map_err(|error| wrong(error.to_string()))?;
            Some(Issuing { issuer, credential })
        }
        None => None,
    };
    let (config_shown, control) = (Arc::clone(config), Arc::clone(control));
    let parts = BoardParts { config: config_shown, control, log, credential, issuing, demo };
    let board = Arc::new(Board::new(parts));
    let Some(address) = config.admin.listen.0 else { return Ok((board, None)) };
    let (bound, sockets) = listeners(address, 1, BACKLOG).map_err(|error| cannot_listen(address, &error))?;
    for socket in sockets {
        super::start(socket, Arc::clone(&board))
            .map_err(|error| ServeError::new(ExitStatus::Failed, format!("the admin port: {error}")))?;
    }
    Ok((board, Some(bound)))
}
