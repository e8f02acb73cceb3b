//! The version a server tells of itself.

use kvdb_core::{Options, Result};
use tokio::time::timeout;

use crate::client::{Client, unanswered};
use crate::config::EtcdConfig;
use crate::error::{Call, error};

/// Asks the server behind `endpoint`, the local one if it is empty: `3.5.30`.
///
/// # Errors
/// As [`Client::connect`]; `Unavailable` when it does not answer within the option `timeout`.
///
/// # Cancel safety
/// A dropped future leaves nothing.
pub(crate) async fn version(endpoint: String, options: Options) -> Result<String> {
    let config = EtcdConfig::read(&options)?;
    let endpoints: Vec<String> = Some(endpoint).filter(|endpoint| !endpoint.is_empty()).into_iter().collect();
    let client = Client::connect(&endpoints, &config).await?;
    let status = async { client.maintenance().status().await.map_err(|source| error(Call::Read, source)) };
    let status = timeout(config.timeout, status).await.map_err(|_| unanswered(config.timeout))??;
    Ok(status.version().to_owned())
}
