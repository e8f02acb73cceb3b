//! What a client does again and again.

use kvdb::prelude::*;
use rand::RngExt as _;

use super::Kind;

/// The work, shared by all clients.
#[derive(Clone, Debug)]
pub(super) struct Work {
    kv: Handle,
    kind: Kind,
    directory: String,
    keys: u32,
    value: Bytes,
}

/// What one client has of its own.
#[derive(Debug)]
pub(super) struct Client<'a> {
    work: &'a Work,
    /// Its key and the watch of it, for [`Kind::Watch`].
    watched: Option<(String, Watch)>,
}

impl Work {
    pub(super) fn new(kv: &Handle, kind: Kind, directory: &str, keys: u32, value_size: usize) -> Self {
        let value = vec![b'v'; value_size].into();
        Self { kv: kv.clone(), kind, directory: directory.to_owned(), keys, value }
    }

    /// Writes the keys that will be read.
    pub(super) async fn prepare(&self) -> Result<()> {
        if matches!(self.kind, Kind::Get | Kind::Mixed) {
            let pairs: Vec<KvPair> =
                (0..self.keys).map(|number| KvPair::new(self.key(number), self.value.clone())).collect();
            self.kv.import(&pairs).await?;
        }
        Ok(())
    }

    pub(super) async fn client(&self, number: u32) -> Result<Client<'_>> {
        let watched = match self.kind {
            Kind::Watch => {
                let key = format!("{}/watched-{number}", self.directory);
                let watch = self.kv.watch_key(&key).await?;
                Some((key, watch))
            }
            _ => None,
        };
        Ok(Client { work: self, watched })
    }

    fn key(&self, number: u32) -> String {
        format!("{}/{number:010}", self.directory)
    }

    fn any(&self) -> String {
        self.key(rand::rng().random_range(0..self.keys))
    }

    async fn put(&self, key: &str) -> Result<()> {
        self.kv.put(key, &self.value).await.map(drop)
    }

    async fn get(&self, key: &str) -> Result<()> {
        self.kv.get(key).await.map(drop)
    }
}

impl Client<'_> {
    /// Does one operation.
    pub(super) async fn once(&mut self) -> Result<()> {
        let work = self.work;
        match work.kind {
            Kind::Put => work.put(&work.any()).await,
            Kind::Get => work.get(&work.any()).await,
            Kind::Mixed if rand::rng().random_ratio(9, 10) => work.get(&work.any()).await,
            Kind::Mixed => work.put(&work.any()).await,
            Kind::Lock => work.kv.lock(&work.any()).await?.release().await,
            Kind::Watch => match &mut self.watched {
                Some((key, watch)) => {
                    let written = work.kv.put(key, &work.value).await?.modified_index;
                    told(watch, written).await
                }
                None => Ok(()),
            },
        }
    }
}

/// Waits until a watch tells this write or a later one.
async fn told(watch: &mut Watch, written: Revision) -> Result<()> {
    while let Some(event) = watch.next().await {
        if event?.pair().is_some_and(|pair| pair.modified_index >= written) {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::WatchStopped, "the watch of the bench ended"))
}
