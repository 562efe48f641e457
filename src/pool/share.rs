//! Whose transactions share a pool, and how much of it is whose. Pure.

/// Whose transactions share a pool: one tenant. Cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The tenant's number; 0: no tenant.
    pub tenant: u64,
    /// Turns in a row that it gets when several tenants wait, and its part of the places; at least 1.
    pub weight: u32,
    /// Server connections that it may have at the same time; `usize::MAX`: no limit.
    pub max_connections: usize,
}

impl Default for Share {
    fn default() -> Self {
        Self { tenant: 0, weight: 1, max_connections: usize::MAX }
    }
}

/// How many server connections a pool has for its tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Connections that there are or may be.
    pub size: usize,
    /// The last free ones, kept for tenants that have less than their fair share; 0: none are kept.
    pub headroom: usize,
}

impl Places {
    /// A tenth of the places is kept, at least one. In a pool of less than four that would be too much: none.
    pub fn new(size: usize) -> Self {
        let headroom = if size < 4 { 0 } else { (size / 10).max(1) };
        Self { size, headroom }
    }

    /// The fair share of a tenant of this weight, in connections, rounded up: so never 0.
    pub fn fair(self, weight: u32, weights: u64) -> usize {
        let weight = u64::from(weight.max(1));
        let fair = (self.size as u64).saturating_mul(weight).div_ceil(weights.max(weight));
        usize::try_from(fair).unwrap_or(usize::MAX).max(1)
    }
}
