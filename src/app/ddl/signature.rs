//! The SQL that installs signed tenants.

use std::fmt::{self, Write};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Setting, literal};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;
/// Seconds that Howdah's clock may be ahead of the server's.
const AHEAD: u64 = 5;

/// What HMAC-SHA-256 hashes first in each of its two rounds: the key, padded and mixed. As secret as the key.
pub(crate) struct SigningKey {
    pub(super) inner: [u8; BLOCK],
    pub(super) outer: [u8; BLOCK],
}

impl SigningKey {
    /// From the bytes of `key_file`, whatever their number (RFC 2104: a key longer than a block is hashed).
    pub(crate) fn new(key: &[u8]) -> Self {
        let hashed;
        let short = if key.len() > BLOCK {
            hashed = digest(&SHA256, key);
            hashed.as_ref()
        } else {
            key
        };
        let mixed = |with: u8| {
            let mut block = [with; BLOCK];
            block.iter_mut().zip(short).for_each(|(byte, key)| *byte ^= key);
            block
        };
        Self { inner: mixed(0x36), outer: mixed(0x5c) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Lower case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

const HEAD: &str = "\
-- Installs howdah.tenant_id(), which returns the tenant that Howdah signed for this transaction, or NULL.
-- KEEP THIS SECRET: it holds the key. Who can read it can sign any tenant.
-- Run it as a role that no application logs in as, in each database with signed tenants; again after the key
-- or valid_for has changed. Policies use it as: tenant_id = (SELECT howdah.tenant_id())
BEGIN;

-- Out of the server's log, where that is allowed to whoever runs this.
DO $howdah$
BEGIN
    PERFORM set_config('log_statement', 'none', true), set_config('log_min_duration_statement', '-1', true),
        set_config('log_min_error_statement', 'panic', true);
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$howdah$;

CREATE SCHEMA IF NOT EXISTS howdah;
-- Who owns the schema could put another function in this one's place.
ALTER SCHEMA howdah OWNER TO CURRENT_USER;
REVOKE ALL ON SCHEMA howdah FROM PUBLIC;
GRANT USAGE ON SCHEMA howdah TO PUBLIC;

-- Made anew, so that nothing is left on it that somebody else put there.
DROP TABLE IF EXISTS howdah.signing_key;
CREATE TABLE howdah.signing_key (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    inner_block bytea NOT NULL CHECK (octet_length(inner_block) = 64),
    outer_block bytea NOT NULL CHECK (octet_length(outer_block) = 64)
);
-- Default privileges may have given some away.
DO $howdah$
DECLARE
    other record;
BEGIN
    FOR other IN
        SELECT DISTINCT a.grantee FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = 'howdah.signing_key'::regclass AND a.grantee <> c.relowner
    LOOP
        IF other.grantee = 0 THEN
            REVOKE ALL ON howdah.signing_key FROM PUBLIC;
        ELSE
            EXECUTE format('REVOKE ALL ON howdah.signing_key FROM %I', pg_get_userbyid(other.grantee));
        END IF;
    END LOOP;
END
$howdah$;
-- Not even pg_read_all_data reads it.
ALTER TABLE howdah.signing_key ENABLE ROW LEVEL SECURITY;
";

/// PARALLEL RESTRICTED, because a parallel worker has another process id. The number is looked at before it is
/// cast and the tenant is returned last, so nothing here raises an error. Digests are compared instead of the
/// signatures, so that the time it takes says nothing about the right one.
const FUNCTION: &str = "
CREATE OR REPLACE FUNCTION howdah.tenant_id() RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $howdah$
DECLARE
    tenant text := current_setting({setting}, true);
    signature text := current_setting('howdah.signature', true);
    seconds text := split_part(signature, '.', 2);
    age numeric;
    keys record;
    right_one text;
BEGIN
    IF tenant IS NULL OR tenant = '' OR signature IS NULL OR length(signature) > 100
        OR length(seconds) NOT BETWEEN 1 AND 12 OR translate(seconds, '0123456789', '') <> '' THEN
        RETURN NULL;
    END IF;
    SELECT k.inner_block, k.outer_block INTO keys FROM howdah.signing_key k;
    right_one := 'v1.' || seconds || '.' || encode(sha256(keys.outer_block || sha256(keys.inner_block ||
        convert_to('howdah.v1|' || pg_backend_pid() || '|' || seconds || '|' || tenant, 'UTF8'))), 'hex');
    IF sha256(convert_to(signature, 'UTF8')) IS DISTINCT FROM sha256(convert_to(right_one, 'UTF8')) THEN
        RETURN NULL;
    END IF;
    age := extract(epoch FROM now()) - seconds::numeric;
    IF age < -{ahead} OR age > {valid_for} THEN
        RETURN NULL;
    END IF;
    RETURN tenant;
END
$howdah$;
ALTER FUNCTION howdah.tenant_id() OWNER TO CURRENT_USER;
GRANT EXECUTE ON FUNCTION howdah.tenant_id() TO PUBLIC;

COMMIT;
";

/// One transaction that can be run again. `valid_for` is rounded up to whole seconds.
pub(crate) fn signature(setting: &Setting, key: &SigningKey, valid_for: Duration) -> String {
    let seconds = valid_for.as_secs() + u64::from(valid_for.subsec_nanos() > 0);
    let function = FUNCTION
        .replace("{setting}", &literal(setting.as_str()))
        .replace("{ahead}", &AHEAD.to_string())
        .replace("{valid_for}", &seconds.to_string());
    format!(
        "{HEAD}INSERT INTO howdah.signing_key (inner_block, outer_block)\n    VALUES (decode('{}', 'hex'), \
         decode('{}', 'hex'));\n{function}",
        hex(&key.inner),
        hex(&key.outer)
    )
}
