//! Settings that a text touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Touched {
    pub names: Vec<Box<str>>,
    pub unknown: bool,
    pub dynamic: bool,
    pub reset_all: bool,
    pub default_authorization: bool,
}
#[allow(missing_docs)]
pub fn touched(_text: &[u8], _standard_strings: bool) -> Option<Box<Touched>> {
    None
}
