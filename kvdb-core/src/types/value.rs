use bytes::Bytes;

/// What can be stored as it is: text and bytes, borrowed (copied once) or owned (moved).
pub trait IntoValue {
    /// The bytes to store.
    fn into_value(self) -> Bytes;
}

macro_rules! moved {
    ($($owned:ty),*) => {$(
        impl IntoValue for $owned {
            fn into_value(self) -> Bytes {
                self.into()
            }
        }
    )*};
}
moved!(Bytes, String, Vec<u8>, Box<[u8]>);

impl IntoValue for &Bytes {
    fn into_value(self) -> Bytes {
        self.clone()
    }
}

impl IntoValue for &str {
    fn into_value(self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }
}

impl IntoValue for &String {
    fn into_value(self) -> Bytes {
        self.as_str().into_value()
    }
}

impl IntoValue for &[u8] {
    fn into_value(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl IntoValue for &Vec<u8> {
    fn into_value(self) -> Bytes {
        self.as_slice().into_value()
    }
}

impl<const N: usize> IntoValue for &[u8; N] {
    fn into_value(self) -> Bytes {
        self.as_slice().into_value()
    }
}

impl<const N: usize> IntoValue for [u8; N] {
    fn into_value(self) -> Bytes {
        self.as_slice().into_value()
    }
}
