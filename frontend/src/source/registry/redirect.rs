//! Answers that send on to another address. Registries do so to stores of files, which have no business with a login.

use exporter::limits;
use http::{Response, header};
use ureq::Body;

use super::address::Address;
use super::authorize::Authorization;
use super::client::Client;
use super::failure::Failure;

impl Client<'_> {
    /// The answer at the end of the way that `ask` is sent from `start`. The authorization goes along as far as the
    /// registry itself is asked: what has once been sent elsewhere comes without one.
    pub(super) fn follow(
        &self,
        start: Address,
        authorization: Option<&Authorization>,
        ask: impl Fn(&str, Option<&Authorization>) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        let (mut address, mut authorization) = (start, authorization);
        for _ in 0..=limits::REDIRECTS {
            let response = self.answer(address.origin(), ask(address.as_str(), authorization))?;
            if !sends_on(&response) {
                return Ok(response);
            }
            let next = self.location(&address, &response)?;
            authorization = authorization.filter(|_| next.origin() == address.origin());
            address = next;
        }
        Err(self.refuses(address.origin(), "sends on from one place to the next without an end"))
    }

    /// Where an answer from `here` sends to: not out of TLS.
    pub(super) fn location(&self, here: &Address, response: &Response<Body>) -> Result<Address, Failure> {
        let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let next = location.and_then(|location| here.join(location));
        let next = next.ok_or_else(|| self.refuses(here.origin(), "sends on to an address that is none"))?;
        match here.origin().gives_up_tls_at(next.origin()) {
            true => Err(self.refuses(here.origin(), "sends on to where everybody can read it, without TLS")),
            false => Ok(next),
        }
    }
}

/// Whether it is about another address (RFC 9110, section 15.4).
fn sends_on(response: &Response<Body>) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
        && response.headers().contains_key(header::LOCATION)
}
