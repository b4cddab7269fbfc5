//! What a node answers that does not own the name it is asked for: a gateway redirects to the owner, a target that was
//! redirected to has it answered there, a target that was not answers as AIS's do.

use weir_ais::{AisError, Cname, Marker, Query, Redirect, admit_direct};
use weir_auth::{Denied, Grant, Passed};
use weir_http::{BodyLength, Method, ResponseHead};
use weir_types::{Bucket, ObjectName};

use super::Ais;
use super::errors::Refusal;
use crate::Op;
use crate::body::Body;
use crate::committer::now_ns;
use crate::conn::Conn;
use crate::fail::Failure;
use crate::place::{PlaceError, There};
use crate::relay::{Payload, Relay};
use crate::serve::{Handled, Request};
use crate::shard::Side;

/// A request about one object.
pub(super) struct Asked<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) name: &'a ObjectName,
    /// The mark of the gateway that redirected it.
    pub(super) marker: Option<&'a Marker>,
    /// What it counts as.
    pub(super) kind: Op,
}

/// The grant of a request that a gateway of this cluster redirected and vouches for: clients leave their credential behind
/// when they follow.
pub(super) fn vouched(request: &Request<'_>) -> Option<Result<Grant, Denied>> {
    let vouching = request.shard.shared.vouching.as_ref()?;
    if request.side != Side::Public || !request.head.query.contains("utm=") {
        return None;
    }
    let marker = Query::parse(request.head.query).ok()?.marker()?;
    vouching.take_redirected(&request.head, marker.index, now_ns() / 1_000_000)
}

impl Ais<'_, '_> {
    /// Whether a node that is a target alone takes the request: not for writing past its gateways.
    pub(super) fn admit_as_target(&self, asked: &Asked<'_>) -> Result<(), Refusal> {
        let shard = self.request.shard;
        if self.request.side == Side::Peers || shard.shared.view.load().me.gateway.is_some() {
            return Ok(());
        }
        let auth = !shard.gate.anonymous_allowed();
        Ok(admit_direct(self.request.head.method, asked.marker, auth, &self.node())?)
    }

    /// Waits until this node knows of the cluster what whoever sent the request here knew.
    pub(super) async fn caught_up(&self, asked: &Asked<'_>) -> Result<(), Refusal> {
        self.request.caught_up().await?;
        match asked.marker {
            Some(marker) if !self.request.shard.reach(marker.index).await => Err(Failure::Behind.into()),
            _ => Ok(()),
        }
    }

    /// Answers a request about an object of another node.
    pub(super) async fn elsewhere(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        asked: &Asked<'_>,
        there: &There,
    ) -> Result<Handled, Refusal> {
        let method = self.request.head.method;
        if self.request.side == Side::Peers {
            // One of the two does not know the map of now: nothing goes round in circles.
            return Err(Failure::Place(PlaceError::Elsewhere(Box::new(there.clone()))).into());
        }
        let moving = there.view.moving.is_some() && matches!(method, Method::Get | Method::Head);
        if asked.marker.is_some() || moving && there.view.me.gateway.is_none() {
            // The gateway, or the client, went by another map than this target's.
            let relay = Relay {
                request: self.request,
                grant: &self.grant,
                there,
                op: asked.kind,
                host_bucket: None,
                held: false,
            };
            return Ok(relay.serve(conn, body, Payload::Plain).await?);
        }
        match &there.view.me.gateway {
            Some(gateway) => self.redirect(conn, asked.kind, there, gateway.as_str()).await,
            None if matches!(method, Method::Get | Method::Head) => {
                let object = Cname::new(asked.bucket, asked.name);
                Err(AisError::ObjectNotFound { node: self.node(), object }.into())
            }
            None => Err(AisError::NotRedirected { node: self.node(), method: method.as_str() }.into()),
        }
    }

    /// Sends the client to the owner, without reading the body: it is for the owner.
    async fn redirect(
        &self,
        conn: &Conn,
        kind: Op,
        there: &There,
        gateway: &str,
    ) -> Result<Handled, Refusal> {
        let (shard, head) = (self.request.shard, &self.request.head);
        let Some(node) = there.node().filter(|node| node.is_here()) else {
            let what = format!("t[{}] owns the name and has not been heard of", there.owner);
            return Err(AisError::Unavailable { what, retry_s: 1 }.into());
        };
        let now_ns = now_ns();
        let (path, query) = (head.path, head.query);
        let redirect =
            Redirect { target: &node.public, path, query, gateway, now_ns, index: there.view.index };
        let status = Redirect::status(head.method);
        let left = {
            let mut out = shard.scratch.borrow_mut();
            out.clear();
            let mut answer = ResponseHead::new(&mut out, status);
            // A date or a target that is no field value would be left out; neither is.
            let _ = shard.with_date(|date| answer.date(date).map(drop));
            let _ = match self.voucher(&redirect, &there.owner.to_string()) {
                None => answer.header_display("Location", redirect).map(drop),
                Some(voucher) => {
                    answer.header_display("Location", format_args!("{redirect}&{voucher}")).map(drop)
                }
            };
            answer.finish(BodyLength::Length(0), self.request.keep);
            let sent = conn.send_now(&out, &[], false)?;
            (sent < out.len()).then(|| conn.left(&out, &[], sent))
        };
        if let Some(left) = left {
            let len = left.len();
            conn.send(left, 0..len).await.map(drop)?;
        }
        Ok(Handled { op: kind, status, broken: false })
    }

    /// What proves to the target that the client was let in here; not needed where everybody is.
    fn voucher(&self, redirect: &Redirect<'_>, to: &str) -> Option<String> {
        let shared = &self.request.shard.shared;
        if self.request.shard.gate.anonymous_allowed() {
            return None;
        }
        let target = redirect.target_at_owner();
        let passed = Passed {
            to,
            method: self.request.head.method.as_str(),
            target: &target,
            index: redirect.index,
            at_ms: redirect.now_ns / 1_000_000,
        };
        Some(shared.vouching.as_ref()?.voucher(&self.grant, &passed))
    }
}
