//! What dauphin knows of the servers: values only, from whoever looked, for whoever decides.

pub mod flavour;
pub mod gtid;

pub use flavour::Flavour;
