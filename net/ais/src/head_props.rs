use crate::AisError;

/// What HEAD(object) of the second kind is asked for; name, size and presence always come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "each is AIS's property of that name")]
pub struct HeadProps {
    pub checksum: bool,
    pub atime: bool,
    pub version: bool,
    pub custom: bool,
    pub location: bool,
    pub copies: bool,
    pub ec: bool,
    pub chunked: bool,
    pub last_modified: bool,
    pub etag: bool,
}

impl HeadProps {
    /// Reads a list joined by commas. Unknown names are refused, as AIS does; `present` is allowed because the
    /// documentation of the Python SDK 1.26 offers it.
    pub fn parse(list: &str) -> Result<Self, AisError> {
        let mut props = Self::default();
        for prop in list.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let field = match prop {
                "name" | "size" | "present" => continue,
                "checksum" => &mut props.checksum,
                "atime" => &mut props.atime,
                "version" => &mut props.version,
                "custom" => &mut props.custom,
                "location" => &mut props.location,
                "copies" => &mut props.copies,
                "ec" => &mut props.ec,
                "chunked" => &mut props.chunked,
                "last-modified" => &mut props.last_modified,
                "etag" => &mut props.etag,
                _ => return Err(AisError::Bad(format!("invalid property {prop:?} in props list"))),
            };
            *field = true;
        }
        Ok(props)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let all = HeadProps::parse("checksum,atime,version,copies,custom,location").unwrap();
        assert!(all.checksum && all.atime && all.version && all.copies && all.custom && all.location);
        assert_eq!(HeadProps::parse("name, size,present").unwrap(), HeadProps::default());
        for bad in ["cached", "status", "name;size", "Checksum"] {
            assert!(HeadProps::parse(bad).is_err(), "{bad}");
        }
    }
}
