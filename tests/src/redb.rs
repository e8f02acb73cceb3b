use std::sync::Arc;

use async_trait::async_trait;
use kvdb_core::{Backend, Capabilities, Error, ErrorKind, Limits, Options, Result};
use kvdb_testsuite::decorate::Shared;
use kvdb_testsuite::{Place, Store};
use tokio::sync::Mutex;

use crate::WITHOUT_USERS_AND_MEMBERS;

/// The redb store: each place is a file of its own, which one client of the process holds open.
#[derive(Clone, Copy, Debug)]
pub struct Redb;

#[derive(Debug)]
struct File {
    directory: tempfile::TempDir,
    open: Mutex<Option<Arc<dyn Backend>>>,
}

#[async_trait]
impl Store for Redb {
    fn name(&self) -> &'static str {
        kvdb_redb::FACTORY.name
    }

    fn capabilities(&self) -> Capabilities {
        kvdb_redb::FACTORY.capabilities
    }

    fn limits(&self) -> Limits {
        (kvdb_redb::FACTORY.limits)()
    }

    fn unsupported(&self) -> &'static [&'static str] {
        WITHOUT_USERS_AND_MEMBERS
    }

    fn counts_exactly(&self) -> bool {
        true
    }

    async fn place(&self) -> Result<Box<dyn Place>> {
        let directory = tempfile::tempdir()
            .map_err(|source| Error::new(ErrorKind::Internal, "no temporary directory").with_source(source))?;
        Ok(Box::new(File { directory, open: Mutex::new(None) }))
    }
}

#[async_trait]
impl Place for File {
    async fn connect(&self, options: &Options) -> Result<Arc<dyn Backend>> {
        let mut open = self.open.lock().await;
        let backend = match &*open {
            Some(backend) => Arc::clone(backend),
            None => {
                let path = self.directory.path().join("kvdb.redb").to_string_lossy().into_owned();
                Arc::clone(open.insert((kvdb_redb::FACTORY.connect)(vec![path], options.clone()).await?))
            }
        };
        Ok(Arc::new(Shared::new(backend)))
    }

    async fn restart(&self) -> Result<()> {
        match self.open.lock().await.take() {
            Some(backend) => backend.close().await,
            None => Ok(()),
        }
    }
}
