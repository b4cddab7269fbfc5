//! Names by number: `shard-{000..127}.tar`, `{1..9..2}`; several braces multiply.

use weir_types::Template;

use crate::error::ToolError;

/// Names one template may stand for.
const NAMES_MAX: u64 = 1_000_000;

/// Whether `text` holds a range in braces.
pub(crate) fn is_template(text: &str) -> bool {
    Template::parse(text).is_some()
}

/// All names that `text` stands for, in order; itself when it holds no range.
pub(crate) fn expand(text: &str) -> Result<Vec<String>, ToolError> {
    let Some(template) = Template::parse(text) else { return Ok(vec![text.to_owned()]) };
    if template.count() > NAMES_MAX {
        return Err(ToolError::Usage(format!("{text:?} stands for more than {NAMES_MAX} names: use fewer")));
    }
    Ok(template.names().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_expand() {
        let check = |text: &str, expected: &[&str]| {
            assert_eq!(expand(text).unwrap(), expected, "{text}");
            assert_eq!(is_template(text), expected != [text], "{text}");
        };
        check("plain", &["plain"]);
        check("s-{08..11}.tar", &["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]);
        assert!(expand("{1..2000000}").is_err());
        assert!(expand("{1..2000}{1..2000}").is_err());
    }
}
