//! What was found, and how it is told.

use std::fmt::Write;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// One tenant can come by another's rows.
    Leak,
    /// It is slow, it fails, or it helps somebody who attacks.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// A short name of the kind, the same in every version.
    pub(crate) check: &'static str,
    /// What it is about: a table, a policy, a role, a setting.
    pub(crate) object: String,
    /// One sentence.
    pub(crate) problem: String,
    /// SQL, or a comment in SQL where there can be none; empty when nothing needs to be mended.
    pub(crate) mend: String,
}

impl Finding {
    pub(super) fn new(
        severity: Severity,
        check: &'static str,
        object: impl Into<String>,
        problem: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let (object, problem, mend) = (object.into(), problem.into(), mend.into());
        Self { severity, check, object, problem, mend }
    }
}

/// What one login sees in one database.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// The database as clients name it.
    pub(crate) database: String,
    /// `host:port/dbname`.
    pub(crate) server: String,
    /// Who logs in to the server.
    pub(crate) login: String,
    /// The server's version; empty when it could not be reached.
    pub(crate) version: String,
    /// Why it could not be looked at.
    pub(crate) error: Option<String>,
    pub(crate) findings: Vec<Finding>,
}

/// Everything.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) checked: Vec<Checked>,
    /// What the configuration itself says.
    pub(crate) general: Vec<Finding>,
}

impl Report {
    fn all(&self) -> impl Iterator<Item = &Finding> {
        self.general.iter().chain(self.checked.iter().flat_map(|checked| &checked.findings))
    }

    fn count(&self, severity: Severity) -> usize {
        self.all().filter(|finding| finding.severity == severity).count()
    }

    fn errors(&self) -> usize {
        self.checked.iter().filter(|checked| checked.error.is_some()).count()
    }

    /// Everything was looked at, and nothing leaks.
    pub(crate) fn is_fine(&self) -> bool {
        self.errors() == 0 && self.count(Severity::Leak) == 0
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for finding in &self.general {
            write_finding(&mut out, finding);
        }
        for checked in &self.checked {
            let Checked { database, server, login, version, .. } = checked;
            let _ = write!(out, "database {database}, at {server} as {login}");
            if !version.is_empty() {
                let _ = write!(out, ", PostgreSQL {version}");
            }
            out.push('\n');
            if let Some(error) = &checked.error {
                let _ = writeln!(out, "  error: {error}");
            } else if checked.findings.is_empty() {
                out.push_str("  nothing found\n");
            }
            for finding in &checked.findings {
                write_finding(&mut out, finding);
            }
        }
        let _ = write!(out, "{}", counted(self.count(Severity::Leak), "leak"));
        let _ = write!(out, ", {}", counted(self.count(Severity::Warning), "warning"));
        if self.errors() > 0 {
            let _ = write!(out, ", {}", counted(self.errors(), "error"));
        }
        out.push('\n');
        out
    }

    /// For programs: one JSON object.
    pub(crate) fn json(&self) -> String {
        let checked = self.checked.iter().map(|checked| {
            let mut fields = vec![
                ("database", string(&checked.database)),
                ("server", string(&checked.server)),
                ("login", string(&checked.login)),
                ("version", string(&checked.version)),
                ("findings", array(checked.findings.iter().map(json_finding))),
            ];
            if let Some(error) = &checked.error {
                fields.push(("error", string(error)));
            }
            object(&fields)
        });
        object(&[
            ("ok", self.is_fine().to_string()),
            ("leaks", self.count(Severity::Leak).to_string()),
            ("warnings", self.count(Severity::Warning).to_string()),
            ("errors", self.errors().to_string()),
            ("findings", array(self.general.iter().map(json_finding))),
            ("checked", array(checked)),
        ]) + "\n"
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn write_finding(out: &mut String, finding: &Finding) {
    let Finding { severity, check, object, problem, mend } = finding;
    let _ = writeln!(out, "  {}: {object}: {problem} [{check}]", severity.word());
    for line in mend.lines() {
        let _ = writeln!(out, "      {line}");
    }
}

fn json_finding(finding: &Finding) -> String {
    object(&[
        ("severity", string(finding.severity.word())),
        ("check", string(finding.check)),
        ("object", string(&finding.object)),
        ("problem", string(&finding.problem)),
        ("mend", string(&finding.mend)),
    ])
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn array(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// A JSON string.
fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_as_text_and_as_json() {
        let odd = "a\"b\\c\nd\u{1}é";
        let finding = Finding::new(Severity::Leak, "no-rls", odd, "p", "ALTER\nTABLE;");
        let mut report = Report::default();
        assert!(report.is_fine());
        report.checked.push(Checked {
            database: "app".into(),
            server: "h:1/app".into(),
            login: "me".into(),
            version: "15.1".into(),
            error: None,
            findings: vec![finding],
        });
        assert!(!report.is_fine());
        assert_eq!(
            report.json(),
            concat!(
                r#"{"ok":false,"leaks":1,"warnings":0,"errors":0,"findings":[],"checked":[{"database":"app","#,
                r#""server":"h:1/app","login":"me","version":"15.1","findings":[{"severity":"leak","#,
                r#""check":"no-rls","object":"a\"b\\c\nd\u0001é","problem":"p","mend":"ALTER\nTABLE;"}]}]}"#,
                "\n"
            )
        );
        let text = report.text();
        assert!(text.starts_with("database app, at h:1/app as me, PostgreSQL 15.1\n  leak: "), "{text}");
        assert!(text.ends_with("      ALTER\n      TABLE;\n1 leak, 0 warnings\n"), "{text}");
        report.checked = vec![Checked { error: Some("no".into()), ..Checked::default() }];
        assert!(!report.is_fine());
        assert!(report.text().ends_with(" as \n  error: no\n0 leaks, 0 warnings, 1 error\n"));
    }
}
