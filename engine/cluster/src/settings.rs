//! Settings by dotted name. A section is a struct whose fields are settings or further sections; one declaration
//! gives the type, its defaults, the names on the wire, reading (`walk`) and writing (`set`).
//!
//! The texts are AIS's: booleans, decimal numbers, Go durations, IEC sizes. How they stand in JSON follows from
//! the `Scalar` that `walk` shows.

use std::marker::PhantomData;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{Size, parse_duration, print_duration};
use crate::{ClusterError, Features};

/// One value as `walk` shows it.
#[derive(Clone, PartialEq, Debug)]
pub enum Scalar {
    /// The start of a section: an object, maybe empty.
    Section,
    /// A boolean.
    Bool(bool),
    /// A number.
    Int(i64),
    /// Text; also numbers that the wire carries as text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

/// Anything that stands under a dotted name: a value, or a section of values.
pub trait Settings {
    /// Shows every value below `name`, sections before their members, in the order of declaration.
    fn walk(&self, name: &str, visit: &mut dyn FnMut(&str, Scalar));

    /// Sets the value under `path` (relative to this one; empty means this one itself) from its text.
    /// `Err` says what is expected instead; an empty expectation means that no such name exists.
    fn set(&mut self, path: &str, text: &str) -> Result<(), String>;
}

/// Assigns `text` to the setting `key`, of any case, of `to`.
pub(crate) fn assign(to: &mut dyn Settings, key: &str, text: &str) -> Result<(), ClusterError> {
    to.set(&key.to_ascii_lowercase(), text).map_err(|expected| {
        if expected.is_empty() {
            ClusterError::UnknownKey { key: key.into() }
        } else {
            ClusterError::BadValue { key: key.into(), got: text.into(), expected }
        }
    })
}

/// A partial update of `T`: assignments by dotted name, checked when the patch is made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Patch<T> {
    assignments: Vec<(String, String)>,
    force: bool,
    of: PhantomData<fn() -> T>,
}

/// More assignments than any section tree here has settings.
const ASSIGNMENTS_MAX: usize = 512;

impl<T: Settings + Default> Patch<T> {
    /// Checks every name and value by itself. Whether they fit together is known when the patch is applied.
    pub fn new(
        assignments: impl IntoIterator<Item = (String, String)>,
        force: bool,
    ) -> Result<Self, ClusterError> {
        let assignments: Vec<_> = assignments.into_iter().take(ASSIGNMENTS_MAX + 1).collect();
        if assignments.len() > ASSIGNMENTS_MAX {
            return Err(ClusterError::Conflict {
                what: format!("more than {ASSIGNMENTS_MAX} properties to set"),
            });
        }
        let mut scratch = T::default();
        for (key, text) in &assignments {
            assign(&mut scratch, key, text)?;
        }
        Ok(Self { assignments, force, of: PhantomData })
    }

    /// `base` with the assignments made, in order; not yet checked as a whole.
    pub(crate) fn assigned(&self, base: &T) -> Result<T, ClusterError>
    where
        T: Clone,
    {
        let mut out = base.clone();
        for (key, text) in &self.assignments {
            assign(&mut out, key, text)?;
        }
        Ok(out)
    }
}

impl<T> Patch<T> {
    /// Whether nothing is to be set.
    pub fn is_empty(&self) -> bool {
        self.assignments.is_empty()
    }

    /// Whether soft obstacles (too few targets) are to be passed over.
    pub fn force(&self) -> bool {
        self.force
    }

