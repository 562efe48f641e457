//! Checks `[http]`, `[admin]` and `[observe]`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::check::address;
use super::checked::{Admin, Listen};
use super::observe::{Http, HttpLogin, Observe};
use super::problem::{Problem, Problems, quoted};
use super::raw::Raw;
use super::raw_observe::RawHttp;
use super::secret::{Env, Shape, resolve};
use super::source::Located;

/// Where HTTP listens when `[http]` does not say where.
const DEFAULT_HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9632);
/// Shortest token: it is tried as fast as somebody can send.
const MIN_TOKEN: usize = 16;
/// The range of `window`. What came in it is remembered for each client.
const WINDOW: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(60));

/// `[http]`; `None` without.
pub(super) fn http(raw: &Raw, listen: &Listen, env: Env<'_>, problems: &Problems) -> Option<Http> {
    let raw = raw.http.as_ref()?;
    let mut http = Http { address: DEFAULT_HTTP, login: login(raw, env, problems), token: None };
    http.token = token(raw, env, problems);
    let Some(text) = &raw.address else { return Some(http) };
    http.address = address(text, problems).unwrap_or(DEFAULT_HTTP);
    if http.address.port() != 0 && listen.addresses.contains(&http.address) {
        problems.add(
            Problem::new(format!("{} is taken by [listen] already", http.address))
                .at(&text.at)
                .help("give HTTP a port of its own"),
        );
    }
    Some(http)
}

/// Who may look by name and password: both or neither.
fn login(raw: &RawHttp, env: Env<'_>, problems: &Problems) -> Option<HttpLogin> {
    let password = resolve(&raw.secret, env, problems).ok()?;
    if let Some(user) = raw.user.as_ref().filter(|user| user.value.contains([':', '\n', '\r'])) {
        problems.add(
            Problem::new(format!("{} cannot be the user of [http]", quoted(&user.value)))
                .at(&user.at)
                .help("valid here: a name without a colon, which would end it in a request"),
        );
    }
    match (&raw.user, password) {
        (Some(user), Some(password)) => {
            whole(&password, problems);
            Some(HttpLogin { user: user.value.clone(), password: password.value })
        }
        (Some(user), None) if !raw.broken => {
            problems.add(
                Problem::new("a user without a password, so everybody could look")
                    .at(&user.at)
                    .help("write one of password, password_env, password_file"),
            );
            None
        }
        (None, Some(password)) if !raw.broken => {
            problems.add(
                Problem::new("a password without its user")
                    .at(&password.at)
                    .help("write user = \"…\", or a token instead"),
            );
            None
        }
        _ => None,
    }
}

/// Refuses what is stored in place of a password: a request brings the password itself, which is compared.
fn whole(password: &Located<SecretString>, problems: &Problems) {
    let shape = Shape::of(password.value.expose_secret());
    if shape != Shape::Plain {
        problems.add(
            Problem::new(format!("the password of [http] is {}", shape.word()))
                .at(&password.at)
                .help("write the password itself, best by password_env or password_file"),
        );
    }
}

fn token(raw: &RawHttp, env: Env<'_>, problems: &Problems) -> Option<SecretString> {
    let token = resolve(&raw.token, env, problems).ok().flatten()?;
    let text = token.value.expose_secret();
    // What RFC 6750 lets a request carry.
    let may = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if text.len() < MIN_TOKEN || !text.bytes().all(may) {
        problems.add(
            Problem::new("the token cannot be used")
                .at(&token.at)
                .help(format!("valid here: at least {MIN_TOKEN} letters, digits and -._~+/="))
                .help("make one: openssl rand -hex 32"),
        );
    }
    Some(token.value)
}

/// `[admin]`: who may use the console.
pub(super) fn admin(raw: &Raw, problems: &Problems) -> Admin {
    let Some(typed) = &raw.admin else { return Admin::default() };
    let names = |list: Option<&Located<Vec<Located<String>>>>| {
        let list = list.into_iter().flat_map(|l| &l.value);
        list.map(|name| {
            known_user(name, raw, problems);
            Arc::from(name.value.as_str())
        })
        .collect::<BTreeSet<Arc<str>>>()
    };
    Admin { users: names(typed.users.as_ref()), stats_users: names(typed.stats_users.as_ref()) }
}

/// Refuses a user who is not there: the console's users log in as all others do.
fn known_user(name: &Located<String>, raw: &Raw, problems: &Problems) {
    if raw.users.iter().any(|user| user.name.value == name.value) {
        return;
    }
    let names: Vec<&str> = raw.users.iter().map(|user| user.name.value.as_str()).take(20).collect();
    let mut problem = Problem::new(format!("there is no user {}", quoted(&name.value))).at(&name.at);
    if names.is_empty() {
        problem = problem.help("write [users.X] for each, with a password");
    } else {
        problem = problem.help(format!("valid here: {}", names.join(", ")));
    }
    problems.add(problem);
}

/// `[observe]`.
pub(super) fn observe(raw: &Raw, problems: &Problems) -> Observe {
    let mut observe = Observe::default();
    let Some(typed) = &raw.observe else { return observe };
    set(&mut observe.enabled, typed.enabled.as_ref());
    set(&mut observe.max_tracked, typed.max_tracked.as_ref());
    set(&mut observe.max_tenants, typed.max_tenants.as_ref());
    set(&mut observe.parameters, typed.parameters.as_ref());
    set(&mut observe.n_plus_one.window, typed.window.as_ref());
    if let Some(threshold) = &typed.threshold {
        observe.n_plus_one.threshold = u32::try_from(threshold.value).unwrap_or(u32::MAX);
    }
    if let Some(window) = typed.window.as_ref().filter(|l| l.value < WINDOW.0 || l.value > WINDOW.1) {
        let mut problem = Problem::new("`window` is out of range").at(&window.at);
        problem = problem.help("valid here: from \"10ms\" to \"1m\"");
        if window.value.is_zero() {
            problem = problem.help("threshold = 0 switches the detection off");
        }
        problems.add(problem);
    }
    observe
}

fn set<T: Copy>(setting: &mut T, typed: Option<&Located<T>>) {
    if let Some(typed) = typed {
        *setting = typed.value;
    }
}
