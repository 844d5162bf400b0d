//! What dauphin knows of the servers: values only, from whoever looked, for whoever decides.

pub mod code;
pub mod dialect;
pub mod flavour;
pub mod group;
pub mod gtid;
pub mod gtids;
pub mod heartbeat;
pub mod lag;
pub mod observed;
pub mod report;
mod session_variables;

pub use flavour::Flavour;
pub use gtids::Gtids;
pub use observed::Topology;
