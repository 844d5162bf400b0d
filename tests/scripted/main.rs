//! Scripted sessions: what dauphin does when a server or a client fails at a chosen point.

mod bound;
mod catch_up;
mod client_gone;
mod login;
mod lost;
mod refused;
mod relay;
#[allow(dead_code)] // what the stories of tests/peers use besides
#[path = "../support/scripted/mod.rs"]
mod support;
