//! The arithmetic of password proofs: what a client answers to a challenge, and what can be learned from it.
//!
//! Sources: MySQL manual, "Caching SHA-2 Pluggable Authentication" and "Native Pluggable Authentication";
//! with `H` the method's hash, a stored value is `H(H(password))` and an answer is `H(password)` hidden by XOR.

use mysql_common::auth::plugins::{
    caching_sha2_password::scramble_sha256, mysql_native_password::scramble_native,
};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::connect::NONCE;

/// Name of MySQL 8's default method.
pub const CACHING_SHA2: &str = "caching_sha2_password";
/// Name of MySQL's method before that, for accounts made with it.
pub const SHA256: &str = "sha256_password";
/// Name of MariaDB's default method, and of MySQL's before 8.0.
pub const NATIVE: &str = "mysql_native_password";
/// Name of the method that sends the password as it is.
pub const CLEAR: &str = "mysql_clear_password";

/// `sha256_password`: the client asks for the server's RSA key.
pub const SHA256_REQUEST_KEY: u8 = 1;
/// `caching_sha2_password`: the client asks for the server's RSA key.
pub const SHA2_REQUEST_KEY: u8 = 2;
/// `caching_sha2_password`: the answer was right, OK follows.
pub const SHA2_FAST_OK: u8 = 3;
/// `caching_sha2_password`: the server wants the password itself, by TLS or RSA.
pub const SHA2_FULL: u8 = 4;

/// A client's answer by `caching_sha2_password`; empty for an empty password.
pub fn answer_sha2(nonce: &[u8; NONCE], password: &[u8]) -> Vec<u8> {
    scramble_sha256(nonce, password).map(|answer| answer.to_vec()).unwrap_or_default()
}

/// A client's answer by `mysql_native_password`; empty for an empty password.
pub fn answer_native(nonce: &[u8; NONCE], password: &[u8]) -> Vec<u8> {
    scramble_native(nonce, password).map(|answer| answer.to_vec()).unwrap_or_default()
}

/// A client's answer by `mysql_native_password`, made from SHA1(password) alone.
pub fn answer_native_from_hash(nonce: &[u8; NONCE], sha1_password: &[u8; 20]) -> [u8; 20] {
    let stored = Sha1::digest(sha1_password);
    let mask = Sha1::new().chain_update(nonce).chain_update(stored).finalize();
    xor(sha1_password, &mask.into())
}

/// What proves a password by `caching_sha2_password`'s fast path: SHA256(SHA256(password)).
pub fn sha2_verifier(password: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(password)).into()
}

/// Whether `answer` was made from the password behind `verifier`.
pub fn verify_sha2(nonce: &[u8; NONCE], answer: &[u8], verifier: &[u8; 32]) -> bool {
    let Ok(answer) = <&[u8; 32]>::try_from(answer) else {
        return false;
    };
    let mask = Sha256::new().chain_update(verifier).chain_update(nonce).finalize();
    let candidate = xor(answer, &mask.into());
    equal_in_constant_time(&Sha256::digest(candidate), verifier)
}

/// SHA1(password), if `answer` was made by `mysql_native_password` from the password behind `stored`
/// (SHA1(SHA1(password)), as `mysql.user` holds it).
pub fn native_secret(nonce: &[u8; NONCE], answer: &[u8], stored: &[u8; 20]) -> Option<[u8; 20]> {
    let answer = <&[u8; 20]>::try_from(answer).ok()?;
    let mask = Sha1::new().chain_update(nonce).chain_update(stored).finalize();
    let candidate = xor(answer, &mask.into());
    equal_in_constant_time(&Sha1::digest(candidate), stored).then_some(candidate)
}

/// SHA1(SHA1(password)), as `mysql_native_password` stores it.
pub fn native_stored(password: &[u8]) -> [u8; 20] {
    Sha1::digest(Sha1::digest(password)).into()
}

/// SHA1(password), which is all that answers need.
pub fn native_hash(password: &[u8]) -> [u8; 20] {
    Sha1::digest(password).into()
}

/// SHA1(SHA1(password)) from SHA1(password).
pub fn native_stored_from_hash(sha1_password: &[u8; 20]) -> [u8; 20] {
    Sha1::digest(sha1_password).into()
}

