use std::io::{BufRead as _, IsTerminal as _};

use clap::Args;
use kvdb::prelude::*;
use kvdb::{CallOptions, Txn as Transaction};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::run::tell;
use crate::store::Context;

mod form;
mod text;

use form::Form;

/// Do one of two things, by what the store holds, in one atomic step; read from stdin
#[derive(Debug, Args)]
#[command(after_help = r#"
Compares, an empty line, what is done if all of them hold, an empty line, what is done if not:

  kvdb txn <<'END'
  value("config/greeting") = "hello"
  create("config/lock") = "0"

  put config/greeting "good day"
  get config/greeting

  get config/greeting
  END

Compares: value(KEY), mod(KEY), create(KEY), ver(KEY), lease(KEY), then = != < or >, then what with, in quotes.
Revisions and versions of an absent key are 0; a value compare on an absent key never holds.
Operations: put KEY VALUE [--ttl DURATION | --lease ID], get KEY, del KEY. A part may be empty, the last ones left out.
Quotes: "with \n \t \" \\ \x00 \u00fc escapes", 'as it is'; operations need none around words.

Examples:
  printf 'mod("a") = "12"\n\nput a 2\n' | kvdb txn          a write only if nobody was faster
  printf '\nput a 1\nput b 2\n' | kvdb txn                  two writes, both or none
  kvdb txn --json < steps.txt                               tells `succeeded` and every result

Prints SUCCESS or FAILURE by which part ran, then each result: OK, a key and its value, the number of keys deleted.
Exits with 0 whichever part ran."#)]
pub(crate) struct Txn {}

impl Txn {
    pub(crate) async fn run(self, context: Context) -> Result<(), Failure> {
        // Read before the store is opened: a file store is not held while somebody types.
        let txn = read()?;
        let shown: Vec<Vec<TxnOp>> = vec![txn.then.clone(), txn.otherwise.clone()];
        context
            .with_store(async |kv, out| {
                let reply = kv.txn_opts(txn, CallOptions::default()).await?;
                let branch = if reply.succeeded { shown.first() } else { shown.last() };
                print(&reply, branch.map_or(&[], Vec::as_slice), out)
            })
            .await
    }
}

/// Reads the whole form; at a terminal it says what is asked for and ends with the last part.
fn read() -> Result<Transaction, Failure> {
    let stdin = std::io::stdin().lock();
    let at_terminal = stdin.is_terminal();
    let mut form = Form::default();
    let ask = |form: &Form| at_terminal.then(|| tell(form.wants()));
    ask(&form);
    for line in stdin.split(b'\n') {
        let line = line.map_err(|error| Failure::Io("cannot read stdin".to_owned(), error))?;
        let part = form.part();
        form.line(&line).map_err(Failure::Usage)?;
        if part != form.part() {
            if at_terminal && form.is_complete() {
                break;
            }
            ask(&form);
        }
    }
    Ok(form.finish())
}

fn print(reply: &TxnReply, branch: &[TxnOp], out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        let results: Vec<Value> = branch.iter().zip(&reply.results).map(result_json).collect();
        let told = json!({ "succeeded": reply.succeeded, "revision": reply.revision, "results": results });
        return out.line(&told.to_string());
    }
    let mut text = if reply.succeeded { "SUCCESS" } else { "FAILURE" }.to_owned();
    for result in &reply.results {
        text.push_str("\n\n");
        match result {
            TxnResult::Put(_) => text.push_str("OK"),
            TxnResult::Deleted(pair) => text.push_str(if pair.is_some() { "1" } else { "0" }),
            TxnResult::Get(Some(pair)) => {
                text.push_str(&output::inline(pair.key.as_bytes()));
                text.push('\n');
                text.push_str(&output::inline(&pair.value));
            }
            _ => text.push_str("(absent)"),
        }
    }
    out.line(&text)
}

fn result_json((op, result): (&TxnOp, &TxnResult)) -> Value {
    let name = match result {
        TxnResult::Put(_) => "put",
        TxnResult::Deleted(_) => "del",
        _ => "get",
    };
    json!({ "op": name, "key": op.key(), "pair": result.pair().map(output::pair_json) })
}
