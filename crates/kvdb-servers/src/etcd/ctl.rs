//! `etcdctl`, to look at a cluster from outside.

use super::{Etcd, ROOT};
use crate::spawner;
use crate::tls::Tls;
use crate::wait::{self, READY};
use std::io;
use std::process::{Output, Stdio};

impl Etcd {
    /// Runs `etcdctl` against all members, past their proxies, as root where there are users.
    ///
    /// # Errors
    /// If it cannot be run; that it fails is in the answer's status.
    pub fn etcdctl<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> io::Result<Output> {
        self.ctl(&self.direct_endpoints().join(","), self.setup.auth, args)
    }

    /// As [`etcdctl`](Self::etcdctl), against one endpoint or several, comma separated.
    ///
    /// # Errors
    /// If it cannot be run; that it fails is in the answer's status.
    pub fn etcdctl_at<A: AsRef<str>>(&self, endpoints: &str, args: impl IntoIterator<Item = A>) -> io::Result<Output> {
        self.ctl(endpoints, self.setup.auth, args)
    }

    /// Makes root and switches authentication on, and waits until every member knows.
    pub(super) fn enable_auth(&self) -> io::Result<()> {
        let all = self.direct_endpoints();
        let root = format!("{}:{}", ROOT.0, ROOT.1);
        let steps: [&[&str]; 4] = [
            &["user", "add", &root],
            &["role", "add", ROOT.0],
            &["user", "grant-role", ROOT.0, ROOT.0],
            &["auth", "enable"],
        ];
        for step in steps {
            let done = self.ctl(&all.join(","), false, step)?;
            if !done.status.success() {
                let text = String::from_utf8_lossy(&done.stderr).into_owned();
                return Err(io::Error::other(format!("etcdctl {} fails: {text}", step.first().unwrap_or(&""))));
            }
        }
        for one in &all {
            let on = wait::until(READY, || {
                let status = self.ctl(one, true, ["auth", "status"])?;
                Ok(String::from_utf8_lossy(&status.stdout).contains("Authentication Status: true").then_some(()))
            })?;
            on.ok_or_else(|| wait::timed_out(format!("{one} does not know of authentication")))?;
        }
        Ok(())
    }

    fn direct_endpoints(&self) -> Vec<String> {
        let scheme = if self.setup.tls == Tls::Off { "http" } else { "https" };
        self.members().iter().map(|member| format!("{scheme}://127.0.0.1:{}", member.ports.client)).collect()
    }

    fn ctl<A: AsRef<str>>(&self, endpoints: &str, user: bool, args: impl IntoIterator<Item = A>) -> io::Result<Output> {
        let mut command = spawner::command(&self.ctl);
        command.arg(format!("--endpoints={endpoints}"));
        if user {
            command.arg(format!("--user={}:{}", ROOT.0, ROOT.1));
        }
        if let Some(certs) = &self.certs {
            let client = certs.client_files();
            command.arg("--cacert").arg(certs.ca()).arg("--cert").arg(client.cert).arg("--key").arg(client.key);
        }
        for arg in args {
            command.arg(arg.as_ref());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        spawner::spawn(command)?.wait_with_output()
    }
}
