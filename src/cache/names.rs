//! Names of tables as people write them: in a `search_path`, and in the payload of a NOTIFY.

/// Where the name of a table without a schema may lead.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// To any schema: the path is not known, or depends on who asks.
    Any,
    /// To one of these.
    Schemas(Vec<String>),
}

impl Path {
    /// The path of a `search_path` setting; `None` is one that is not known.
    pub(super) fn read(setting: Option<&str>) -> Self {
        let Some(names) = setting.and_then(|setting| split(setting, ',')) else { return Self::Any };
        if names.iter().any(|name| name == "$user") {
            return Self::Any;
        }
        Self::Schemas(names)
    }

    pub(super) fn leads_to(&self, schema: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Schemas(schemas) => schemas.iter().any(|name| name == schema),
        }
    }
}

/// The names in a text, folded and unquoted as Postgres would. `None`: a quote is open, or something stands
/// after a closed one.
pub(super) fn split(text: &str, separator: char) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    loop {
        let (name, after) = if let Some(quoted) = rest.strip_prefix('"') {
            until_quote(quoted)?
        } else {
            let (name, after) = rest.split_at_checked(rest.find(separator).unwrap_or(rest.len()))?;
            (name.trim_end().to_ascii_lowercase(), after)
        };
        names.push(name);
        let after = after.trim_start();
        match after.strip_prefix(separator) {
            Some(next) => rest = next.trim_start(),
            None if after.is_empty() => return Some(names),
            None => return None,
        }
    }
}

fn until_quote(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (piece, after) = rest.split_once('"')?;
        name.push_str(piece);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// What the payload of a NOTIFY may mean as a table: schema (or any) and name. Triggers send a name as it is
/// (`TG_TABLE_NAME`), people as they would write it; so both readings count.
pub(super) fn tables_of_word(word: &str) -> Vec<(Option<String>, String)> {
    let mut found = vec![(None, word.to_owned())];
    found.extend(
        word.match_indices('.')
            .filter_map(|(at, _)| Some((word.get(..at)?, word.get(at + 1..)?)))
            .map(|(schema, name)| (Some(schema.to_owned()), name.to_owned())),
    );
    match split(word, '.').as_deref() {
        Some([name]) => found.push((None, name.clone())),
        Some([schema, name]) => found.push((Some(schema.clone()), name.clone())),
        _ => {}
    }
    found.sort();
    found.dedup();
    found
}
