//! Accounts that have proven themselves: who may log in without asking a server again, and for how long.
//!
//! Accounts live on the servers. A password is proven by logging in with it; the proof is trusted for
//! `[auth] recheck`, after which the next login asks a server again; and until somebody changes accounts through this dauphin.

use std::{collections::HashMap, sync::Arc, time::Duration};

use dauphin_proto::{auth, connect::NONCE};
use parking_lot::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{
    backend::{Account, Proof},
    config::{Consistency, Secret, User},
};

/// What is remembered of a proven account.
#[derive(Debug)]
struct Known {
    account: Arc<Account>,
    /// SHA256(SHA256(password)), for the fast path of `caching_sha2_password`.
    sha2: Option<Zeroizing<[u8; 32]>>,
    /// SHA1(SHA1(password)), for `mysql_native_password`.
    native: Zeroizing<[u8; 20]>,
    proven: Instant,
    /// Accounts or privileges were changed since.
    doubted: bool,
}

/// What the config says of a user.
#[derive(Debug)]
struct Configured {
    password: Secret,
    consistency: Option<Consistency>,
}

/// An account whose password a client has shown to know.
#[derive(Debug)]
pub struct Fitting {
    /// The account.
    pub account: Arc<Account>,
    /// Whether its proof is still trusted; if not, a server is to be asked again whether it is its password.
    pub trusted: bool,
}

/// The registry. Passwords are held in memory only: a server whose cache is cold wants the password itself.
#[derive(Debug)]
pub struct Accounts {
    known: Mutex<HashMap<Box<[u8]>, Known>>,
    configured: HashMap<Box<[u8]>, Configured>,
    recheck: Duration,
    most: usize,
}

impl Accounts {
    /// An empty registry, with the users of the config.
    pub fn new(users: &[User], recheck: Duration, most: usize) -> Self {
        let configured = users.iter().map(|user| {
            let configured = Configured { password: user.password.clone(), consistency: user.consistency };
            (user.name.as_bytes().into(), configured)
        });
        let configured = configured.collect();
        Self { known: Mutex::default(), configured, recheck, most }
    }

    /// The password that the config gives a user.
    pub fn configured(&self, user: &[u8]) -> Option<&Secret> {
        self.configured.get(user).map(|configured| &configured.password)
    }

    /// What the config promises a user's reads, if it says.
    pub fn consistency(&self, user: &[u8]) -> Option<Consistency> {
        self.configured.get(user)?.consistency
    }

    /// The account, if `answer` to `nonce` by `caching_sha2_password` fits its password.
    pub fn by_sha2(&self, user: &[u8], nonce: &[u8; NONCE], answer: &[u8]) -> Option<Fitting> {
        self.fitting(user, |known| {
            known.sha2.as_ref().is_some_and(|verifier| auth::verify_sha2(nonce, answer, verifier))
        })
    }

    /// The account, if `answer` to `nonce` by `mysql_native_password` fits its password.
    pub fn by_native(&self, user: &[u8], nonce: &[u8; NONCE], answer: &[u8]) -> Option<Fitting> {
        self.fitting(user, |known| auth::native_secret(nonce, answer, &known.native).is_some())
    }

    /// The account, if this is its password and the proof is still trusted.
    pub fn by_password(&self, user: &[u8], password: &[u8]) -> Option<Arc<Account>> {
        self.fitting(user, |known| is_password(&known.account, password))
            .and_then(|fitting| fitting.trusted.then_some(fitting.account))
    }

    fn fitting(&self, user: &[u8], proves: impl Fn(&Known) -> bool) -> Option<Fitting> {
        let known = self.known.lock();
        let entry = known.get(user).filter(|entry| proves(entry))?;
        let account = if entry.doubted {
            Arc::new(Account::new(user, entry.account.proof.clone()))
        } else {
            entry.account.clone()
        };
        Some(Fitting { account, trusted: !entry.doubted && entry.proven.elapsed() < self.recheck })
    }

    /// The account to ask a server about: the known one if the proof is the same, so that its connections are shared.
    pub fn candidate(&self, user: &[u8], proof: Proof) -> Arc<Account> {
        let known = self.known.lock();
        let same = known.get(user).filter(|entry| {
            !entry.doubted
                && match (&entry.account.proof, &proof) {
                    (Proof::Password(ours), Proof::Password(theirs)) => **ours == **theirs,
                    (Proof::Password(ours), Proof::NativeHash(theirs)) => auth::native_hash(ours) == **theirs,
                    (Proof::NativeHash(ours), Proof::NativeHash(theirs)) => **ours == **theirs,
                    (Proof::NativeHash(_), Proof::Password(_)) => false,
                }
        });
        same.map_or_else(|| Arc::new(Account::new(user, proof)), |entry| entry.account.clone())
    }

