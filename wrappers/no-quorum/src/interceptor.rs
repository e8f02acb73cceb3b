use std::sync::Arc;

use kvdb_core::{
    AdminRequest, Before, Call, End, Error, ErrorKind, Interceptor, Kvdb, Operation, Options, Placement, Result,
    Wrapper, WrapperFactory, WrapperRegistration,
};
use tokio::sync::watch;

use crate::NoQuorumConfig;
use crate::auto::Auto;

/// How the registry knows this wrapper.
pub static FACTORY: WrapperFactory = WrapperFactory {
    name: "no-quorum",
    aliases: &["Wrapper_NoQuorum"],
    package: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")),
    make,
};

kvdb_core::inventory::submit! { WrapperRegistration(&FACTORY) }

fn make(options: &Options, base: &Arc<dyn Kvdb>) -> Result<Arc<dyn Wrapper>> {
    Ok(Arc::new(NoQuorum::new(&options.backend_config()?, base)?))
}

/// Refuses calls while it is raised.
#[derive(Debug)]
pub struct NoQuorum {
    raised: watch::Sender<bool>,
    auto: Option<Auto>,
}

impl NoQuorum {
    /// Raised at once, or with `auto` when the store is lost; `base` is the store that `auto` probes.
    ///
    /// # Errors
    /// `InvalidConfig` for `auto` outside of a tokio runtime.
    pub fn new(config: &NoQuorumConfig, base: &Arc<dyn Kvdb>) -> Result<Self> {
        let auto = if config.auto {
            let runtime = tokio::runtime::Handle::try_current().map_err(|source| {
                Error::new(ErrorKind::InvalidConfig, "auto needs a tokio runtime for its probes").with_source(source)
            })?;
            Some(Auto::new(config, base, runtime))
        } else {
            None
        };
        Ok(Self { raised: watch::Sender::new(!config.auto), auto })
    }

    /// Whether calls are refused now.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        *self.raised.borrow()
    }
}

/// What a raised wrapper does with a call (contract 12.1).
enum Rule {
    Refuse,
    Wait,
    Pass,
}

const fn rule(call: &Call<'_>) -> Rule {
    match call.operation {
        Operation::Watch => Rule::Wait,
        Operation::Unlock | Operation::LeaseKeepAlive | Operation::LeaseRevoke | Operation::Close => Rule::Pass,
        Operation::Admin => match call.admin {
            Some(
                AdminRequest::Endpoints
                | AdminRequest::SetEndpoints(_)
                | AdminRequest::UpdateMember { .. }
                | AdminRequest::ListMembers
                | AdminRequest::Defragment { .. },
            ) => Rule::Pass,
            _ => Rule::Refuse,
        },
        _ => Rule::Refuse,
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
        if !self.is_raised() {
            return Before::Go(());
        }
        match rule(call) {
            Rule::Pass => Before::Go(()),
            Rule::Refuse => Before::Refuse(Error::new(
                ErrorKind::NoQuorum,
                "the store has no quorum; the wrapper `no-quorum` refuses the call until it is back",
            )),
            Rule::Wait => Before::Wait(Box::pin(async {
                let mut raised = self.raised.subscribe();
                // The sender lives in `self`, so the wait ends by lowering alone.
                let _ = raised.wait_for(|raised| !raised).await;
                Ok(())
            })),
        }
    }

    fn after(&self, (): (), _call: &Call<'_>, end: &End<'_>) {
        if let Some(auto) = &self.auto {
            auto.saw(end.error, &self.raised);
        }
    }

    fn removed(&self) {
        self.raised.send_replace(false);
    }
}
