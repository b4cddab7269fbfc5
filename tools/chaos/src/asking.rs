//! One operation on an object, through any node and by either API, and what is known of it afterwards.

use std::net::SocketAddr;

use crate::cluster::{BUCKETS, Cluster, GATEWAYS};
use crate::http::{Answer, Client, Failed, Request};

/// What came of an operation.
#[derive(Debug)]
pub enum Outcome {
    /// An answer that is not of the server's failing.
    Answer(Answer),
    /// It has not happened.
    Not(String),
    /// It may have happened, may still happen, or never.
    Unknown(String),
    /// Part of an answer.
    Cut(Answer),
}

/// Which way an operation goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// By AIS's API: a gateway sends the client to the owner.
    Ais(usize),
    /// By S3's: the node has it answered.
    S3(usize),
}

impl Way {
    /// The node that is asked.
    pub fn through(self) -> usize {
        match self {
            Self::Ais(node) | Self::S3(node) => node,
        }
    }

    /// One of all that there are, by a number: through any of `members`, whose first are the gateways.
    pub fn by(number: u64, members: &[usize]) -> Self {
        let (half, number) = (number % 2, number / 2);
        match half {
            0 => Self::Ais((number % GATEWAYS as u64) as usize),
            _ => Self::S3(members[(number % members.len() as u64) as usize]),
        }
    }
}

/// An object: its bucket follows from its number among [`BUCKETS`].
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Which bucket.
    pub bucket: usize,
    /// Its name.
    pub name: &'a str,
}

/// Asks for one operation on an object.
pub fn ask(
    cluster: &Cluster,
    client: &mut Client,
    way: Way,
    method: &str,
    object: Object<'_>,
    body: &[u8],
) -> Outcome {
    let (bucket, name) = (BUCKETS[object.bucket], object.name);
    let to = cluster.public(way.through());
    match way {
        Way::S3(_) => {
            let target = format!("/s3/{bucket}/{name}");
            outcome(client.ask(to, &Request { method, target: &target, body }))
        }
        Way::Ais(_) => {
            let target = format!("/v1/objects/{bucket}/{name}?provider=ais");
            let sent = match client.ask(to, &Request { method, target: &target, body }) {
                Ok(answer) => answer,
                // A gateway holds nothing: what ends there has not happened.
                Err(Failed::NotSent(why) | Failed::NoAnswer(why)) => return Outcome::Not(why),
            };
            match redirected(&sent) {
                Some((to, target)) => outcome(client.ask(to, &Request { method, target, body })),
                None if sent.status >= 500 => Outcome::Not(format!("n{}: {}", way.through(), sent.status)),
                None => Outcome::Answer(sent),
            }
        }
    }
}

/// Where an answer sends its client: address and target.
pub fn redirected(answer: &Answer) -> Option<(SocketAddr, &str)> {
    if ![301, 302, 307, 308].contains(&answer.status) {
        return None;
    }
    let to = answer.field("location")?.strip_prefix("http://")?;
    let (authority, _) = to.split_once('/')?;
    Some((authority.parse().ok()?, to.get(authority.len()..)?))
}

fn outcome(asked: Result<Answer, Failed>) -> Outcome {
    match asked {
        Ok(answer) if answer.status >= 500 => {
            Outcome::Unknown(format!("{} {}", answer.status, answer.text()))
        }
        Ok(answer) if answer.whole => Outcome::Answer(answer),
        Ok(answer) => Outcome::Cut(answer),
        Err(Failed::NotSent(why)) => Outcome::Not(why),
        Err(Failed::NoAnswer(why)) => Outcome::Unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_read() {
        let location = ("location".to_owned(), "http://127.0.0.1:8081/v1/objects/b/o?a=b".to_owned());
        let mut answer = Answer { status: 307, fields: vec![location], body: Vec::new(), whole: true };
        let to = SocketAddr::from(([127, 0, 0, 1], 8081));
        assert_eq!(redirected(&answer), Some((to, "/v1/objects/b/o?a=b")));
        answer.status = 200;
        assert_eq!(redirected(&answer), None);
    }

    #[test]
    fn every_way_is_gone() {
        let members = [0, 1, 2, 4, 6];
        let ways: Vec<Way> = (0..100).map(|n| Way::by(n, &members)).collect();
        assert!((0..GATEWAYS).all(|gateway| ways.contains(&Way::Ais(gateway))));
        assert!(members.iter().all(|member| ways.contains(&Way::S3(*member))));
        assert!(ways.iter().all(|way| members.contains(&way.through())));
    }
}
