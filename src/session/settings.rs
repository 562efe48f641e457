//! The settings (GUCs) that a session has asked for.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Names and values that differ from what a fresh server connection has, sorted by name. Immutable, so that
/// thousands of clients that ask for the same share one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    vars: Vec<(Box<str>, Box<str>)>,
    id: u64,
}

impl Settings {
    /// Settings from pairs; of two with one name (names ignore case) the later one counts.
    pub fn new<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut settings = Self::default();
        for (name, value) in pairs {
            settings.put(name.as_ref(), value.as_ref());
        }
        settings.seal();
        settings
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.vars.binary_search_by(|(n, _)| {
            n.bytes().map(|b| b.to_ascii_lowercase()).cmp(name.bytes().map(|b| b.to_ascii_lowercase()))
        })
    }

    fn put(&mut self, name: &str, value: &str) {
        match self.find(name) {
            Ok(at) => {
                if let Some(var) = self.vars.get_mut(at) {
                    var.1 = value.into();
                }
            }
            Err(at) => self.vars.insert(at, (name.into(), value.into())),
        }
    }

    fn seal(&mut self) {
        let mut hasher = DefaultHasher::new();
        for (name, value) in &self.vars {
            // Names ignore case.
            for byte in name.bytes() {
                byte.to_ascii_lowercase().hash(&mut hasher);
            }
            value.hash(&mut hasher);
        }
        self.id = if self.vars.is_empty() { 0 } else { hasher.finish() };
    }

    /// A copy with one value changed.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut copy = self.clone();
        copy.put(name, value);
        copy.seal();
        copy
    }

    /// A copy without one of them.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut copy = self.clone();
        if let Ok(at) = copy.find(name) {
            copy.vars.remove(at);
        }
        copy.seal();
        copy
    }

    /// A copy with one value changed, or without it.
    #[must_use]
    pub fn changed(&self, name: &str, value: Option<&str>) -> Self {
        value.map_or_else(|| self.without(name), |value| self.with(name, value))
    }

    /// A hash of names and values; 0 for none at all.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The value asked for.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).ok().and_then(|at| self.vars.get(at)).map(|(_, v)| v.as_ref())
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vars.iter().map(|(n, v)| (n.as_ref(), v.as_ref()))
    }

    /// All of them as the startup parameter `options`. The server reads it as `pg_split_opts` does: white space
    /// separates, unless a backslash stands before it. In there no name can be taken for one that is not a
    /// setting, such as `user`.
    pub fn as_options(&self) -> String {
        let mut options = String::new();
        for (name, value) in self.iter() {
            options.push_str(if options.is_empty() { "-c " } else { " -c " });
            options.push_str(name);
            options.push('=');
            for c in value.chars() {
                if c == '\\' || c == '\x0b' || c.is_ascii_whitespace() {
                    options.push('\\');
                }
                options.push(c);
            }
        }
        options
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.vars.len()
    }

    /// True when nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }
}

/// Settings that a server reports (manual, chapter 55.2.7) but that no session can set.
const READ_ONLY: [&str; 6] = [
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
];

/// True for a reported setting that belongs to the session and must follow it.
pub fn is_settable(name: &[u8]) -> bool {
    !READ_ONLY.iter().any(|n| n.as_bytes() == name)
}
