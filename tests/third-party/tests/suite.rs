use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use kvdb_core::{Backend, Capabilities, Limits, Options, Result};
use kvdb_testsuite::decorate::Shared;
use kvdb_testsuite::{Place, Store};
use kvdb_toy::Toy;

#[derive(Debug)]
struct Toys;

#[derive(Debug)]
struct ToyPlace(Arc<Toy>);

#[async_trait]
impl Store for Toys {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn capabilities(&self) -> Capabilities {
        Toy::open().capabilities()
    }

    fn limits(&self) -> Limits {
        Toy::open().limits()
    }

    fn unsupported(&self) -> &'static [&'static str] {
        &[
            "get at",
            "list at",
            "lease_info",
            "compact",
            "add_user",
            "remove_user",
            "grant_user_access",
            "revoke_user_access",
            "list_members",
            "endpoints",
            "set_endpoints",
            "defragment",
        ]
    }

    fn counts_exactly(&self) -> bool {
        true
    }

    async fn place(&self) -> Result<Box<dyn Place>> {
        Ok(Box::new(ToyPlace(Arc::new(Toy::open()))))
    }
}

#[async_trait]
impl Place for ToyPlace {
    async fn connect(&self, _: &Options) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Shared::new(Arc::clone(&self.0) as Arc<dyn Backend>)))
    }
}

fn main() -> ExitCode {
    let guide = include_str!("../../../kvdb-core/docs/backend-guide.md");
    let toy = include_str!("../src/toy.rs");
    assert!(guide.contains(&format!("```rust\n{toy}```\n")), "the guide shows other code than src/toy.rs");
    let all = [toy, include_str!("../src/lib.rs"), include_str!("suite.rs")].map(|file| file.lines().count());
    assert!(all.iter().sum::<usize>() <= 400, "the example grew over 400 lines");
    kvdb_testsuite::main(vec![Arc::new(Toys)], Vec::new())
}
