//! The files of the page, in the binary.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

/// A file.
#[derive(Debug)]
pub(in crate::admin) struct Asset {
    /// Where it is served.
    pub(in crate::admin) path: &'static str,
    /// Its `Content-Type`.
    pub(in crate::admin) kind: &'static str,
    /// What is in it.
    pub(in crate::admin) content: &'static [u8],
    /// Changes with what is in it.
    pub(in crate::admin) tag: String,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

macro_rules! files {
    ($($path:literal $kind:ident $file:literal)*) => {
        [$(($path, $kind, include_bytes!(concat!("assets/", $file)).as_slice())),*]
    };
}

/// All of them.
pub(super) fn all() -> Vec<Asset> {
    let files = files! {
        "/" HTML "index.html"
        "/assets/page.css" STYLE "page.css"
        "/assets/icon.svg" IMAGE "icon.svg"
        "/assets/main.js" SCRIPT "main.js"
        "/assets/charts.js" SCRIPT "charts.js"
        "/assets/detail.js" SCRIPT "detail.js"
        "/assets/dom.js" SCRIPT "dom.js"
        "/assets/format.js" SCRIPT "format.js"
        "/assets/live.js" SCRIPT "live.js"
        "/assets/overview.js" SCRIPT "overview.js"
        "/assets/table.js" SCRIPT "table.js"
        "/assets/tables.js" SCRIPT "tables.js"
        "/assets/uplot/uPlot.iife.min.js" SCRIPT "uplot/uPlot.iife.min.js"
        "/assets/uplot/uPlot.min.css" STYLE "uplot/uPlot.min.css"
        "/assets/uplot/LICENSE" TEXT "uplot/LICENSE"
    };
    files.into_iter().map(|(path, kind, content)| Asset { path, kind, content, tag: tag(content) }).collect()
}

fn tag(content: &[u8]) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(content);
    format!("\"{:016x}\"", hasher.finish())
}
