//! Channel binding `tls-server-end-point` (RFC 5929, chapter 4): the hash of the server's certificate.

use aws_lc_rs::digest::{self, Algorithm};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{AlgorithmIdentifier, FromDer, X509Certificate};
use x509_parser::signature_algorithm::RsaSsaPssParams;

use super::AuthError;

/// The `tls-server-end-point` bytes for a DER certificate: hashed with the hash of its signature algorithm, and
/// SHA-256 where that is MD5 or SHA-1.
///
/// # Errors
/// [`AuthError::Certificate`] for something that is no certificate and for signatures without a hash of their own
/// (Ed25519): Postgres and libpq fail there as well, so a server does not offer channel binding with it.
pub fn channel_binding_hash(cert_der: &[u8]) -> Result<Vec<u8>, AuthError> {
    let (_, cert) = X509Certificate::from_der(cert_der).map_err(|_| AuthError::Certificate)?;
    let algorithm = signature_hash(&cert.signature_algorithm).ok_or(AuthError::Certificate)?;
    Ok(digest::digest(algorithm, cert_der).as_ref().to_vec())
}

fn signature_hash(signature: &AlgorithmIdentifier<'_>) -> Option<&'static Algorithm> {
    let name = &signature.algorithm;
    if *name == oid::OID_PKCS1_RSASSAPSS {
        let params = RsaSsaPssParams::try_from(signature.parameters.as_ref()?).ok()?;
        // Absent means SHA-1 (RFC 4055), which becomes SHA-256 here.
        return match params.hash_algorithm() {
            None => Some(&digest::SHA256),
            Some(hash) => named_hash(&hash.algorithm),
        };
    }
    let sha256 = [
        oid::OID_PKCS1_MD5WITHRSAENC,
        oid::OID_PKCS1_SHA1WITHRSA,
        oid::OID_PKCS1_SHA256WITHRSA,
        oid::OID_SIG_ECDSA_WITH_SHA256,
        ECDSA_WITH_SHA1,
    ];
    let sha384 = [oid::OID_PKCS1_SHA384WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA384];
    let sha512 = [oid::OID_PKCS1_SHA512WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA512];
    let sha224 = [oid::OID_PKCS1_SHA224WITHRSA, oid::OID_SIG_ECDSA_WITH_SHA224];
    [
        (&sha256[..], &digest::SHA256),
        (&sha384[..], &digest::SHA384),
        (&sha512[..], &digest::SHA512),
        (&sha224[..], &digest::SHA224),
    ]
    .into_iter()
    .find(|(names, _)| names.contains(name))
    .map(|(_, hash)| hash)
}

/// `ecdsa-with-SHA1`, which the registry lacks.
const ECDSA_WITH_SHA1: oid::Oid<'static> = oid::asn1_rs::oid!(1.2.840.10045.4.1);

fn named_hash(name: &oid::Oid<'_>) -> Option<&'static Algorithm> {
    [
        (oid::OID_HASH_SHA1, &digest::SHA256),
        (oid::OID_NIST_HASH_SHA256, &digest::SHA256),
        (oid::OID_NIST_HASH_SHA384, &digest::SHA384),
        (oid::OID_NIST_HASH_SHA512, &digest::SHA512),
    ]
    .into_iter()
    .find(|(known, _)| known == name)
    .map(|(_, hash)| hash)
}
