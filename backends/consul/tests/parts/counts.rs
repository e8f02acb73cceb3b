use super::*;

/// Counts requests where they pass, which is noticed a moment after the answer.
struct Counter {
    proxy: Proxy,
    expected: u64,
}

impl Counter {
    /// Makes a call that sends so many requests.
    async fn call<T>(&mut self, what: &str, requests: u64, call: impl Future<Output = T>) {
        call.await;
        self.expected += requests;
        let count = || self.proxy.requests("GET", "/v1/") + self.proxy.requests("PUT", "/v1/");
        let enough = async {
            while count() < self.expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = tokio::time::timeout(SOON, enough).await;
        // One too many shows here or with the next call.
        assert_eq!(count(), self.expected, "with {what}");
    }
}

#[tokio::test]
async fn each_verb_takes_the_fewest_requests_there_can_be() {
    let (proxy, address) = proxy();
    let store = open_at(&[address], &ConsulConfig::default()).await;
    let place = place();
    let key = Key::from(format!("{place}k"));
    let beside = open().await;
    let (lease, _) = beside.grant(Duration::from_secs(60)).await.unwrap();
    let (other, _) = beside.grant(Duration::from_secs(60)).await.unwrap();
    let address = format!("http://127.0.0.1:{}", proxy.port());
    // Opening asks for the bounds of a TTL.
    let mut counter = Counter { proxy, expected: 0 };
    counter.call("opening", 1, async {}).await;
    let mut count = async |what: &str, requests: u64, guards: Vec<Guard>, op: Op| {
        counter.call(what, requests, commit(&store, guards, vec![op])).await;
    };
    count("a put on an absent key", 1, vec![], put(&key, "1")).await;
    count("a put on a key seen before", 1, vec![], put(&key, "2")).await;
    count("a put with a lease", 1, vec![], put_held(&key, "3", &lease)).await;
    count("a put with the same lease", 1, vec![], put_held(&key, "4", &lease)).await;
    count("a put with another lease", 1, vec![], put_held(&key, "5", &other)).await;
    count("a put that clears the lease", 1, vec![], put(&key, "6")).await;
    let now = get(&beside, &key).await.unwrap();
    count("a CAS", 1, vec![Guard::Unchanged(key.clone(), now.modified)], put(&key, "7")).await;
    count("a CAS that loses", 1, vec![Guard::Unchanged(key.clone(), now.modified)], put(&key, "8")).await;
    count("an update", 1, vec![Guard::Present(key.clone())], put(&key, "9")).await;
    count("a create of a present key", 1, vec![Guard::Absent(key.clone())], put(&key, "x")).await;
    let guarded = put(&Key::from(format!("{place}l")), "x");
    count("a put guarded by another key", 1, vec![Guard::Present(key.clone())], guarded).await;
    count("a deletion", 1, vec![], delete(&key)).await;
    count("a deletion of an absent key", 2, vec![], delete(&key)).await;
    count("a create", 1, vec![Guard::Absent(key.clone())], put(&key, "x")).await;
    counter.call("a get", 1, get(&store, &key)).await;
    let both = [key.clone(), Key::from(format!("{place}l"))];
    counter.call("two keys together", 1, store.get_together(&both)).await;
    counter.call("a check", 1, commit(&store, vec![Guard::Present(key.clone())], vec![])).await;
    counter.call("a listing", 1, names(&store, &KeyRange::prefix(place.as_bytes()))).await;
    let fresh = open_at(&[address], &ConsulConfig::default()).await;
    counter.call("opening", 1, async {}).await;
    counter.call("a put on a present key that was never seen", 2, commit(&fresh, vec![], vec![put(&key, "y")])).await;
}
