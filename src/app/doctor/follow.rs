//! Whether what is written past Howdah can be followed.

use super::finding::{Finding, Severity};
use crate::backend::{Connector, ServerConfig};
use crate::config::Follow;
use crate::ids::BackendId;
use crate::relay::{self, Trouble, Weight};

/// Looks as the connections do that follow; `server` is how they are made.
pub(super) async fn check(
    server: &ServerConfig,
    follow: &Follow,
    found: &mut Vec<Finding>,
) -> Result<(), String> {
    let mut backend = match server.connect(BackendId(0), 0).await {
        Ok(backend) => backend,
        Err(error) => {
            let problem =
                format!("cannot log in to follow the database, so nothing of it is cached: {error}");
            let mend = "-- see user and password in [cache.follow]";
            let object = format!("role {}", server.user);
            found.push(Finding::new(Severity::Warning, "follow-login", object, problem, mend));
            return Ok(());
        }
    };
    let troubles = relay::examine(&mut backend, follow).await;
    backend.terminate();
    found.extend(troubles.map_err(|error| error.to_string())?.into_iter().map(finding));
    Ok(())
}

fn finding(trouble: Trouble) -> Finding {
    let (severity, end) = match trouble.weight {
        Weight::Stops => (Severity::Warning, ", so nothing of the database is cached"),
        Weight::Warns => (Severity::Warning, ""),
        Weight::Informs => (Severity::Info, ""),
    };
    Finding::new(severity, trouble.check, trouble.object, trouble.problem + end, trouble.mend)
}
