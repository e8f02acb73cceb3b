//! Progress on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr if that is a terminal, else nothing. Without a total it counts; a total may come later.
pub(crate) fn bar(total: Option<u64>, unit: &str) -> ProgressBar {
    let done = if total.is_some() { "{bar:40} {human_pos}/{human_len}" } else { "{human_pos}" };
    let style = ProgressStyle::with_template(&format!("{{elapsed_precise}} {done} {unit}"));
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr()).with_style(style)
}