    /// The assignments.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.assignments.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// A leaf: a value with a text form.
pub(crate) trait Leaf: Sized {
    /// The value as shown; `None` leaves the name out.
    fn scalar(&self) -> Option<Scalar>;
    /// Reads the text; `Err` says what is expected, never empty.
    fn parse(text: &str) -> Result<Self, String>;
}

/// Gives every leaf type its place under a name.
macro_rules! leaf_settings {
    ($($ty:ty),* $(,)?) => {$(
        impl Settings for $ty {
            fn walk(&self, name: &str, visit: &mut dyn FnMut(&str, Scalar)) {
                if let Some(value) = $crate::settings::Leaf::scalar(self) {
                    visit(name, value);
                }
            }
            fn set(&mut self, path: &str, text: &str) -> Result<(), String> {
                if !path.is_empty() {
                    return Err(String::new());
                }
                *self = $crate::settings::Leaf::parse(text)?;
                Ok(())
            }
        }
    )*};
}
pub(crate) use leaf_settings;

/// Declares a section: struct, defaults, `Settings`. A field's wire name is its own, or the literal after `as`.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident $(as $wire:literal)? : $ty:ty = $default:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::settings::Settings for $name {
            fn walk(&self, name: &str, visit: &mut dyn FnMut(&str, $crate::settings::Scalar)) {
                visit(name, $crate::settings::Scalar::Section);
                $(
                    let wire = $crate::settings::wire_name!($field $($wire)?);
                    self.$field.walk(&$crate::settings::join(name, wire), visit);
                )*
            }
            fn set(&mut self, path: &str, text: &str) -> Result<(), String> {
                let (first, rest) = path.split_once('.').unwrap_or((path, ""));
                $(if first == $crate::settings::wire_name!($field $($wire)?) {
                    return self.$field.set(rest, text);
                })*
                Err(String::new())
            }
        }
    };
}
pub(crate) use section;

macro_rules! wire_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $wire:literal) => {
        $wire
    };
}
pub(crate) use wire_name;

/// `name.member`, or `member` at the root.
pub(crate) fn join(name: &str, member: &str) -> String {
    if name.is_empty() { member.to_owned() } else { format!("{name}.{member}") }
}

impl Leaf for bool {
    fn scalar(&self) -> Option<Scalar> {
        Some(Scalar::Bool(*self))
    }
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
            "false" | "f" | "no" | "n" | "off" | "0" | "" => Ok(false),
            _ => Err("true or false".into()),
        }
    }
}

impl Leaf for i64 {
    fn scalar(&self) -> Option<Scalar> {
        Some(Scalar::Int(*self))
    }
    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| "an integer".into())
    }
}

impl Leaf for String {
    fn scalar(&self) -> Option<Scalar> {
        Some(Scalar::Text(self.clone()))
    }
    fn parse(text: &str) -> Result<Self, String> {
        const TEXT_BYTES_MAX: usize = 1024;
        if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(format!("at most {TEXT_BYTES_MAX} bytes without control characters"));
        }
        Ok(text.to_owned())
    }
}

impl Leaf for Vec<String> {
    fn scalar(&self) -> Option<Scalar> {
        Some(Scalar::List(self.clone()))
    }
    fn parse(text: &str) -> Result<Self, String> {
        const LIST_MAX: usize = 64;
        let items: Result<Vec<_>, _> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(<String as Leaf>::parse)
            .collect();
        items.and_then(|i| if i.len() > LIST_MAX { Err(format!("at most {LIST_MAX} items")) } else { Ok(i) })
    }
}

impl Leaf for Duration {
    fn scalar(&self) -> Option<Scalar> {
        Some(Scalar::Text(print_duration(*self)))
    }
    fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text).ok_or_else(|| "a duration such as 10s, 2m or 1h30m".into())
    }
}

impl Leaf for Size {
    fn scalar(&self) -> Option<Scalar> {
        Some(Scalar::Text(self.to_string()))
    }
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).ok_or_else(|| "a size such as 4096, 64KiB or 1GiB".into())
    }
}

impl<T: Leaf + Default + PartialEq> Leaf for Option<T> {
    fn scalar(&self) -> Option<Scalar> {
        self.as_ref().and_then(T::scalar)
    }
    /// The empty text and the type's zero clear the value, as AIS omits them.
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(None);
        }
        T::parse(text).map(|v| (v != T::default()).then_some(v))
    }
}

leaf_settings!(
    bool,
    i64,
    String,
    Vec<String>,
    Duration,
    Size,
    Features,
    Option<i64>,
    Option<String>,
    Option<Size>,
    Option<Vec<String>>,
);
