use crate::NoQuorumConfig;
use kvdb_core::AdminRequest::{Defragment, Endpoints, ListMembers, SetEndpoints, UpdateMember};
use kvdb_core::Operation::{self, Close, LeaseKeepAlive, LeaseRevoke, Snapshot, Unlock, Watch};
use kvdb_core::{Before, Call, End, Error, ErrorKind, Interceptor, Kvdb, KvdbExt, Placement, Result, WrapperFactory};
use std::{sync::Arc, sync::Weak, time::Duration};
use tokio::{runtime::Handle, sync::watch, time::Instant};

/// How the registry knows this wrapper.
pub static FACTORY: WrapperFactory = WrapperFactory {
    name: "no-quorum",
    aliases: &["Wrapper_NoQuorum"],
    package: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
    make: |options, base| Ok(Arc::new(NoQuorum::new(&options.backend_config()?, base)?)),
};
kvdb_core::inventory::submit! { kvdb_core::WrapperRegistration(&FACTORY) }

/// Down since the store was last reached or, with `auto`, out of reach since then; taken off, no call raises it again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Down(Option<Instant>),
    Raised,
    Removed,
}

/// Refuses calls while it is raised; once taken off it stays down.
#[derive(Debug)]
pub struct NoQuorum {
    state: watch::Sender<State>,
    config: NoQuorumConfig,
    base: Weak<dyn Kvdb>,
    auto: Option<Handle>,
}

impl NoQuorum {
    /// Raised at once, or with `auto` when the store is lost; `base` is the store that `auto` probes.
    ///
    /// # Errors
    /// `InvalidConfig` for `auto` outside of a tokio runtime.
    pub fn new(config: &NoQuorumConfig, base: &Arc<dyn Kvdb>) -> Result<Self> {
        let auto = config.auto.then(Handle::try_current).transpose().map_err(|source| {
            Error::new(ErrorKind::InvalidConfig, "auto needs a tokio runtime for its probes").with_source(source)
        })?;
        let state = watch::Sender::new(if config.auto { State::Down(None) } else { State::Raised });
        Ok(Self { state, config: config.clone(), base: Arc::downgrade(base), auto })
    }
}

/// Whether a call passes a raised wrapper (contract 12.1).
const fn passes(call: &Call<'_>) -> bool {
    matches!(call.operation, Unlock | LeaseKeepAlive | LeaseRevoke | Close)
        || matches!(call.admin, Some(Endpoints | SetEndpoints(_) | ListMembers { .. }))
        || matches!(call.admin, Some(UpdateMember { .. } | Defragment { .. }))
}

/// Whether a call that ended so has reached the store; `None` if it may not have asked it.
fn reached(operation: Operation, error: Option<&Error>) -> Option<bool> {
    use ErrorKind::{Closed, InvalidArgument, NoQuorum, Timeout, TooLarge, TtlNotSupported, Unavailable, Unsupported};
    match error.map(Error::kind) {
        Some(NoQuorum | Unavailable | Timeout) => Some(false),
        Some(InvalidArgument | TooLarge { .. } | TtlNotSupported { .. } | Unsupported(_) | Closed) => None,
        None if matches!(operation, Unlock | Snapshot) => None,
        _ => Some(true),
    }
}

impl Interceptor for NoQuorum {
    type Note = ();

    fn name(&self) -> &'static str {
        FACTORY.name
    }

    fn placement(&self) -> Placement {
        Placement::Guard
    }

    fn before<'a>(&'a self, call: &Call<'_>) -> Before<'a, ()> {
        const REFUSED: &str = "the store has no quorum; the wrapper `no-quorum` refuses the call until it is back";
        match call.operation {
            _ if *self.state.borrow() != State::Raised || passes(call) => Before::Go(()),
            Watch => Before::Wait(Box::pin(async {
                self.state.subscribe().wait_for(|state| *state != State::Raised).await.map_or(Ok(()), |_| Ok(()))
            })),
            _ => Before::Refuse(Error::new(ErrorKind::NoQuorum, REFUSED)),
        }
    }

    fn after(&self, (): (), call: &Call<'_>, end: &End<'_>) {
        let (Some(runtime), Some(reached)) = (&self.auto, reached(call.operation, end.error)) else { return };
        let lost = end.error.is_some_and(|error| *error.kind() == ErrorKind::NoQuorum);
        let rises = self.state.send_if_modified(|state| {
            let State::Down(since) = state else { return false };
            *since = if reached { None } else { since.or_else(|| Some(Instant::now())) };
            let rises = lost || since.is_some_and(|since| since.elapsed() >= self.config.unreachable);
            *state = if rises { State::Raised } else { *state };
            rises
        });
        if rises {
            tracing::warn!(target: "kvdb::no_quorum", "the store is out of reach: calls are refused until it is back");
            runtime.spawn(probe(self.base.clone(), self.config.probe, self.state.clone()));
        }
    }

    fn removed(&self) {
        self.state.send_replace(State::Removed);
    }
}

/// Asks the store until it answers, then lowers. Ends with the handle, or when the wrapper is taken off.
async fn probe(base: Weak<dyn Kvdb>, pause: Duration, state: watch::Sender<State>) {
    while *state.borrow() == State::Raised {
        tokio::time::sleep(pause).await;
        let Some(kvdb) = base.upgrade() else { return };
        let answer = kvdb.get("no-quorum-probe").timeout(pause.max(Duration::from_millis(100))).await;
        if reached(Operation::Get, answer.as_ref().err()) != Some(false) {
            state.send_modify(|state| *state = if *state == State::Removed { *state } else { State::Down(None) });
            tracing::info!(target: "kvdb::no_quorum", "the store is back");
        }
    }
}
