//! Names whose address a test decides: `MOLECULE_TEST_HOSTS` is a file with the one address that every name has right now.
//!
//! Only in debug builds. It stands in for the system's resolver, which keeps nothing either: each new connection asks.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

pub(super) struct TestNames(PathBuf);

impl TestNames {
    /// `None` outside tests.
    pub(super) fn from_environment() -> Option<Self> {
        std::env::var_os("MOLECULE_TEST_HOSTS").map(|file| Self(file.into()))
    }
}

impl Resolve for TestNames {
    fn resolve(&self, _: Name) -> Resolving {
        let text = std::fs::read_to_string(&self.0);
        Box::pin(async move {
            let address: IpAddr = text?.trim().parse()?;
            // The port is the URL's.
            let all: Addrs = Box::new(std::iter::once(SocketAddr::new(address, 0)));
            Ok(all)
        })
    }
}