    /// A server has accepted the account; answers the one it takes the place of.
    pub fn proven(&self, account: &Arc<Account>) -> Option<Arc<Account>> {
        let (sha2, native) = match &account.proof {
            Proof::Password(password) => {
                (Some(Zeroizing::new(auth::sha2_verifier(password))), auth::native_stored(password))
            }
            Proof::NativeHash(hash) => (None, auth::native_stored_from_hash(hash)),
        };
        let entry = Known {
            account: account.clone(),
            sha2,
            native: Zeroizing::new(native),
            proven: Instant::now(),
            doubted: false,
        };
        let mut known = self.known.lock();
        if known.len() >= self.most && !known.contains_key(&account.user) {
            let oldest = known.iter().min_by_key(|(_, entry)| entry.proven).map(|(user, _)| user.clone());
            oldest.and_then(|user| known.remove(&user));
        }
        let old = known.insert(account.user.clone(), entry)?.account;
        (old.id != account.id).then_some(old)
    }

    /// Somebody has changed accounts, privileges or global variables. The next login of each user is a server's to judge, and
    /// is a new account: a connection keeps the session variables' defaults that it was opened with, and the privileges on
    /// its default schema and on all schemas, and only sessions that are as old may go on with them (MySQL manual, "When
    /// Privilege Changes Take Effect").
    pub fn doubt_all(&self) {
        self.known.lock().values_mut().for_each(|entry| entry.doubted = true);
    }

    /// A server has refused the account: it proves nothing any more.
    pub fn refused(&self, account: &Account) {
        let mut known = self.known.lock();
        if known.get(&account.user).is_some_and(|entry| entry.account.id == account.id) {
            known.remove(&account.user);
        }
    }
}

fn is_password(account: &Account, password: &[u8]) -> bool {
    match &account.proof {
        Proof::Password(known) => auth::sha2_verifier(known) == auth::sha2_verifier(password),
        Proof::NativeHash(hash) => auth::native_hash(password) == **hash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE_A: &[u8; NONCE] = b"01234567890123456789";

    fn accounts() -> Accounts {
        Accounts::new(&[], Duration::from_secs(60), 2)
    }

    fn prove(accounts: &Accounts, user: &str, password: &str) -> Option<Arc<Account>> {
        let proof = Proof::Password(Zeroizing::new(password.as_bytes().to_vec()));
        accounts.proven(&accounts.candidate(user.as_bytes(), proof))
    }

    #[tokio::test(start_paused = true)]
    async fn a_proof_is_trusted_for_its_time_and_no_longer() {
        let accounts = accounts();
        prove(&accounts, "app", "secret");
        let answer = auth::answer_sha2(NONCE_A, b"secret");
        let trusts = || accounts.by_sha2(b"app", NONCE_A, &answer).is_some_and(|fitting| fitting.trusted);
        assert!(trusts());
        assert!(accounts.by_native(b"app", NONCE_A, &auth::answer_native(NONCE_A, b"secret")).is_some());
        assert!(accounts.by_sha2(b"app", NONCE_A, &auth::answer_sha2(NONCE_A, b"other")).is_none());
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!trusts() && accounts.by_password(b"app", b"secret").is_none());
        prove(&accounts, "app", "secret");
        assert!(trusts());
    }

    #[tokio::test]
    async fn a_changed_password_is_another_account() {
        let accounts = accounts();
        assert!(prove(&accounts, "app", "secret").is_none());
        assert!(prove(&accounts, "app", "secret").is_none(), "the same proof is the same account");
        let replaced = prove(&accounts, "app", "changed").unwrap();
        assert!(accounts.by_password(b"app", b"secret").is_none());
        accounts.refused(&replaced);
        assert!(
            accounts.by_password(b"app", b"changed").is_some(),
            "an old account's refusal is not the new one's"
        );
    }

    #[tokio::test]
    async fn once_accounts_have_changed_a_login_is_a_new_account() {
        let accounts = accounts();
        prove(&accounts, "app", "secret");
        let fitting = || accounts.by_sha2(b"app", NONCE_A, &auth::answer_sha2(NONCE_A, b"secret")).unwrap();
        let before = fitting().account;
        accounts.doubt_all();
        assert!(!fitting().trusted && fitting().account.id != before.id);
        assert!(accounts.by_password(b"app", b"secret").is_none());
        let replaced = prove(&accounts, "app", "secret").unwrap();
        assert_eq!(replaced.id, before.id);
        assert!(fitting().trusted && fitting().account.id != before.id);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_proof_goes_when_there_are_too_many() {
        let accounts = accounts();
        for user in ["a", "b", "c"] {
            prove(&accounts, user, "secret");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let trusted = |user: &str| accounts.by_password(user.as_bytes(), b"secret").is_some();
        assert!(!trusted("a") && trusted("b") && trusted("c"));
    }
}
