//! Progress on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr if that is a terminal, else nothing; it goes away in the end.
pub(crate) fn bar(total: u64, unit: &str) -> ProgressBar {
    let template = format!("{{elapsed_precise}} {{bar:40}} {{human_pos}}/{{human_len}} {unit} {{per_sec}}");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style)
}
