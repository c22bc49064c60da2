//! What validation cannot avoid: each file is read, inflated and hashed, and nothing else.
//!
//! In: a folder of gzip files. Out: their number and bytes. It uses the libraries that keytrail uses (libdeflate for whole
//! files, SHA-256 of the `sha2` crate) on one thread with buffers that are kept, so that `benches/verify.sh` compares work
//! and not libraries.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "an example stops at the first surprise"
)]

use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

#[derive(Default)]
struct Floor {
    stored: Vec<u8>,
    text: Vec<u8>,
    files: u64,
    inflated: u64,
    /// Of all hashes, so that none can be left out.
    sum: u8,
}

impl Floor {
    fn folder(&mut self, inflater: &mut libdeflater::Decompressor, folder: &Path) {
        let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_type().unwrap().is_dir() {
                self.folder(inflater, &entry.path());
            } else {
                self.file(inflater, &entry.path());
            }
        }
    }

    fn file(&mut self, inflater: &mut libdeflater::Decompressor, path: &Path) {
        self.stored.clear();
        File::open(path).unwrap().read_to_end(&mut self.stored).unwrap();
        if !self.stored.starts_with(b"\x1f\x8b") {
            return;
        }
        let (_, length) = self.stored.split_last_chunk::<4>().unwrap();
        let length = u32::from_le_bytes(*length) as usize;
        if self.text.len() < length {
            self.text.resize(length.next_power_of_two(), 0);
        }
        let length = inflater.gzip_decompress(&self.stored, &mut self.text).unwrap();
        self.sum ^= Sha256::digest(&self.text[..length])[0];
        self.files += 1;
        self.inflated += length as u64;
    }
}

fn main() {
    let mut floor = Floor::default();
    let mut inflater = libdeflater::Decompressor::new();
    for folder in std::env::args().skip(1) {
        floor.folder(&mut inflater, Path::new(&folder));
    }
    println!("{} files, {} bytes of text, {:02x}", floor.files, floor.inflated, floor.sum);
}
