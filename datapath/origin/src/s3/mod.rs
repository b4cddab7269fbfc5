//! The S3 dialect of an origin: requests, answers, and the body of a GET on its way.

mod answer;
mod client;
mod facts;
mod get;
mod list;
mod pump;
mod route;
mod sign;
mod xml;

pub(crate) use client::{Client, Core};
