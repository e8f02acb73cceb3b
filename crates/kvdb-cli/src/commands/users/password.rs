//! A new user's password: from a file, a variable or stdin, never from an argument.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::PathBuf;

use kvdb::Secret;

use crate::failure::Failure;

/// The variable that it may come from; `KVDB_PASSWORD` is that of whoever runs the command.
const VARIABLE: &str = "KVDB_NEW_PASSWORD";

/// More bytes than any password has; etcd's hash takes 72.
const LONGEST: u64 = 4096;

/// The password, from wherever it is given.
pub(super) fn given(file: Option<PathBuf>) -> Result<Secret, Failure> {
    let stdin = io::stdin();
    let terminal = stdin.is_terminal();
    choose(file, std::env::var_os(VARIABLE), stdin, terminal)
}

fn choose(
    file: Option<PathBuf>,
    variable: Option<OsString>,
    stdin: impl Read,
    terminal: bool,
) -> Result<Secret, Failure> {
    let text = match (file, variable) {
        (Some(path), _) if path.as_os_str() != "-" => {
            let named = format!("cannot read the password from {}", path.display());
            File::open(path).and_then(read).map_err(|error| Failure::Io(named, error))?
        }
        (None, Some(text)) => {
            text.into_string().map_err(|_| Failure::Usage(format!("the password in {VARIABLE} is not UTF-8")))?
        }
        _ if terminal => {
            return Err(Failure::Usage(format!(
                "a terminal would show the password: give it by --password-file, in {VARIABLE}, or through a pipe"
            )));
        }
        _ => read(stdin).map_err(|error| Failure::Io("cannot read the password from stdin".to_owned(), error))?,
    };
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Failure::Usage("the password is empty".to_owned()));
    }
    Ok(Secret::new(line))
}

fn read(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {LONGEST} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(file: Option<&str>, variable: Option<&str>, stdin: &str) -> Result<String, Failure> {
        let secret = choose(file.map(PathBuf::from), variable.map(OsString::from), stdin.as_bytes(), false)?;
        Ok(secret.reveal().to_owned())
    }

    #[test]
    fn the_file_is_first_then_the_variable_then_stdin() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("word");
        std::fs::write(&path, "of the file\n").unwrap();
        let path = path.to_str();
        assert_eq!(chosen(path, Some("of the variable"), "of stdin").unwrap(), "of the file");
        assert_eq!(chosen(None, Some("of the variable"), "of stdin").unwrap(), "of the variable");
        assert_eq!(chosen(Some("-"), Some("of the variable"), "of stdin").unwrap(), "of stdin");
        assert_eq!(chosen(None, None, "of stdin\r\n").unwrap(), "of stdin");
        assert_eq!(chosen(None, None, " two words \n\n").unwrap(), " two words \n", "one line break goes");
    }

    #[test]
    fn what_is_no_password_is_refused_and_not_shown() {
        assert_eq!(chosen(None, None, "\n").unwrap_err().exit_code(), 2);
        assert_eq!(chosen(None, Some(""), "of stdin").unwrap_err().exit_code(), 2);
        let error = chosen(None, None, &"canary".repeat(1000)).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        assert!(!format!("{error:?}").contains("canary"));
        let error = chosen(Some("no/such/file"), None, "of stdin").unwrap_err();
        assert!(error.message().unwrap().contains("no/such/file"), "{error:?}");
    }

    #[test]
    fn nothing_is_asked_at_a_terminal() {
        let error = choose(None, None, io::empty(), true).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.message().unwrap().contains("--password-file"), "{error:?}");
    }
}
