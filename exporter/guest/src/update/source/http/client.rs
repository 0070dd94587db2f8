//! Requests, one after the other, and what is remembered of who answers them.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::thread;

use ureq::http::{Response, StatusCode, header};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

use super::address::{Address, Origin};
use super::failure::{Failure, explain, may_pass, unreachable};
use super::limits::{self, Limits};
use super::names::Names;
use super::pace::{self, Pace};
use super::span::Span;
use super::tls::Trust;
use super::{proxy, span};

/// What is asked beside the address: headers by name.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// Who asks.
pub(crate) struct Client {
    trust: Trust,
    limits: Limits,
    pace: Arc<Mutex<Pace>>,
    /// Without TLS and with it, each made when it is needed first.
    agents: [Option<Agent>; 2],
    /// Once somebody has answered, the network is there, and it is worth trying again.
    has_answered: bool,
    has_ranges: Option<bool>,
    /// Tries that failed since enough has come.
    failures: usize,
    /// Bytes that were wanted and have come since the last failure.
    since: u64,
    moved: u64,
    /// What each file was when it was seen first, by its address.
    seen: BTreeMap<String, Mark>,
}

/// An answer, and who gave it.
pub(crate) struct Answer {
    pub(crate) response: Response<Body>,
    from: Origin,
}

/// What tells whether a file is still the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    len: Option<u64>,
    etag: Option<String>,
    modified: Option<String>,
}

impl Client {
    pub(crate) fn new(trust: Trust, limits: Limits) -> Self {
        Self {
            trust,
            limits,
            pace: Arc::new(Mutex::new(Pace::new(&limits))),
            agents: [None, None],
            has_answered: false,
            has_ranges: None,
            failures: 0,
            since: 0,
            moved: 0,
            seen: BTreeMap::new(),
        }
    }

    /// The answer at the end of the way that a request is sent from `start`, whatever it says. What proves who asks goes
    /// along as far as the server itself is asked: what has once been sent elsewhere comes without.
    pub(crate) fn get(
        &mut self,
        start: &Address,
        headers: Headers<'_>,
        login: Option<&str>,
    ) -> Result<Answer, Failure> {
        let (mut address, mut login) = (start.clone(), login);
        for _ in 0..=limits::REDIRECTS {
            let answer = self.ask(&address, headers, login)?;
            let Some(next) = answer.sends_on(&address)? else { return Ok(answer) };
            answer.spend();
            login = login.filter(|_| next.origin() == address.origin());
            address = next;
        }
        let origin = address.origin();
        Err(Failure::Final(format!("{origin} sends on from one place to the next without an end")))
    }

    fn ask(
        &mut self,
        address: &Address,
        headers: Headers<'_>,
        login: Option<&str>,
    ) -> Result<Answer, Failure> {
        let agent = self.agent(address.origin()).map_err(Failure::Final)?;
        let request = headers
            .iter()
            .fold(agent.get(address.as_str()), |request, (name, value)| request.header(*name, *value));
        let request =
            login.into_iter().fold(request, |request, login| request.header(header::AUTHORIZATION, login));
        match request.call() {
            Ok(response) => {
                self.has_answered = true;
                Ok(Answer { response, from: address.origin().clone() })
            }
            Err(error) => Err(match unreachable(address.origin(), &error) {
                Failure::Passing(reason) if !self.has_answered => Failure::Final(reason),
                failure => failure,
            }),
        }
    }

    fn agent(&mut self, origin: &Origin) -> Result<Agent, String> {
        let is_https = origin.is_https();
        let [plain, secure] = &mut self.agents;
        let place = if is_https { secure } else { plain };
        if let Some(agent) = place {
            return Ok(agent.clone());
        }
        let tls = if is_https { Some(self.trust.config()?) } else { None };
        let agent = agent(tls, proxy::from_environment(is_https)?, &self.limits, &self.pace);
        Ok(place.insert(agent).clone())
    }

    /// All of a small file; `None` where there is none.
    pub(crate) fn read(&mut self, answer: Answer, max: u64) -> Result<Option<Vec<u8>>, Failure> {
        if matches!(answer.response.status(), StatusCode::NOT_FOUND | StatusCode::GONE) {
            answer.spend();
            return Ok(None);
        }
        let answer = answer.good()?;
        let span = Span::of(&answer.response)?;
        if span.len.is_some_and(|len| len > max) {
            return Err(span::too_long(max));
        }
        let mut bytes = Vec::new();
        let read =
            answer.response.into_body().into_reader().take(max.saturating_add(1)).read_to_end(&mut bytes);
        self.moved += bytes.len() as u64;
        read.map_err(|error| {
            Failure::Passing(format!("the answer does not come whole: {}", explain(&error.into())))
        })?;
        match bytes.len() as u64 {
            len if len > max => Err(span::too_long(max)),
            len if span.start > 0 || span.len.is_some_and(|all| all != len) => {
                Err(Failure::Passing("the answer does not come whole".to_owned()))
            }
            _ => {
                self.failures = 0;
                Ok(Some(bytes))
            }
        }
    }

