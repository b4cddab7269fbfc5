use crate::{OriginConfig, OriginError};

pub(crate) struct Endpoint;
impl Endpoint {
    pub(crate) fn new(_: &OriginConfig) -> Result<Self, OriginError> {
        Ok(Self)
    }
}
