use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::Wrapper;
use super::registry::find;
use crate::engine::Engine;
use crate::{Backend, Error, FatalCallback, Kvdb, Options, Result};

/// An opened store: what `kvdb::new` returns. Cloning is cheap and every clone is the same handle: a wrapper that is
/// added or removed through one is so for all.
///
/// When the last clone is dropped without [`Kvdb::close`], what it held at the store runs out by its leases.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

struct Inner {
    base: Arc<Engine>,
    /// What calls go through. Read without a lock; changed under `changing`.
    stack: ArcSwap<Stack>,
    changing: Mutex<()>,
}

/// The wrappers in the order of adding, and all of them folded over the engine. A thin pointer for the `ArcSwap`.
#[derive(Debug)]
pub(super) struct Stack {
    pub(super) kvdb: Arc<dyn Kvdb>,
    wrappers: Vec<Arc<dyn Wrapper>>,
}

impl Stack {
    fn fold(base: &Arc<Engine>, wrappers: Vec<Arc<dyn Wrapper>>) -> Self {
        let mut order = wrappers.clone();
        order.sort_by_key(|wrapper| wrapper.placement());
        let kvdb = order.into_iter().fold(Arc::clone(base) as Arc<dyn Kvdb>, |inner, wrapper| wrapper.wrap(inner));
        Self { kvdb, wrappers }
    }
}

/// The store's name, the domain and the wrappers: what tells two handles apart in a log.
impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.inner.base.info();
        f.debug_struct("Handle")
            .field("backend", &info.backend)
            .field("domain", &info.domain)
            .field("wrappers", &self.wrappers())
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// Makes a handle of a connected backend, under a domain; `name` is the backend's, for messages.
    ///
    /// # Errors
    /// `InvalidConfig` for options that make no sense, or outside a tokio runtime; `InvalidArgument` for a domain that
    /// is no key.
    pub fn open(name: &'static str, backend: Arc<dyn Backend>, domain: &str, options: &Options) -> Result<Self> {
        let base = Arc::new(Engine::open(name, backend, domain, options)?);
        let stack = ArcSwap::from_pointee(Stack::fold(&base, Vec::new()));
        Ok(Self { inner: Arc::new(Inner { base, stack, changing: Mutex::new(()) }) })
    }

    /// Puts a linked wrapper around the store: the next call of every clone goes through it. Locks that are held stay
    /// held and open watches live.
    ///
    /// # Errors
    /// `UnknownWrapper` listing the linked ones; `InvalidArgument` when it is on already; the wrapper's own for its
    /// options.
    pub fn add_wrapper(&self, name: &str, options: &Options) -> Result<()> {
        let factory = find(name)?;
        let wrapper = (factory.make)(options, &self.base())?;
        self.wrap(wrapper)
    }

    /// Puts any wrapper around the store.
    ///
    /// # Errors
    /// `InvalidArgument` when one of its name is on already.
    pub fn wrap(&self, wrapper: Arc<dyn Wrapper>) -> Result<()> {
        let _changing = self.inner.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wrappers = self.top().wrappers.clone();
        if wrappers.iter().any(|present| present.name() == wrapper.name()) {
            return Err(Error::invalid(format!("the wrapper `{}` is on already; remove it first", wrapper.name())));
        }
        wrappers.push(wrapper);
        self.inner.stack.store(Arc::new(Stack::fold(&self.inner.base, wrappers)));
        Ok(())
    }

    /// Takes a wrapper off: the next call of every clone is without it, calls that it holds back go on. One that is not
    /// on is Ok.
    ///
    /// # Errors
    /// `UnknownWrapper` when neither a linked nor a present one has the name.
    pub fn remove_wrapper(&self, name: &str) -> Result<()> {
        let _changing = self.inner.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wrappers = self.top().wrappers.clone();
        let place = match wrappers.iter().position(|present| present.name() == name) {
            Some(place) => Some(place),
            None => {
                let name = find(name)?.name;
                wrappers.iter().position(|present| present.name() == name)
            }
        };
        if let Some(place) = place {
            let removed = wrappers.remove(place);
            self.inner.stack.store(Arc::new(Stack::fold(&self.inner.base, wrappers)));
            removed.removed();
        }
        Ok(())
    }

    /// The names of the wrappers that are on, from the store outwards.
    #[must_use]
    pub fn wrappers(&self) -> Vec<&'static str> {
        let mut wrappers = self.top().wrappers.clone();
        wrappers.sort_by_key(|wrapper| wrapper.placement());
        wrappers.iter().map(|wrapper| wrapper.name()).collect()
    }

    /// The store below all wrappers.
    #[must_use]
    pub fn base(&self) -> Arc<dyn Kvdb> {
        Arc::clone(&self.inner.base) as Arc<dyn Kvdb>
    }

    /// Sets what is called when something breaks that no call can report.
    pub fn set_fatal_callback(&self, callback: FatalCallback) {
        self.inner.base.set_fatal_callback(callback);
    }

    /// How long a lock may be held before the fatal callback is called; `None` is for ever.
    #[must_use]
    pub fn lock_hold_duration(&self) -> Option<Duration> {
        self.inner.base.lock_hold()
    }

    /// Sets how long a lock may be held before the fatal callback is called; `None` or zero is for ever. Locks that are
    /// held keep their limit.
    pub fn set_lock_hold_duration(&self, hold: impl Into<Option<Duration>>) {
        self.inner.base.set_lock_hold(hold.into().filter(|hold| !hold.is_zero()));
    }

    /// How long taking a lock waits unless told otherwise.
    #[must_use]
    pub fn lock_try_duration(&self) -> Duration {
        self.inner.base.lock_wait()
    }

    /// Sets how long taking a lock waits unless told otherwise.
    pub fn set_lock_try_duration(&self, wait: Duration) {
        self.inner.base.set_lock_wait(wait);
    }

    /// The engine below all wrappers.
    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.base
    }

    /// The engine itself, if nothing is wrapped around it.
    pub(super) fn bare(&self) -> Option<&Engine> {
        self.inner.stack.load().wrappers.is_empty().then_some(&*self.inner.base)
    }

    pub(super) fn top(&self) -> Arc<Stack> {
        self.inner.stack.load_full()
    }
}
