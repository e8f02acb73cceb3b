//! A free port that another process took before the server did.

use std::io;

const TRIES: usize = 3;

/// Starts a cluster, on other ports if one was taken meanwhile.
pub(crate) fn on_taken_port<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 1;
    loop {
        match start() {
            Err(e) if tries < TRIES && e.to_string().to_lowercase().contains("address already in use") => tries += 1,
            answer => return answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_taken_port_is_tried_again_and_not_for_ever() {
        let tries = |text: &'static str| {
            let mut tries = 0;
            let answer = on_taken_port(|| {
                tries += 1;
                Err::<(), _>(io::Error::other(text))
            });
            assert!(answer.is_err());
            tries
        };
        assert_eq!((tries("listen: bind: address already in use"), tries("no such flag")), (3, 1));
        assert_eq!(tries("java.net.BindException: Address already in use"), 3);
    }
}
