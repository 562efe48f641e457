//! Metrics of a process that runs: its version, its limits, reloads, certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result};

/// A certificate that is in use, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What it is for.
    pub role: CertificateRole,
    /// The database towards whose server it is used; nothing for clients.
    pub database: String,
    /// The first second in which it is not valid, since 1970.
    pub expires: i64,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateRole {
    /// Howdah shows it to clients.
    Listen,
    /// Clients' certificates must chain to it.
    ClientAuthority,
    /// Howdah shows it to a server.
    Server,
    /// A server's certificate must chain to it.
    ServerAuthority,
}

impl CertificateRole {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::ClientAuthority => "client_authority",
            Self::Server => "server",
            Self::ServerAuthority => "server_authority",
        }
    }
}

/// Metrics of the process.
#[derive(Clone, Debug)]
pub struct Running {
    /// Clients that may be logged in at one time.
    pub max_clients: IntGauge,
    /// 1 while clients are let go and no more are taken.
    pub draining: IntGauge,
    build: IntGaugeVec,
    reloads: IntCounter,
    reload_failures: IntCounter,
    results: IntCounterVec,
    last_worked: IntGauge,
    last_success: Gauge,
    certificates: GaugeVec,
}

impl Running {
    pub(super) fn new() -> Result<Self> {
        let results = IntCounterVec::new(
            Opts::new(
                "howdah_config_reloads_total",
                "Times that the configuration was read again, by result.",
            ),
            &["result"],
        )?;
        let build = IntGaugeVec::new(Opts::new("howdah_build_info", "Which Howdah it is."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let running = Self {
            max_clients: IntGauge::new(
                "howdah_max_clients",
                "Clients that may be logged in at one time: max_client_conn of the configuration.",
            )?,
            draining: IntGauge::new("howdah_draining", "1 while clients are let go and no more are taken.")?,
            build,
            // Both are there from the start, so that the first failure is an increase.
            reloads: results.with_label_values(&["success"]),
            reload_failures: results.with_label_values(&["failure"]),
            results,
            last_worked: IntGauge::new(
                "howdah_config_last_reload_successful",
                "1 if the configuration in use is the one that was read last.",
            )?,
            last_success: Gauge::new(
                "howdah_config_last_reload_success_timestamp_seconds",
                "When the configuration in use was read, in seconds since 1970.",
            )?,
            certificates: GaugeVec::new(
                Opts::new(
                    "howdah_certificate_expiry_timestamp_seconds",
                    "When a certificate in use ends, in seconds since 1970.",
                ),
                &["role", "database"],
            )?,
        };
        running.took_configuration();
        Ok(running)
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<()> {
        let all: [Box<dyn Collector>; 7] = [
            Box::new(self.max_clients.clone()),
            Box::new(self.draining.clone()),
            Box::new(self.build.clone()),
            Box::new(self.results.clone()),
            Box::new(self.last_worked.clone()),
            Box::new(self.last_success.clone()),
            Box::new(self.certificates.clone()),
        ];
        all.into_iter().try_for_each(|metric| registry.register(metric))
    }

    fn took_configuration(&self) {
        self.last_worked.set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_success.set(now.as_secs_f64());
    }

    /// The configuration was read again, and is in use if it `worked`.
    pub fn reloaded(&self, worked: bool) {
        if worked {
            self.reloads.inc();
            self.took_configuration();
        } else {
            self.reload_failures.inc();
            self.last_worked.set(0);
        }
    }

    /// These certificates are in use now, and no others.
    pub fn certificates(&self, certificates: &[Certificate]) {
        self.certificates.reset();
        for certificate in certificates {
            let labels = [certificate.role.word(), &certificate.database];
            self.certificates.with_label_values(&labels).set(certificate.expires as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::observe::{Format, Metrics};

    fn certificate(role: CertificateRole, database: &str, expires: i64) -> Certificate {
        Certificate { role, database: database.to_owned(), expires }
    }

    #[test]
    fn certificates_that_are_used_no_more_are_not_told() {
        let metrics = Metrics::new().unwrap();
        let (listen, server) = (CertificateRole::Listen, CertificateRole::Server);
        metrics
            .running
            .certificates(&[certificate(listen, "", 2_000_000_000), certificate(server, "app", 5)]);
        let text = metrics.render(Format::Text, None);
        let name = "howdah_certificate_expiry_timestamp_seconds";
        assert!(text.contains(&format!("{name}{{database=\"\",role=\"listen\"}} 2000000000\n")), "{text}");
        assert!(text.contains(&format!("{name}{{database=\"app\",role=\"server\"}} 5\n")), "{text}");
        metrics.running.certificates(&[certificate(listen, "", 2_000_000_001)]);
        let text = metrics.render(Format::Text, None);
        assert!(
            text.contains("role=\"listen\"} 2000000001\n") && !text.contains("role=\"server\""),
            "{text}"
        );
    }

    #[test]
    fn a_reload_that_failed_is_told_until_one_works() {
        let metrics = Metrics::new().unwrap();
        let told = |line: &str| metrics.render(Format::Text, None).lines().any(|l| l == line);
        assert!(told("howdah_config_last_reload_successful 1"));
        assert!(told("howdah_config_reloads_total{result=\"failure\"} 0"));
        metrics.running.reloaded(false);
        assert!(told("howdah_config_last_reload_successful 0"));
        assert!(told("howdah_config_reloads_total{result=\"failure\"} 1"));
        metrics.running.reloaded(true);
        assert!(told("howdah_config_last_reload_successful 1"));
        assert!(told("howdah_config_reloads_total{result=\"success\"} 1"));
    }
}
