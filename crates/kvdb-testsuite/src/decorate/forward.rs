//! Forwarding to the store behind, written once.

/// Forwards these methods of `Backend` to `self.inner`: its own boxed future is returned, in its one box. Inside of an
/// `impl Backend` under `#[deny(clippy::missing_trait_methods)]`, so that none is forgotten.
macro_rules! forward {
    ($($method:ident)*) => {
        $(forward! { @ $method })*
    };
    (@ capabilities) => {
        fn capabilities(&self) -> kvdb_core::Capabilities {
            self.inner.capabilities()
        }
    };
    (@ limits) => {
        fn limits(&self) -> kvdb_core::Limits {
            self.inner.limits()
        }
    };
    (@ list) => {
        fn list(
            &self,
            range: &kvdb_core::KeyRange,
            scan: &kvdb_core::Scan,
        ) -> futures_util::stream::BoxStream<'static, kvdb_core::Result<kvdb_core::Page>> {
            self.inner.list(range, scan)
        }
    };
    (@ pin) => {
        fn pin(&self) -> Option<kvdb_core::Pin> {
            self.inner.pin()
        }
    };
    (@ at_once) => {
        fn at_once(&self) -> Option<&dyn kvdb_core::AtOnce> {
            self.inner.at_once()
        }
    };
    (@ details) => {
        fn details(&self) -> Vec<(&'static str, String)> {
            self.inner.details()
        }
    };
    (@ get) => {
        fn get<'s, 'k, 'r, 'f>(
            &'s self,
            key: &'k kvdb_core::Key,
            read: &'r kvdb_core::Read,
        ) -> futures_util::future::BoxFuture<'f, kvdb_core::Result<kvdb_core::Fetched>>
        where
            's: 'f,
            'k: 'f,
            'r: 'f,
        {
            self.inner.get(key, read)
        }
    };
    (@ get_together) => {
        fn get_together<'s, 'k, 'f>(
            &'s self,
            keys: &'k [kvdb_core::Key],
        ) -> futures_util::future::BoxFuture<'f, kvdb_core::Result<Option<Vec<kvdb_core::Fetched>>>>
        where
            's: 'f,
            'k: 'f,
            Self: 'f,
        {
            self.inner.get_together(keys)
        }
    };
    (@ grant) => {
        fn grant<'s, 'f>(
            &'s self,
            ttl: std::time::Duration,
        ) -> futures_util::future::BoxFuture<'f, kvdb_core::Result<(kvdb_core::LeaseId, std::time::Duration)>>
        where
            's: 'f,
        {
            self.inner.grant(ttl)
        }
    };
    (@ compact) => {
        fn compact<'s, 'f>(
            &'s self,
            before: kvdb_core::Revision,
        ) -> futures_util::future::BoxFuture<'f, kvdb_core::Result<()>>
        where
            's: 'f,
        {
            self.inner.compact(before)
        }
    };
    (@ close) => {
        fn close<'s, 'f>(&'s self) -> futures_util::future::BoxFuture<'f, kvdb_core::Result<()>>
        where
            's: 'f,
        {
            self.inner.close()
        }
    };
    (@ commit) => { forward! { @@ commit(kvdb_core::Batch) -> kvdb_core::Outcome } };
    (@ watch) => { forward! { @@ watch(kvdb_core::WatchSpec) -> kvdb_core::Feed } };
    (@ keep_alive) => { forward! { @@ keep_alive(kvdb_core::LeaseId) -> std::time::Duration } };
    (@ revoke) => { forward! { @@ revoke(kvdb_core::LeaseId) -> () } };
    (@ lease_info) => { forward! { @@ lease_info(kvdb_core::LeaseId) -> kvdb_core::LeaseInfo } };
    (@ native_txn) => { forward! { @@ native_txn(kvdb_core::NativeTxn) -> kvdb_core::NativeReply } };
    (@ admin) => { forward! { @@ admin(kvdb_core::AdminRequest) -> kvdb_core::AdminReply } };
    // The async methods of one argument by reference.
    (@@ $method:ident($argument:ty) -> $answer:ty) => {
        fn $method<'s, 'a, 'f>(
            &'s self,
            argument: &'a $argument,
        ) -> futures_util::future::BoxFuture<'f, kvdb_core::Result<$answer>>
        where
            's: 'f,
            'a: 'f,
        {
            self.inner.$method(argument)
        }
    };
}
