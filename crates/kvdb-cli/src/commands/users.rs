mod password;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use kvdb::prelude::*;
use kvdb::{AdminRequest, PermissionType};
use serde_json::json;

use crate::failure::Failure;
use crate::store::Context;

/// Add and remove users, and say what each may read and write
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kvdb users add app --password-file app.pw
  pass show etcd/app | kvdb users add app
  kvdb users grant app config --read         read the keys below config/
  kvdb users grant app jobs                  read and write the keys below jobs/, and lock there
  kvdb users grant app                       everything in the domain
  kvdb users revoke app jobs
  kvdb users remove app

A password is never an argument: `ps` would show it. Stores without users, such as a file, answer `not supported`; only
root may do this. What failed half way is finished by the same command again.")]
pub(crate) struct Users {
    #[command(subcommand)]
    verb: Verb,
}

/// What to do with a user.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a user, who may do nothing yet; exits with 4 if there is one
    #[command(after_help = "\
The password is what stands in --password-file, else in the variable KVDB_NEW_PASSWORD, else on stdin, without the line
break at its end.")]
    Add {
        /// The name
        name: String,
        /// The file that holds the password; - is stdin
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Remove a user and everything granted to it; exits with 3 if there is none
    Remove {
        /// The name
        name: String,
    },
    /// Let a user read and write the keys below a directory, and use the locks in it
    #[command(after_help = "\
The key of the directory's own name is not below it. A directory has one grant: another one takes its place. Locks need
both, read and write; so does a write that tells what was there before.")]
    Grant {
        /// The user
        name: String,
        /// The directory; the whole domain if left out
        #[arg(default_value = "", hide_default_value = true)]
        directory: String,
        /// Only read
        #[arg(long, conflicts_with = "write")]
        read: bool,
        /// Only write
        #[arg(long)]
        write: bool,
    },
    /// Take a grant back; one that is not there is no error
    Revoke {
        /// The user
        name: String,
        /// The directory, as it was granted
        #[arg(default_value = "", hide_default_value = true)]
        directory: String,
    },
}

impl Users {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        let (request, done, text) = match self.verb {
            Verb::Add { name, password_file } => {
                let (done, text) = (json!({ "user": name, "added": true }), format!("added {name}"));
                (AdminRequest::AddUser { password: password::given(password_file)?, name }, done, text)
            }
            Verb::Remove { name } => {
                let (done, text) = (json!({ "user": name, "removed": true }), format!("removed {name}"));
                (AdminRequest::RemoveUser { name }, done, text)
            }
            Verb::Grant { name, directory, read, write } => {
                let (permission, granted, may) = match (read, write) {
                    (true, _) => (PermissionType::Read, "read", "read"),
                    (_, true) => (PermissionType::Write, "write", "write"),
                    _ => (PermissionType::ReadWrite, "readwrite", "read and write"),
                };
                let done = json!({ "user": name, "directory": directory, "granted": granted });
                let text = format!("{name} may {may} {}", below(&directory));
                (AdminRequest::GrantUserAccess { name, permission, subtree: directory }, done, text)
            }
            Verb::Revoke { name, directory } => {
                let done = json!({ "user": name, "directory": directory, "revoked": true });
                let text = format!("revoked from {name}: {}", below(&directory));
                (AdminRequest::RevokeUserAccess { name, subtree: directory }, done, text)
            }
        };
        context
            .with_store(async |kv, out| {
                kv.admin(request).await?;
                out.either(|| done, || text)
            })
            .await
    }
}

fn below(directory: &str) -> String {
    if directory.is_empty() { "everything".to_owned() } else { format!("what is below {directory}") }
}
