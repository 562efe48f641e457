//! Lists of schemas: what Postgres would understand, and nothing that it would understand otherwise.

/// Longest name that Postgres does not cut, in bytes. A cut name can be another tenant's.
pub(super) const MAX_IDENTIFIER: usize = 63;
/// What stands for the tenant's name.
pub(super) const TENANT: &str = "{tenant}";

/// The schemas of a `search_path` as somebody typed it. With `template`, names may hold `{tenant}`.
pub(super) fn parse(text: &str, template: bool) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    loop {
        let (name, after) = match rest.strip_prefix('"') {
            Some(quoted) => until_quote(quoted)?,
            None => bare(rest, template)?,
        };
        if name.is_empty() {
            return Err("a schema's name is empty".to_owned());
        }
        if name.chars().any(char::is_control) {
            return Err("a schema's name has a control character".to_owned());
        }
        if name.replace(TENANT, "").len() > MAX_IDENTIFIER {
            return Err(format!("a schema's name is longer than {MAX_IDENTIFIER} bytes"));
        }
        found.push(name);
        let after = after.trim_start();
        match after.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None if after.is_empty() => return Ok(found),
            None => return Err("between two schemas stands a comma".to_owned()),
        }
    }
}

/// A quoted name, and what follows it.
fn until_quote(text: &str) -> Result<(String, &str), String> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let Some((piece, after)) = rest.split_once('"') else {
            return Err("a quoted name is not closed".to_owned());
        };
        name.push_str(piece);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Ok((name, after)),
        }
    }
}

/// A name without quotes, which Postgres reads in lower case, and what follows it.
fn bare(text: &str, template: bool) -> Result<(String, &str), String> {
    let end = text.find(|c: char| c == ',' || c == '"' || c.is_whitespace()).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let plain = if template { name.replace(TENANT, "t") } else { name.to_owned() };
    let begins = plain.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let valid = begins && plain.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    if !(valid || name == "$user") {
        return Err(
            "it is not a list of schemas; other names than letters, digits and _ stand in double quotes"
                .to_owned(),
        );
    }
    Ok((name.to_ascii_lowercase(), rest))
}

/// The list as text that means these schemas and no others.
pub(super) fn join(schemas: &[String]) -> String {
    let quoted: Vec<String> = schemas.iter().map(|s| format!("\"{}\"", s.replace('"', "\"\""))).collect();
    quoted.join(", ")
}

/// The list with a tenant's name for `{tenant}`. `None`: a schema's name would be one that Postgres cuts, or
/// one that means something else to it.
pub(super) fn of_tenant(template: &str, tenant: &str) -> Option<String> {
    let mut schemas = parse(template, true).ok()?;
    for schema in schemas.iter_mut().filter(|schema| schema.contains(TENANT)) {
        *schema = schema.replace(TENANT, tenant);
        let special = schema == "$user" || schema == "information_schema" || schema.starts_with("pg_");
        if special || schema.len() > MAX_IDENTIFIER {
            return None;
        }
    }
    Some(join(&schemas))
}
