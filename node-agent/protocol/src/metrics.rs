//! Metrics as Prometheus reads them.

use std::fmt::{Display, Write as _};

/// A page of metrics: the samples of a family stand together, whenever they were added.
#[derive(Debug, Default)]
pub struct Page(Vec<(&'static str, String)>);

impl Page {
    /// Begins a family: its name, `counter` or `gauge`, and what it tells.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.0.push((name, format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")));
    }

    /// Adds a sample to a family that was begun.
    pub fn sample(&mut self, name: &'static str, labels: &[(&str, &str)], value: impl Display) {
        let Some((_, text)) = self.0.iter_mut().find(|(family, _)| *family == name) else { return };
        text.push_str(name);
        for (place, (label, value)) in labels.iter().enumerate() {
            let before = if place == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            // Text takes all that is written to it.
            let _ = write!(text, "{before}{label}=\"{value}\"");
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }

    /// The page's text.
    #[must_use]
    pub fn finish(self) -> String {
        self.0.into_iter().map(|(_, text)| text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let mut page = Page::default();
        page.family("a", "gauge", "One.");
        page.family("b", "counter", "Two.");
        page.sample("a", &[], 1);
        page.sample("b", &[("x", "y\"z"), ("n", "\\")], 0.5);
        page.sample("a", &[("x", "y")], 2);
        assert_eq!(
            page.finish(),
            "# HELP a One.\n# TYPE a gauge\na 1\na{x=\"y\"} 2\n# HELP b Two.\n# TYPE b counter\nb{x=\"y\\\"z\",n=\"\\\\\"} 0.5\n"
        );
    }
}
