//! Every option there is, for whoever wants to show or check them.

use super::options::KnownOption;
use super::{
    Account, Admin, AdminUser, Auth, Cache, ClientTls, Failover, Limits, Listen, Log, Monitor, Pool, Routing,
    Server, ServerTls, Threads, User,
};

/// Every option there is, in the order of the file.
pub fn options() -> Vec<KnownOption> {
    let sections = [
        ("servers[]", Server::options()),
        ("account", Account::options()),
        ("listen", Listen::options()),
        ("tls.client", ClientTls::options()),
        ("tls.server", ServerTls::options()),
        ("auth", Auth::options()),
        ("users[]", User::options()),
        ("pool", Pool::options()),
        ("routing", Routing::options()),
        ("cache", Cache::options()),
        ("limits", Limits::options()),
        ("monitor", Monitor::options()),
        ("failover", Failover::options()),
        ("admin", Admin::options()),
        ("admin.users[]", AdminUser::options()),
        ("log", Log::options()),
        ("threads", Threads::options()),
    ];
    let placed = |(section, options): (&str, Vec<KnownOption>)| -> Vec<KnownOption> {
        let place =
            |option: KnownOption| KnownOption { path: format!("{section}.{}", option.path), ..option };
        options.into_iter().map(place).collect()
    };
    [Server::list()].into_iter().chain(sections.into_iter().flat_map(placed)).collect()
}
