//! HTTP: the commands as JSON, metrics for Prometheus, and health for whoever sends clients here.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use base64::Engine as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderName},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{
    Admin, Failure, Who,
    command::{COMMANDS, Command, Verb},
    login::PENALTY,
    order::{Arguments, LONGEST, Order},
    prometheus,
};
use crate::{
    config::{self, Secret},
    listener::Listener,
    net::Stream,
};

/// How long the head of a request, or a TLS handshake, may take; and how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

type Answer = Response<Full<Bytes>>;

/// Serves HTTP for ever; HTTPS on a port that other machines reach.
pub async fn listen(admin: Arc<Admin>, listener: Listener, is_open: bool, places: Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                // No place: the connection is closed, as any server at its limit does.
                let Ok(place) = places.clone().try_acquire_owned() else { continue };
                let admin = admin.clone();
                tokio::spawn(async move {
                    let _place = place;
                    if let Err(error) = serve(admin, stream, is_open).await {
                        tracing::debug!(%error, "an HTTP connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(address = listener.address(), %error, "cannot accept an HTTP connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(admin: Arc<Admin>, mut stream: Stream, is_open: bool) -> anyhow::Result<()> {
    if admin.requires_tls(is_open) && matches!(stream, Stream::Tcp(_)) {
        let acceptor = admin.context.acceptor.as_ref();
        let acceptor = acceptor.ok_or_else(|| anyhow::anyhow!("[tls.client] mode is disabled"))?;
        stream = tokio::time::timeout(HEAD_TIMEOUT, stream.accept_tls(&acceptor.tls)).await??;
    }
    let host =
        stream.peer().map_or_else(|| "localhost".to_owned(), |peer| peer.ip().to_canonical().to_string());
    let answer = service_fn(move |request| {
        let (admin, host) = (admin.clone(), host.clone());
        async move { Ok::<_, Infallible>(answer(&admin, request, &host).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), answer)
        .await?;
    Ok(())
}

async fn answer(admin: &Admin, request: Request<Incoming>, host: &str) -> Answer {
    let mut answer = match route(admin, request, host).await {
        Ok(answer) => answer,
        Err((status, why)) => {
            let mut answer = json_of(status, &json!({ "error": why }));
            if status == StatusCode::UNAUTHORIZED {
                let challenge =
                    header::HeaderValue::from_static("Basic realm=\"dauphin\", charset=\"UTF-8\"");
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            answer
        }
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    answer
}

type Refusal = (StatusCode, String);

async fn route(admin: &Admin, request: Request<Incoming>, host: &str) -> Result<Answer, Refusal> {
    let path = request.uri().path().to_owned();
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    // Health says nothing that needs a password, and those who ask have none.
    match (path.as_str(), is_read) {
        ("/healthz", true) => return Ok(text(StatusCode::OK, "ok\n".to_owned())),
        ("/readyz", true) => {
            return Ok(match admin.ready() {
                Ok(how) => text(StatusCode::OK, format!("{how}\n")),
                Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            });
        }
        _ => {}
    }
    let who = match check_who(&admin.context.config.admin, request.headers(), host) {
        Ok(who) => who,
        Err(refusal) => {
            // Nobody tries many.
            if request.headers().contains_key(header::AUTHORIZATION) {
                tokio::time::sleep(PENALTY).await;
            }
            return Err(refusal);
        }
    };
    if path == "/metrics" && is_read {
        let mut answer = text(StatusCode::OK, prometheus::text(&admin.context, &admin.control));
        let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        return Ok(answer);
    }
    let not_found = || {
        let paths: Vec<_> = COMMANDS.iter().map(|command| format!("/api/v1/{}", command.path)).collect();
        let known = format!("there are /healthz, /readyz, /metrics, {}", paths.join(", "));
        (StatusCode::NOT_FOUND, format!("there is no {path}; {known}"))
    };
    let command = path.strip_prefix("/api/v1/").and_then(Command::at_path).ok_or_else(not_found)?;
    let arguments = match (command.verb, is_read) {
        (Verb::Help | Verb::Show(_), true) => from_query(request.uri().query().unwrap_or_default())?,
        (Verb::Act(_), false) if request.method() == Method::POST => {
            check_where_from(request.headers())?;
            from_body(request.into_body()).await?
        }
        (Verb::Act(_), _) => return Err((StatusCode::METHOD_NOT_ALLOWED, "this wants POST".to_owned())),
        (_, _) => return Err((StatusCode::METHOD_NOT_ALLOWED, "this wants GET".to_owned())),
    };
    let order = Order::new(command, arguments).map_err(|wrong| (StatusCode::BAD_REQUEST, wrong))?;
    match admin.carry_out(&order, &who).await {
        Ok(table) => Ok(json_of(StatusCode::OK, &table.json())),
        Err(Failure::Wrong(what)) => Err((StatusCode::BAD_REQUEST, what)),
        Err(Failure::NotAllowed(why)) => Err((StatusCode::FORBIDDEN, why)),
        Err(Failure::NoSession(id)) => Err((StatusCode::NOT_FOUND, format!("there is no session {id}"))),
        Err(Failure::NotDone(why)) => Err((StatusCode::CONFLICT, why)),
    }
}

fn text(status: StatusCode, text: String) -> Answer {
    with_type(status, "text/plain; charset=utf-8", text)
}

fn json_of(status: StatusCode, value: &serde_json::Value) -> Answer {
    with_type(status, "application/json", format!("{value}\n"))
}

fn with_type(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    answer
}

/// Who asks: the user whose password is given, or without any the first user, if that has none. Whoever needs no password
/// must name this machine, since a page in a browser here may have had its own name point to it (DNS rebinding).
fn check_who(config: &config::Admin, headers: &HeaderMap, host: &str) -> Result<Who, Refusal> {
    let why =
        "give the user and password of [admin] or of one of [[admin.users]] by HTTP basic authentication";
    let unknown = || (StatusCode::UNAUTHORIZED, why.to_owned());
    let (user, given) = match value(headers, &header::AUTHORIZATION) {
        Some(authorization) => credentials(authorization).ok_or_else(unknown)?,
        None => (config.user.clone(), Secret::new("")),
    };
    let (password, role) = config.known(user.as_bytes()).ok_or_else(unknown)?;
    if !Secret::same(Some(&given), Some(&Secret::new(password))) {
        return Err(unknown());
    }
    if password.is_empty() && !value(headers, &header::HOST).is_none_or(is_this_machine) {
        let why = "without a password dauphin is served under 127.0.0.1, [::1] and localhost only";
        return Err((StatusCode::FORBIDDEN, why.to_owned()));
    }
    Ok(Who::new(&user, role, host, "HTTP"))
}

fn value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn credentials(authorization: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let at =
        decoded.iter().position(|byte| *byte == b':').filter(|_| scheme.eq_ignore_ascii_case("Basic"))?;
    Some((String::from_utf8_lossy(&decoded[..at]).into_owned(), Secret::new(&decoded[at + 1..])))
}

/// Whether a Host header names this machine.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A page of another site may make a browser send a POST, with a password that the browser remembers: but not with this
/// content type unless asked before, and not without saying where the page is from.
fn check_where_from(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = value(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let why = "send a JSON object, with the header Content-Type: application/json";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, why.to_owned()));
    }
    let host = value(headers, &header::HOST).unwrap_or_default();
    let is_foreign = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        origin.split_once("://").is_none_or(|(_, origin)| origin != host)
    });
    let site = value(headers, &HeaderName::from_static("sec-fetch-site")).unwrap_or("none");
    if is_foreign || !matches!(site, "none" | "same-origin") {
        return Err((StatusCode::FORBIDDEN, "the request comes from a page of another site".to_owned()));
    }
    Ok(())
}

/// `?like=db%25`, `?topic=SHOW+SERVERS`
fn from_query(query: &str) -> Result<Arguments, Refusal> {
    let mut arguments = Arguments::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = Some(unescaped(value));
        match name {
            "like" => arguments.like = value,
            "topic" => arguments.topic = value,
            other => return Err((StatusCode::BAD_REQUEST, format!("{other:?} is not like or topic"))),
        }
    }
    Ok(arguments)
}

/// A value of a query, as forms write it.
fn unescaped(value: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(value.len()), value.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if escaped.is_some() { &after[2..] } else { after };
        bytes.push(escaped.unwrap_or(if first == b'+' { b' ' } else { first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn from_body(body: Incoming) -> Result<Arguments, Refusal> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let collected = tokio::time::timeout(HEAD_TIMEOUT, Limited::new(body, LONGEST).collect()).await;
    let collected =
        collected.map_err(|_| (StatusCode::REQUEST_TIMEOUT, "the body did not come".to_owned()))?;
    let bytes = collected.map_err(|error| bad(error.to_string()))?.to_bytes();
    if bytes.trim_ascii().is_empty() {
        return Ok(Arguments::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| bad(format!("the body is not what is expected: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), header::HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn a_post_from_another_site_is_refused() {
        const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
        const HOST: (&str, &str) = ("host", "127.0.0.1:6080");
        for (given, status) in [
            (&[JSON, HOST][..], None),
            (&[JSON, HOST, ("origin", "http://127.0.0.1:6080")], None),
            (&[JSON, HOST, ("sec-fetch-site", "same-origin")], None),
            (&[HOST], Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
            (&[HOST, ("content-type", "text/plain")], Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
            (&[JSON, HOST, ("origin", "http://evil.example")], Some(StatusCode::FORBIDDEN)),
            (&[JSON, HOST, ("origin", "null")], Some(StatusCode::FORBIDDEN)),
            (&[JSON, HOST, ("sec-fetch-site", "cross-site")], Some(StatusCode::FORBIDDEN)),
        ] {
            let refused = check_where_from(&headers(given)).err().map(|(status, _)| status);
            assert_eq!(refused, status, "{given:?}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_this_machine() {
        for (host, is) in [
            ("127.0.0.1:6080", true),
            ("localhost", true),
            ("LOCALHOST:6080", true),
            ("[::1]:6080", true),
            ("evil.example:6080", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example:6080", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_this_machine(host), is, "{host}");
        }
    }

    #[test]
    fn credentials_are_read() {
        let (user, password) = credentials("Basic YWRtaW46c2U6Y3JldA==").unwrap();
        assert_eq!((user.as_str(), password.reveal()), ("admin", &b"se:cret"[..]));
        for wrong in ["", "Basic", "Basic !", "Bearer YWRtaW46c2U6Y3JldA==", "Basic YWRtaW4="] {
            assert!(credentials(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn whoever_asks_proves_who_they_are_or_is_the_first_user_on_this_machine() {
        let open = "[admin]\n[[admin.users]]\nname = \"watcher\"\npassword = \"look\"\nrole = \"viewer\"";
        let closed = open.replacen("[admin]", "[admin]\npassword = \"pw\"", 1);
        let start = "servers = [\"db1:3306\"]\naccount = { user = \"d\", password = \"d\" }\n";
        let here = ("host", "127.0.0.1:6080");
        // admin:pw, watcher:look, watcher:lok, nobody:
        let [admin, watcher, mistyped, nobody] =
            ["YWRtaW46cHc=", "d2F0Y2hlcjpsb29r", "d2F0Y2hlcjpsb2s=", "bm9ib2R5Og=="]
                .map(|encoded| ("authorization", &*format!("Basic {encoded}").leak()));
        for (text, given, expected) in [
            (open, &[here][..], Ok("admin@h by HTTP")),
            (open, &[here, watcher], Ok("watcher@h by HTTP")),
            (open, &[here, mistyped], Err(StatusCode::UNAUTHORIZED)),
            (open, &[here, nobody], Err(StatusCode::UNAUTHORIZED)),
            (open, &[("host", "evil.example")], Err(StatusCode::FORBIDDEN)),
            (open, &[("host", "far.example"), watcher], Ok("watcher@h by HTTP")),
            (&closed, &[here], Err(StatusCode::UNAUTHORIZED)),
            (&closed, &[here, admin], Ok("admin@h by HTTP")),
            (&closed, &[here, watcher], Ok("watcher@h by HTTP")),
        ] {
            let config = config::Config::from_text(&format!("{start}{text}")).unwrap().admin;
            let who =
                check_who(&config, &headers(given), "h").map(|who| who.by).map_err(|(status, _)| status);
            assert_eq!(who.as_deref(), expected.as_ref().copied(), "{text}: {given:?}");
        }
    }

    #[test]
    fn a_query_is_read() {
        assert_eq!(from_query("like=db%25+x%zz").unwrap().like.as_deref(), Some("db% x%zz"));
        assert!(from_query("lik=1").is_err());
    }
}
