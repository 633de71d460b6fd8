//! Named byte ranges of a fixed layout, and little-endian access to them.

/// A byte range inside a fixed-size structure.
#[derive(Clone, Copy, Debug)]
pub(in crate::format) struct Field {
    pub(in crate::format) offset: usize,
    pub(in crate::format) len: usize,
}

/// A field with the name the document gives it: for whoever shows bytes to people, and for the test
/// that holds the two together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedField {
    pub(crate) name: &'static str,
    pub(in crate::format) field: Field,
}

impl NamedField {
    /// Where it begins in its structure, bytes.
    pub(crate) const fn offset(&self) -> usize {
        self.field.offset
    }

    /// Its length, bytes.
    pub(crate) const fn len(&self) -> usize {
        self.field.len
    }
}

impl Field {
    /// The field a structure starts with.
    pub(in crate::format) const fn first(len: usize) -> Self {
        Self { offset: 0, len }
    }

    /// The field right after this one.
    pub(in crate::format) const fn then(self, len: usize) -> Self {
        Self { offset: self.end(), len }
    }

    /// The first byte after it.
    pub(in crate::format) const fn end(self) -> usize {
        self.offset + self.len
    }

    /// Its bytes.
    pub(in crate::format) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.offset..self.end()]
    }

    fn array<const N: usize>(self, bytes: &[u8]) -> [u8; N] {
        debug_assert_eq!(self.len, N);
        let mut value = [0; N];
        value.copy_from_slice(self.of(bytes));
        value
    }

    pub(in crate::format) fn get_u16(self, bytes: &[u8]) -> u16 {
        u16::from_le_bytes(self.array(bytes))
    }

    pub(in crate::format) fn get_u32(self, bytes: &[u8]) -> u32 {
        u32::from_le_bytes(self.array(bytes))
    }

    pub(in crate::format) fn get_u64(self, bytes: &[u8]) -> u64 {
        u64::from_le_bytes(self.array(bytes))
    }

    pub(in crate::format) fn get_bytes<const N: usize>(self, bytes: &[u8]) -> [u8; N] {
        self.array(bytes)
    }

    /// Stores `value`, which has exactly the field's length.
    pub(in crate::format) fn put(self, bytes: &mut [u8], value: &[u8]) {
        bytes[self.offset..self.end()].copy_from_slice(value);
    }
}

/// Declares consecutive fields as constants in a module `at`, and `FIELDS`, the list of them in
/// order. In a module of their own, so that a field may share its name with a variable.
macro_rules! layout {
    ($first:ident = $first_len:expr, $($name:ident = $len:expr),+ $(,)?) => {
        #[allow(non_upper_case_globals)]
        pub(super) mod at {
            use $crate::format::field::{Field, layout};

            layout!(@each Field::first($first_len), $first; $($name = $len),+);
            /// Every field in order, with the name `docs/format.md` gives it.
            pub(in $crate::format) const FIELDS: &[$crate::format::field::NamedField] = &[
                $crate::format::field::NamedField { name: stringify!($first), field: $first },
                $($crate::format::field::NamedField { name: stringify!($name), field: $name }),+
            ];
        }
    };
    (@each $value:expr, $name:ident; $next:ident = $next_len:expr $(, $rest:ident = $rest_len:expr)*) => {
        pub(in $crate::format) const $name: Field = $value;
        layout!(@each $name.then($next_len), $next; $($rest = $rest_len),*);
    };
    (@each $value:expr, $name:ident;) => {
        pub(in $crate::format) const $name: Field = $value;
    };
}
pub(super) use layout;