/// Reads `*` and 40 hexadecimal digits, the form in which `mysql.user` shows a native hash.
pub fn parse_native_stored(text: &[u8]) -> Option<[u8; 20]> {
    let digits = text.strip_prefix(b"*").filter(|digits| digits.len() == 40)?;
    let mut stored = [0; 20];
    for (byte, pair) in stored.iter_mut().zip(digits.as_chunks::<2>().0) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(stored)
}

/// The password as a client sends it for RSA: NUL-terminated and hidden by the challenge. The same call undoes it.
pub fn xor_with_nonce(text: &mut [u8], nonce: &[u8; NONCE]) {
    for (byte, mask) in text.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
}

/// Encrypts what [`xor_with_nonce`] made for a server's RSA key in PEM (OAEP with SHA-1).
///
/// # Errors
/// The key is not readable or too short for the password.
pub fn encrypt_for_server(masked: &[u8], key_pem: &[u8]) -> Result<Vec<u8>, crate::ProtocolError> {
    mysql_common::crypto::encrypt(masked, key_pem)
        .map_err(|_| crate::ProtocolError::Unexpected("a server's RSA public key"))
}

fn xor<const N: usize>(a: &[u8; N], b: &[u8; N]) -> [u8; N] {
    std::array::from_fn(|i| a[i] ^ b[i])
}

/// Compares without telling by its duration where the difference lies.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// What a MariaDB server says in the OK packet of a `mysql_native_password` login under TLS, so that a client can trust
/// a certificate that it cannot check: who says this knows the password's hash and has seen the same certificate.
pub fn certificate_proof(stored: &[u8; 20], nonce: &[u8; NONCE], certificate_sha256: &[u8; 32]) -> Vec<u8> {
    let digest =
        Sha256::new().chain_update(stored).chain_update(nonce).chain_update(certificate_sha256).finalize();
    let mut out = vec![1];
    out.extend(digest.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE_A: &[u8; NONCE] = b"01234567890123456789";

    #[test]
    fn a_certificate_is_vouched_for_as_mariadb_does() {
        // MariaDB 11.8.6: the challenge, SHA-256 of its certificate, and what its OK packet said to the password "admin".
        let nonce = [79, 90, 86, 35, 70, 121, 78, 88, 80, 104, 59, 45, 111, 105, 64, 66, 106, 112, 115, 112];
        let certificate = [
            93, 180, 107, 47, 174, 214, 25, 98, 37, 187, 86, 203, 230, 122, 34, 181, 130, 59, 77, 109, 38, 6,
            50, 79, 251, 227, 91, 19, 240, 132, 55, 210,
        ];
        let said = b"\x017642FEF7F1EC5402390C463B2982FB51C03CDBDF0822F864BCB4D7B73E1CBA6F";
        assert_eq!(certificate_proof(&native_stored(b"admin"), &nonce, &certificate), said);
    }

    #[test]
    fn a_right_sha2_answer_proves_the_password_and_a_wrong_one_does_not() {
        let verifier = sha2_verifier(b"secret");
        assert!(verify_sha2(NONCE_A, &answer_sha2(NONCE_A, b"secret"), &verifier));
        assert!(!verify_sha2(NONCE_A, &answer_sha2(NONCE_A, b"Secret"), &verifier));
        assert!(!verify_sha2(b"98765432109876543210", &answer_sha2(NONCE_A, b"secret"), &verifier));
    }

    #[test]
    fn the_native_secret_follows_from_the_stored_hash_and_the_answer() {
        let stored = native_stored(b"secret");
        let secret = native_secret(NONCE_A, &answer_native(NONCE_A, b"secret"), &stored).unwrap();
        assert_eq!(answer_native_from_hash(NONCE_A, &secret).to_vec(), answer_native(NONCE_A, b"secret"));
        assert_eq!(native_secret(NONCE_A, &answer_native(NONCE_A, b"wrong"), &stored), None);
    }

    #[test]
    fn a_stored_hash_is_read_as_mysql_user_shows_it() {
        // SELECT PASSWORD('secret') on MariaDB 11.8.
        let shown = b"*14E65567ABDB5135D0CFD9A70B3032C179A49EE7";
        assert_eq!(parse_native_stored(shown), Some(native_stored(b"secret")));
        assert_eq!(parse_native_stored(b"*14E6"), None);
    }
}
