use std::sync::Arc;

use async_trait::async_trait;
use kvdb_core::{Backend, Capabilities, Limits, Options, Result};
use kvdb_testsuite::{Place, Store};

use crate::WITHOUT_USERS_AND_MEMBERS;

/// The memory store: each place is one shared in the process by a name of its own.
#[derive(Clone, Copy, Debug)]
pub struct Memory;

#[derive(Debug)]
struct Named {
    name: String,
    // A named store ends with its last client: this one keeps it over the trial's closings.
    _keeper: Arc<dyn Backend>,
}

async fn connect(name: &str, options: &Options) -> Result<Arc<dyn Backend>> {
    (kvdb_memory::FACTORY.connect)(vec![name.to_owned()], options.clone()).await
}

#[async_trait]
impl Store for Memory {
    fn name(&self) -> &'static str {
        kvdb_memory::FACTORY.name
    }

    fn capabilities(&self) -> Capabilities {
        kvdb_memory::FACTORY.capabilities
    }

    fn limits(&self) -> Limits {
        (kvdb_memory::FACTORY.limits)()
    }

    fn unsupported(&self) -> &'static [&'static str] {
        WITHOUT_USERS_AND_MEMBERS
    }

    fn counts_exactly(&self) -> bool {
        true
    }

    async fn place(&self) -> Result<Box<dyn Place>> {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let name = format!("trial-{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let keeper = connect(&name, &Options::new()).await?;
        Ok(Box::new(Named { name, _keeper: keeper }))
    }
}

#[async_trait]
impl Place for Named {
    async fn connect(&self, options: &Options) -> Result<Arc<dyn Backend>> {
        connect(&self.name, options).await
    }
}
