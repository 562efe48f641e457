//! `howdah doctor` and `howdah sql …`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use secrecy::{ExposeSecret, SecretSlice};

use super::cli::{FAILED, failed, load, wrong};
use super::ddl::{self, Identifier, Setting, SigningKey, TableName, Tenant};
use super::doctor;
use super::house::House;
use crate::config::Config;

/// What row-level security reads when no configuration says otherwise.
const SETTING: &str = "app.tenant_id";

/// `howdah sql …`: prints SQL, runs none.
#[derive(Subcommand)]
pub(super) enum Sql {
    /// Print what puts a table under row-level security by tenant; pipe it into psql as the table's owner.
    Protect {
        /// The table as in SQL: `orders`, `shop.orders`, `'"Odd Name"'`.
        table: String,
        /// The column with the tenant [default: the last part of the setting].
        #[arg(long)]
        column: Option<String>,
        /// The setting with the tenant [default: that of the configuration, else `app.tenant_id`].
        #[arg(long)]
        setting: Option<String>,
        /// Believe signed tenants only: see `howdah sql signature`.
        #[arg(long)]
        signed: bool,
        /// A configuration: its setting is used, and signed tenants if it signs them.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print what installs the function that policies call, which believes signed tenants only. The output holds the key.
    Signature {
        /// The configuration; it must sign tenants.
        #[arg(short, long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Print what lets a database be followed for the cache ([cache.follow]): the publication, the role, and on demand
    /// what tells of DDL; pipe it into psql, in each database.
    Follow {
        /// A configuration: its publication and user are taken.
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The publication [default: that of the configuration, else `howdah`].
        #[arg(long, value_name = "NAME")]
        publication: Option<String>,
        /// The role that follows, which gets REPLICATION [default: the user in [cache.follow]].
        #[arg(long, value_name = "NAME")]
        role: Option<String>,
        /// Make an event trigger that tells of DDL at once.
        #[arg(long)]
        ddl: bool,
    },
    /// Print the fingerprint of a query, for [[cache.rules]], and behind it the normalised text that it stands for.
    Fingerprint {
        /// The query.
        text: String,
    },
}

/// What a configuration says about tenants, as far as this room needs it.
struct Known {
    setting: Setting,
    /// The key of signed tenants, and how long a signature is valid.
    signature: Option<(SecretSlice<u8>, Duration)>,
}

fn known(config: &Config) -> Result<Known, String> {
    let tenancy = config.tenancy.as_deref();
    Ok(Known {
        setting: Setting::parse(tenancy.map_or(SETTING, |tenancy| &tenancy.setting))?,
        signature: tenancy
            .and_then(|tenancy| tenancy.signature.as_ref())
            .map(|signature| (signature.key.clone(), signature.valid_for)),
    })
}

/// `howdah doctor`: exit code 0 when nothing leaks, 1 when something does or cannot be looked at.
pub(super) fn doctor(path: &Path, database: Option<String>, column: Option<&str>, json: bool) -> ExitCode {
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let order = known(&config).and_then(|known| {
        let column = column.map_or_else(|| Ok(known.setting.column()), Identifier::parse)?;
        let key = known.signature.map(|(key, _)| key);
        Ok(doctor::Order { database, setting: known.setting, column, key })
    });
    let order = match order {
        Ok(order) => order,
        Err(error) => return wrong(&error),
    };
    let house = match House::build(config) {
        Ok(house) => house,
        Err(error) => return failed(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(doctor::examine(&house, &order)) {
        Ok(report) => {
            print!("{}", if json { report.json() } else { report.text() });
            if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(error) => wrong(&error),
    }
}

/// `howdah sql …`.
pub(super) fn sql(what: Sql) -> ExitCode {
    let printed = match what {
        Sql::Protect { table, column, setting, signed, config } => {
            let known = match config.as_deref().map(load).transpose() {
                Ok(config) => config.as_ref().map(known).transpose(),
                Err(code) => return code,
            };
            known.and_then(|known| protect(&table, column.as_deref(), setting.as_deref(), signed, known))
        }
        Sql::Follow { config, publication, role, ddl } => match config.as_deref().map(load).transpose() {
            Ok(config) => follow(publication.as_deref(), role.as_deref(), config.as_ref(), ddl),
            Err(code) => return code,
        },
        Sql::Fingerprint { text } => {
            let normal = crate::sql::normalise(text.as_bytes(), true);
            let print = crate::sql::fingerprint(&normal);
            Ok(format!("{print:016x} {}\n", String::from_utf8_lossy(&normal)))
        }
        Sql::Signature { config } => match load(&config) {
            Ok(config) => known(&config).and_then(signature),
            Err(code) => return code,
        },
    };
    match printed {
        Ok(sql) => {
            print!("{sql}");
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&error),
    }
}

fn protect(
    table: &str,
    column: Option<&str>,
    setting: Option<&str>,
    signed: bool,
    known: Option<Known>,
) -> Result<String, String> {
    let signed = signed || known.as_ref().is_some_and(|known| known.signature.is_some());
    let setting = match (setting, known) {
        (Some(typed), _) => Setting::parse(typed)?,
        (None, Some(known)) => known.setting,
        (None, None) => Setting::parse(SETTING)?,
    };
    let table = TableName::parse(table)?;
    let column = column.map_or_else(|| Ok(setting.column()), Identifier::parse)?;
    let tenant = if signed { Tenant::Signed } else { Tenant::Plain(setting) };
    Ok(ddl::protect(&table, &column, &tenant))
}

fn follow(
    publication: Option<&str>,
    role: Option<&str>,
    config: Option<&Config>,
    ddl: bool,
) -> Result<String, String> {
    let configured =
        config.and_then(|config| Some(config.cache.as_ref()?.follow.clone())).unwrap_or_default();
    let publication =
        publication.map_or_else(|| Ok(Identifier::known(&configured.publication)), Identifier::parse)?;
    let known = configured.user.as_deref().map(|user| Ok(Identifier::known(user)));
    let role = role.map(Identifier::parse).or(known).transpose()?;
    Ok(ddl::follow(&publication, role.as_ref(), ddl))
}

fn signature(known: Known) -> Result<String, String> {
    let (key, valid_for) =
        known.signature.ok_or("the configuration has no [tenancy.signature] with a key_file")?;
    Ok(ddl::signature(&known.setting, &SigningKey::new(key.expose_secret()), valid_for))
}
