//! The `kvdb` command; everything is in the library beside it.

fn main() -> std::process::ExitCode {
    kvdb_cli::run(std::env::args_os())
}
