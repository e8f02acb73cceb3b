//! The crate `etcd-client` makes its code from etcd's protocol files with `protoc`: says what to do when it cannot.

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

/// What those files import, and what a protoc without its include files cannot find.
const PROBE: &str = "syntax = \"proto3\";\nimport \"google/protobuf/descriptor.proto\";\n";

const WAYS_OUT: &str = "\
The etcd backend is built with protoc, the protocol compiler, and the files it comes with. Do one of these:
  - in a clone of kvdb, without installing anything:
        crates/kvdb-servers/fetch.sh protoc
        export PROTOC=\"$PWD/target/servers/bin/protoc\"
  - on Debian or Ubuntu, both packages:
        apt-get install protobuf-compiler libprotobuf-dev
  - or build without the cargo feature `etcd`.";

fn main() -> ExitCode {
    for variable in ["PROTOC", "PROTOC_INCLUDE"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    if env::var_os("PROTOC").is_none() {
        println!("cargo:rerun-if-env-changed=PATH");
    }
    println!("cargo:rerun-if-changed=build.rs");
    match probe() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("\n{problem}\n\n{WAYS_OUT}\n");
            ExitCode::FAILURE
        }
    }
}

/// Compiles a file as `etcd-client`'s build does.
fn probe() -> Result<(), Box<dyn Error>> {
    let out = env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
    let (source, target) = (Path::new(&out).join("probe.proto"), Path::new(&out).join("probe.bin"));
    fs::write(&source, PROBE)?;
    let protoc = env::var_os("PROTOC").unwrap_or_else(|| "protoc".into());
    let mut command = Command::new(&protoc);
    command.arg("-I").arg(&out);
    if let Some(include) = env::var_os("PROTOC_INCLUDE") {
        command.arg("-I").arg(include);
    }
    command.arg("--descriptor_set_out").arg(&target).arg(&source);
    let named = if env::var_os("PROTOC").is_some() { " (from the variable PROTOC)" } else { "" };
    let shown = Path::new(&protoc).display();
    let done = command.output().map_err(|error| format!("cannot run `{shown}`{named}: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!("`{shown}`{named} fails:\n{}", String::from_utf8_lossy(&done.stderr).trim_end()).into()),
    }
}
