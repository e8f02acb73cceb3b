use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kvdb_core::{Backend, Capabilities, Handle, Key, Limits, Options, Result};

use crate::decorate::Without;
use crate::{Place, Store, Trial};

/// What a trial works with: its place in the store under test. A clone is the same place.
#[derive(Clone, Debug)]
pub struct Ctx {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    place: Box<dyn Place>,
    domain: String,
    lacks: Capabilities,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?} in {}", self.store.name(), self.place, self.domain)
    }
}

impl Ctx {
    pub(crate) async fn new(store: Arc<dyn Store>, trial: &Trial) -> Result<Self> {
        let place = if trial.needs_its_own() { store.place_of_its_own().await? } else { store.place().await? };
        let domain = format!("trial-{:016x}", rand::random::<u64>());
        Ok(Self { inner: Arc::new(Inner { store, place, domain, lacks: trial.lacks }) })
    }

    /// The store under test.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.inner.store
    }

    /// What the store can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.inner.store.capabilities() - self.inner.lacks
    }

    /// Whether the store can do this.
    #[must_use]
    pub fn has(&self, capability: Capabilities) -> bool {
        self.capabilities().contains(capability)
    }

    /// What the store can take.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.inner.store.limits()
    }

    /// A TTL of about this length that the store grants.
    #[must_use]
    pub fn ttl(&self, wanted: Duration) -> Duration {
        let limits = self.limits();
        wanted.clamp(limits.ttl_min, limits.ttl_max.unwrap_or(Duration::MAX))
    }

    /// The trial's domain: nobody else uses it or a domain below it.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.inner.domain
    }

    /// The absolute key that a backend sees for a key of the trial's domain.
    #[must_use]
    pub fn absolute(&self, key: &str) -> Key {
        Key::from(format!("{}/{key}", self.inner.domain))
    }

    /// Opens a handle on the trial's domain: a client of its own, with its own engine and backend.
    ///
    /// # Errors
    /// What opening the store answers.
    pub async fn open(&self) -> Result<Handle> {
        self.open_with(Options::new()).await
    }

    /// Opens a handle on the trial's domain with options.
    ///
    /// # Errors
    /// What opening the store answers.
    pub async fn open_with(&self, options: Options) -> Result<Handle> {
        self.handle(self.backend().await?, &self.inner.domain, options)
    }

    /// Opens a handle on another domain of the same store.
    ///
    /// # Errors
    /// What opening the store answers.
    pub async fn open_in(&self, domain: &str) -> Result<Handle> {
        self.handle(self.backend().await?, domain, Options::new())
    }

    /// Opens a handle on the trial's domain over a decorated backend: `decorate` gets the store's own and answers the
    /// one that the handle uses.
    ///
    /// # Errors
    /// What opening the store answers.
    pub async fn open_over<B: Backend>(
        &self,
        options: Options,
        decorate: impl FnOnce(Arc<dyn Backend>) -> B,
    ) -> Result<Handle> {
        let backend = self.backend().await?;
        self.handle(Arc::new(decorate(backend)), &self.inner.domain, options)
    }

    /// Opens a handle over any backend.
    ///
    /// # Errors
    /// What the engine refuses: a domain that is no key, options that make no sense.
    pub fn handle(&self, backend: Arc<dyn Backend>, domain: &str, options: Options) -> Result<Handle> {
        let kv = Handle::open(self.inner.store.name(), backend, domain, &options)?;
        self.inner.store.wrap(&kv)?;
        Ok(kv)
    }

    /// Opens the store itself, without an engine: one more client.
    ///
    /// # Errors
    /// What opening the store answers.
    pub async fn backend(&self) -> Result<Arc<dyn Backend>> {
        let backend = self.inner.place.connect(&Options::new()).await?;
        if self.inner.lacks.is_empty() { Ok(backend) } else { Ok(Arc::new(Without::new(backend, self.inner.lacks))) }
    }

    /// Opens the store itself with options, as its factory gets them.
    ///
    /// # Errors
    /// What opening the store answers.
    pub async fn connect(&self, options: &Options) -> Result<Arc<dyn Backend>> {
        self.inner.place.connect(options).await
    }

    /// Closes the store and lets the next `open` open it anew (DURABLE); handles of before are closed or dropped first.
    ///
    /// # Errors
    /// What the store answers.
    pub async fn restart(&self) -> Result<()> {
        self.inner.place.restart().await
    }
}
