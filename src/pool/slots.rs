//! How many server connections there may be. Pure.

/// Counts of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Connections that exist, lent or not.
    open: usize,
    /// Connections that are being made.
    connecting: usize,
}

/// What bounds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `default_pool_size`.
    pub size: usize,
    /// `reserve_pool_size`, once somebody has waited for `reserve_pool_timeout`.
    pub reserve: usize,
    /// Connections made at the same time.
    pub connecting: usize,
}

impl Slots {
    /// Connections that exist or are being made.
    pub fn taken(&self) -> usize {
        self.open + self.connecting
    }

    /// Connections that exist.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Connections that are being made.
    pub fn connecting(&self) -> usize {
        self.connecting
    }

    /// Whether another one may be made for `waiting` clients.
    pub fn may_open(&self, waiting: usize, limits: Limits, use_reserve: bool) -> bool {
        let size = limits.size + if use_reserve { limits.reserve } else { 0 };
        waiting > self.connecting && self.taken() < size && self.connecting < limits.connecting
    }

    /// One is being made.
    pub fn begin(&mut self) {
        self.connecting += 1;
    }

    /// It was made.
    pub fn opened(&mut self) {
        self.connecting = self.connecting.saturating_sub(1);
        self.open += 1;
    }

    /// It could not be made.
    pub fn failed(&mut self) {
        self.connecting = self.connecting.saturating_sub(1);
    }

    /// One was closed.
    pub fn closed(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}