    /// Makes sure that a file is the one that it was, each time that a part of it comes.
    pub(super) fn recognise(
        &mut self,
        address: &Address,
        answer: &Answer,
        len: Option<u64>,
    ) -> Result<(), Failure> {
        let header = |name| {
            let value = answer.response.headers().get(name).and_then(|value| value.to_str().ok());
            // A proxy may call the same file only nearly the same.
            value.map(|value| value.trim_start_matches("W/").to_owned())
        };
        let mark = Mark { len, etag: header(header::ETAG), modified: header(header::LAST_MODIFIED) };
        let known = self.seen.entry(address.as_str().to_owned()).or_insert_with(|| mark.clone());
        match known.is_another(&mark) {
            false => Ok(()),
            true => Err(Failure::Final(
                "the file was changed on the server while it was read\nhint: try again, and publish each version in a folder \
                 of its own"
                    .to_owned(),
            )),
        }
    }

    /// Whether there are ranges, as the last answer shows.
    pub(super) fn note_ranges(&mut self, has_ranges: bool) {
        self.has_ranges = Some(has_ranges);
    }

    /// Until somebody shows otherwise there are.
    pub(crate) fn has_ranges(&self) -> bool {
        self.has_ranges.unwrap_or(true)
    }

    /// Bytes of files that have come.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// Bytes came, of which some were wanted.
    pub(super) fn count(&mut self, came: u64, wanted: u64) {
        self.moved += came;
        self.since += wanted;
        if self.since >= self.limits.least {
            self.failures = 0;
        }
    }

    /// Waits for the next try, if there is one. One that brings too little has failed, too: so a server that cuts or drips
    /// for ever comes to an end.
    pub(super) fn again(&mut self, reason: &str) -> Result<(), String> {
        self.since = 0;
        let pause = self.limits.pauses.get(self.failures);
        self.failures += 1;
        match pause {
            Some(pause) => thread::sleep(*pause),
            None => return Err(format!("{reason}, {} times in a row", self.failures)),
        }
        Ok(())
    }
}

impl Answer {
    /// If it has a good status.
    pub(crate) fn good(self) -> Result<Self, Failure> {
        let status = self.response.status();
        let message = format!("{} answers {status}", self.from);
        match status.as_u16() {
            200..=299 => Ok(self),
            401 | 403 => Err(Failure::Final(format!(
                "{message}\nhint: it does not let this machine in: certificate and key in [update] say who it is"
            ))),
            _ if may_pass(status) => Err(Failure::Passing(message)),
            _ => Err(Failure::Final(message)),
        }
    }

    /// Reads what nobody wants of it, if that is little: then its connection can be used again.
    pub(crate) fn spend(self) {
        let _ =
            io::copy(&mut self.response.into_body().into_reader().take(limits::HEAD as u64), &mut io::sink());
    }

    /// Whether it is from the server that `address` names, and not from one that this has sent on to.
    pub(crate) fn is_from(&self, address: &Address) -> bool {
        self.from == *address.origin()
    }

    /// Where it sends to (RFC 9110, section 15.4): not out of TLS.
    fn sends_on(&self, here: &Address) -> Result<Option<Address>, Failure> {
        if !matches!(self.response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let location = self.response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let host = &self.from;
        match location.and_then(|location| here.join(location)) {
            None => Err(Failure::Final(format!("{host} sends on to an address that is none"))),
            Some(next) if host.gives_up_tls_at(next.origin()) => {
                Err(Failure::Final(format!("{host} sends on to where everybody can change it, without TLS")))
            }
            next => Ok(next),
        }
    }
}

impl Mark {
    fn is_another(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one != other)
        }
        differ(self.len.as_ref(), other.len.as_ref())
            || differ(self.etag.as_ref(), other.etag.as_ref())
            || differ(self.modified.as_ref(), other.modified.as_ref())
    }
}

fn agent(
    tls: Option<TlsConfig>,
    proxy: Option<ureq::Proxy>,
    limits: &Limits,
    pace: &Arc<Mutex<Pace>>,
) -> Agent {
    let config = Agent::config_builder()
        .tls_config(tls.unwrap_or_default())
        .proxy(proxy)
        .http_status_as_error(false)
        // Where answers send on to is followed with an eye on TLS and logins.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(limits::HEAD)
        .user_agent(concat!("vmimage-update/", env!("CARGO_PKG_VERSION")))
        // Files have to come as they are stored.
        .accept_encoding("identity")
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_send_request(Some(limits.stall))
        .timeout_recv_response(Some(limits.stall))
        .timeout_per_read(Some(limits.stall))
        .timeout_per_write(Some(limits.stall));
    Agent::with_parts(config.build(), pace::connector(pace), Names::of_the_machine())
}
