//! Passwords that do not show in a list of processes.

use kvdb_core::{Error, ErrorKind, Options, Result, Secret};

/// Where a password is looked for when the options have a user and no password.
const VARIABLE: &str = "KVDB_PASSWORD";

/// Fills the password from `password_file`, else, for a user without one, from `KVDB_PASSWORD`.
///
/// # Errors
/// `InvalidConfig` when the file cannot be read, or when a password is given beside it.
pub(crate) fn fill(options: Options) -> Result<Options> {
    fill_from(options, || std::env::var(VARIABLE).ok())
}

fn fill_from(options: Options, variable: impl FnOnce() -> Option<String>) -> Result<Options> {
    let present = options.get("password").is_some();
    if let Some(path) = options.get("password_file") {
        if present {
            return Err(Error::new(ErrorKind::InvalidConfig, "give `password` or `password_file`, not both"));
        }
        let text = std::fs::read_to_string(path).map_err(|source| {
            let shown = path.escape_debug();
            Error::new(ErrorKind::InvalidConfig, format!("cannot read the password file `{shown}`: {source}"))
                .with_source(source)
        })?;
        let password = Secret::new(text.trim_end_matches(['\r', '\n']));
        return Ok(options.without("password_file").password(&password));
    }
    if present || options.get("username").is_none() {
        return Ok(options);
    }
    Ok(match variable() {
        Some(password) => options.password(&Secret::new(password)),
        None => options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_fills_the_password_and_leaves_no_trace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "hunter2\n").unwrap();
        let options = Options::new().username("me").set("password_file", path.display());
        let options = fill_from(options, || Some("other".to_owned())).unwrap();
        assert_eq!(options.get("password"), Some("hunter2"));
        assert_eq!(options.get("password_file"), None);
    }

    #[test]
    fn an_unreadable_password_file_and_two_passwords_are_refused() {
        let error = fill_from(Options::new().set("password_file", "/no/such/file"), || None).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("/no/such/file"), "{error}");
        let both = Options::new().set("password_file", "x").set("Password", "hunter2");
        let error = fill_from(both, || None).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::InvalidConfig);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn the_variable_fills_only_a_user_without_a_password() {
        let variable = || Some("hunter2".to_owned());
        assert_eq!(fill_from(Options::new().username("me"), variable).unwrap().get("password"), Some("hunter2"));
        assert_eq!(fill_from(Options::new(), variable).unwrap().get("password"), None);
        let given = Options::new().username("me").set("password", "own");
        assert_eq!(fill_from(given, variable).unwrap().get("password"), Some("own"));
    }
}
