//! Two macros for types that are text outside: `string_serde!` (any type with `Display` and `FromStr`) and
//! [`string_enum!`](crate::string_enum) (a closed list of words). They keep the words in one place per type.

/// Serialises a type by its `Display` and reads it by its `FromStr`, so that JSON holds exactly what people see.
#[doc(hidden)]
#[macro_export]
macro_rules! string_serde {
    ($name:ty) => {
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::std::result::Result<Self, D::Error> {
                let text = <::std::string::String as ::serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(::serde::de::Error::custom)
            }
        }
    };
}

/// Defines an enum of words: `as_str`, `ALL`, `Display`, `FromStr` (strict) and serde, all from one list.
/// The first word of a variant is the one written; further ones (`= "a" | "b"`) are read as well.
#[macro_export]
macro_rules! string_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal $(| $other:literal)*),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant),+
        }

        impl $name {
            /// Every value, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that stands for it in files, requests and the database.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::text::TextError;

            fn from_str(text: &str) -> ::std::result::Result<Self, Self::Err> {
                match text {
                    $($word $(| $other)* => Ok(Self::$variant),)+
                    _ => {
                        let words: ::std::vec::Vec<&str> = Self::ALL.iter().map(|value| value.as_str()).collect();
                        Err(format!("must be one of {}", words.join(", ")).into())
                    }
                }
            }
        }

        $crate::string_serde!($name);
    };
}
