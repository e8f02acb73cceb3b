//! Members that do not hear each other.

use super::Etcd;
use crate::wait::lock;
use std::io;

impl Etcd {
    /// Cuts one member off from its peers, both ways; its clients still reach it.
    ///
    /// # Errors
    /// See [`partition`](Self::partition).
    pub fn isolate(&self, index: usize) -> io::Result<()> {
        self.partition(&[index])
    }

    /// Cuts these members off from all others, both ways, until [`heal`](Self::heal); on each side they still hear each
    /// other. Needs [`EtcdSetup::peer_proxy`](super::EtcdSetup::peer_proxy).
    ///
    /// # Errors
    /// If the setup did not ask for the proxies, or there is no such member.
    pub fn partition(&self, side: &[usize]) -> io::Result<()> {
        let members = self.members();
        for index in side {
            self.member(*index)?;
        }
        let here = |index: &usize| side.contains(index);
        for (index, member) in members.iter().enumerate() {
            let proxy = member.peer_proxy()?;
            for other in (0..members.len()).filter(|other| here(other) != here(&index)) {
                proxy.deny(other);
            }
        }
        let minority = side.len() * 2 < members.len();
        lock(&self.cut_off).extend((0..members.len()).filter(|index| here(index) == minority));
        Ok(())
    }

    /// Lets all members hear each other again, and ends every other fault of the peer proxies.
    ///
    /// # Errors
    /// If the setup did not ask for the proxies.
    pub fn heal(&self) -> io::Result<()> {
        lock(&self.cut_off).clear();
        self.members().iter().try_for_each(|member| member.peer_proxy()?.heal())
    }
}
