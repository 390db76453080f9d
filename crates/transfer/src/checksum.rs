//! What a file should hash to.

use std::fmt;
use std::str::FromStr;

use md5::Md5;
use portolan_core::{Error, Kind};
use sha1::Sha1;
use sha2::digest::{Digest, DynDigest};
use sha2::{Sha256, Sha512};

/// A hash function. MD5 and SHA-1 find accidents, not attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// MD5 (RFC 1321).
    Md5,
    /// SHA-1 (FIPS 180-4).
    Sha1,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    /// The name, as it stands before the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    pub(crate) fn hasher(self) -> Hasher {
        match self {
            Self::Md5 => Box::new(Md5::new()),
            Self::Sha1 => Box::new(Sha1::new()),
            Self::Sha256 => Box::new(Sha256::new()),
            Self::Sha512 => Box::new(Sha512::new()),
        }
    }
}

/// A hash that is being made.
pub(crate) type Hasher = Box<dyn DynDigest + Send>;

/// The hash that a file must have: `sha256:HEX`.
///
/// ```
/// use portolan_transfer::Checksum;
///
/// let text = "md5:d41d8cd98f00b204e9800998ecf8427e";
/// assert_eq!(text.parse::<Checksum>()?.to_string(), text);
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    hash: Vec<u8>,
}

impl Checksum {
    /// The hash function.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Compares with what came of `what`.
    ///
    /// # Errors
    /// [`Kind::Unmet`].
    pub(crate) fn check(&self, hasher: Hasher, what: impl fmt::Display) -> Result<(), Error> {
        let hash = hasher.finalize();
        if *hash == *self.hash {
            return Ok(());
        }
        let found = Self { algorithm: self.algorithm, hash: hash.into() };
        let message = format!("{what} has the checksum {found}, not {self}");
        Err(Error::new(Kind::Unmet, message)
            .with_hint("it was changed or damaged, or the checksum is that of another file"))
    }
}

impl FromStr for Checksum {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |what: &str| {
            let names = Algorithm::ALL.map(Algorithm::name).join(", ");
            let message = format!("'{text}' is no checksum: {what}");
            Error::new(Kind::Usage, message).with_hint(format!("ALGORITHM:HEX, one of {names}"))
        };
        let (name, hex) = text.split_once(':').ok_or_else(|| wrong("there is no algorithm"))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name.to_ascii_lowercase().replace('-', ""))
            .ok_or_else(|| wrong("its algorithm is not known"))?;
        let hash = hex::decode(hex).map_err(|_| wrong("its digits are not hexadecimal"))?;
        let length = algorithm.hasher().output_size();
        if hash.len() != length {
            return Err(wrong(&format!("{name} has {} digits", 2 * length)));
        }
        Ok(Self { algorithm, hash })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), hex::encode(&self.hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_abc_by_each_algorithm() {
        for text in [
            "md5:900150983cd24fb0d6963f7d28e17f72",
            "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
            "SHA-256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ] {
            let checksum: Checksum = text.parse().unwrap();
            let hash = |bytes: &[u8]| {
                let mut hasher = checksum.algorithm().hasher();
                bytes.iter().for_each(|byte| hasher.update(&[*byte]));
                checksum.check(hasher, "x")
            };
            hash(b"abc").unwrap();
            assert_eq!(hash(b"ab").unwrap_err().kind(), Kind::Unmet);
        }
    }

    #[test]
    fn what_is_no_checksum_is_refused() {
        for text in ["", "900150983cd24fb0d6963f7d28e17f72", "crc:00", "md5:00", "md5:zz", "md5:"] {
            assert_eq!(text.parse::<Checksum>().unwrap_err().kind(), Kind::Usage, "{text}");
        }
    }
}
