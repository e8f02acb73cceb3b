//! Prometheus' text form.

/// The sum of the samples of `name` that have all of `labels`; `None` if there is none.
pub(crate) fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut total = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (found, has) = series.split_once('{').unwrap_or((series, ""));
        if found != name || !labels.iter().all(|(key, value)| has_label(has, key, value)) {
            continue;
        }
        if let Ok(value) = value.parse::<f64>() {
            total = Some(total.unwrap_or(0.0) + value);
        }
    }
    total
}

/// The value of a label of the first sample of `name`.
pub(crate) fn label<'a>(text: &'a str, name: &str, label: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')))?;
    let (_, rest) = line.split_once(&format!("{label}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

fn has_label(labels: &str, key: &str, value: &str) -> bool {
    let wanted = format!("{key}=\"{value}\"");
    labels.trim_end_matches('}').split(',').any(|label| label == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\nab{x=\"1\"} 9\nplain 1.5e+01\n";

    #[test]
    fn samples_are_summed_by_name_and_labels() {
        assert_eq!(sum(TEXT, "a", &[]), Some(7.0));
        assert_eq!(sum(TEXT, "a", &[("x", "1"), ("y", "3")]), Some(4.0));
        assert_eq!(sum(TEXT, "a", &[("y", "4")]), None);
        assert_eq!(sum(TEXT, "plain", &[]), Some(15.0));
    }

    #[test]
    fn a_label_is_read() {
        assert_eq!(label(TEXT, "ab", "x"), Some("1"));
        assert_eq!(label(TEXT, "plain", "x"), None);
    }
}
