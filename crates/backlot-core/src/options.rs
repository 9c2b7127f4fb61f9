//! Structures that say how something is done, written once: fields, and what every one of them has.

/// A structure of options.
///
/// It has `new`, a setter of the name of each field, and serialises both ways: omitted fields are as in its `Default`, which its author gives,
/// and a field that is not known is an error. It may get more fields in later versions.
///
/// ```
/// backlot_core::options! {
///     /// How to bake.
///     #[derive(Default)]
///     pub struct BakeOptions {
///         /// For whom.
///         pub guest: Option<String>,
///         /// Change nothing.
///         pub dry_run: bool,
///     }
/// }
///
/// let options = BakeOptions::new().guest("Ana".to_owned()).dry_run(true);
/// assert!(options.dry_run);
/// let said: BakeOptions = serde_json::from_str(r#"{"guest": "Ana"}"#).expect("options");
/// assert!(said.guest == options.guest && !said.dry_run);
/// assert!(serde_json::from_str::<BakeOptions>(r#"{"geust": "Ana"}"#).is_err());
/// ```
#[macro_export]
macro_rules! options {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[serde($($serde:tt)*)])*
                pub $field:ident: $kind:ty,
            )*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            $(
                $(#[doc = $doc])*
                $(#[serde($($serde)*)])*
                pub $field: $kind,
            )*
        }

        impl $name {
            /// The defaults.
            pub fn new() -> Self {
                Self::default()
            }

            $(
                $(#[doc = $doc])*
                #[must_use]
                pub fn $field(mut self, $field: impl Into<$kind>) -> Self {
                    self.$field = $field.into();
                    self
                }
            )*
        }
    };
}
