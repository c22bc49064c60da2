//! What a file is, by its first bytes. Extensions are never looked at: exports are unpacked, re-packed and renamed.
//!
//! In: up to 512 bytes from the start. Out: a [`Magic`]. Text is whatever is nothing else; and text that begins like JSON is
//! text even where it holds the mark of a tar archive, because an attacker may choose what a log says at byte 257.

/// The kinds of content that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Magic {
    Plain,
    Gzip,
    Zip,
    Tar,
    Zstd,
    /// A known format that is not opened.
    Foreign(&'static str),
}

/// Bytes that [`sniff`] wants to see.
pub(super) const HEAD: usize = 512;

const FOREIGN: [(&[u8], &str); 7] = [
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"Rar!\x1a\x07", "rar"),
    (b"PAR1", "Parquet"),
    (b"ARROW1\0", "Arrow"),
];

pub(super) fn sniff(head: &[u8]) -> Magic {
    let starts = |magic: &[u8]| head.starts_with(magic);
    if starts(b"\x1f\x8b") {
        Magic::Gzip
    } else if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        Magic::Zip
    } else if is_zstd(head) {
        Magic::Zstd
    } else if is_tar(head) {
        Magic::Tar
    } else if let Some((magic, name)) = FOREIGN.iter().find(|(magic, _)| starts(magic)) {
        // `BZh` alone could begin a text; the mark of the first block cannot.
        let is_text = *magic == b"BZh" && head.get(4..10) != Some(b"1AY&SY");
        if is_text { Magic::Plain } else { Magic::Foreign(name) }
    } else {
        Magic::Plain
    }
}

/// A zstd frame, or one of the frames that decoders skip.
pub(super) fn is_zstd(head: &[u8]) -> bool {
    match head.get(..4) {
        Some(b"\x28\xb5\x2f\xfd") => true,
        Some([first, 0x2a, 0x4d, 0x18]) => (0x50..=0x5f).contains(first),
        _ => false,
    }
}

/// A tar header: the mark of the POSIX and GNU formats, and a sum that is right.
pub(super) fn is_tar(head: &[u8]) -> bool {
    let Some(header) = head.get(..HEAD) else { return false };
    if header.get(257..262) != Some(b"ustar") || matches!(header.first(), Some(b'{' | b'[')) {
        return false;
    }
    tar_sum_is_right(header)
}

/// The sum of a header's bytes, its own field counted as spaces, stands in that field.
pub(super) fn tar_sum_is_right(header: &[u8]) -> bool {
    let sum: u32 =
        header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    header.len() == HEAD && tar::Header::from_byte_slice(header).cksum().is_ok_and(|stated| stated == sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_told_by_its_first_bytes() {
        let mut tar = tar::Header::new_gnu();
        tar.set_path("x.json").unwrap();
        tar.set_size(0);
        tar.set_cksum();
        for (head, expected) in [
            (&b""[..], Magic::Plain),
            (b"\x1f", Magic::Plain),
            (b"\x1f\x8b", Magic::Gzip),
            (b"PK\x03\x04....", Magic::Zip),
            (b"PKI", Magic::Plain),
            (b"\x28\xb5\x2f\xfd", Magic::Zstd),
            (b"\x53\x2a\x4d\x18", Magic::Zstd),
            (b"{\"Records\":[", Magic::Plain),
            (b"\xef\xbb\xbf{", Magic::Plain),
            (b"BZh91AY&SY", Magic::Foreign("bzip2")),
            (b"BZhang,Alice\n", Magic::Plain),
            (b"PAR1\x15", Magic::Foreign("Parquet")),
            (tar.as_bytes(), Magic::Tar),
        ] {
            assert_eq!(sniff(head), expected, "{head:?}");
        }
        let mut broken = *tar.as_bytes();
        broken[0] = b'y';
        assert_eq!(sniff(&broken), Magic::Plain);
    }

    #[test]
    fn a_record_cannot_pass_for_a_tar_archive() {
        let mut text = [b' '; HEAD];
        text[0] = b'{';
        text[257..262].copy_from_slice(b"ustar");
        let sum: u32 = text.iter().map(|byte| u32::from(*byte)).sum();
        text[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert!(tar_sum_is_right(&text));
        assert_eq!(sniff(&text), Magic::Plain);
    }
}
